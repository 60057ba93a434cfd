// Curves with bands: median and quartiles over the runs, or every run.

import { Frame } from "../frame.js";
import { cross, disc, html, put, svg, swatch, trace, wide } from "../drawing.js";
import { clamp, nearest } from "../scales.js";
import { against, inWords, spreadText, valueText } from "../words.js";

const DIVERGED = "diverged";

/** The last index that holds a finite number, or -1. */
export function lastFinite(row) {
  let i = row.length - 1;
  while (i >= 0 && !Number.isFinite(row[i])) i--;
  return i;
}

/** Points along a curve, close enough to tell what a label would cover. */
function outline(xs, ys, X, Y) {
  const points = Array.from(xs, (x, i) => [X(x), Y(ys[i])]).filter((p) => p.every(Number.isFinite));
  return points.flatMap(([x, y], i) => {
    const [fromX, fromY] = points[Math.max(0, i - 1)];
    const n = Math.min(20, Math.ceil(Math.hypot(x - fromX, y - fromY) / 8) || 1);
    return Array.from({ length: n }, (_, k) => {
      const share = (k + 1) / n;
      return [fromX + (x - fromX) * share, fromY + (y - fromY) * share];
    });
  });
}

/** A text in two lines of about one length. */
export function halves(text) {
  const words = text.split(" ");
  const cut = words.findIndex((_, k) => words.slice(0, k + 1).join(" ").length >= text.length / 2);
  return [words.slice(0, cut + 1).join(" "), words.slice(cut + 1).join(" ")];
}

/** The first of some places for a label at which it covers the fewest points. */
export function leastCovering(places, width, points) {
  const covered = ([x, y]) =>
    points.filter(([a, b]) => a > x - 4 && a < x + width + 4 && b > y - 14 && b < y + 6).length;
  const counts = places.map(covered);
  return places[counts.indexOf(Math.min(...counts))];
}

/** One curve for each run and variable, made of SVG paths that are reused. */
export class Lines extends Frame {
  constructor(view, spec) {
    const dim = view.spec.dims[spec.x];
    super(
      view,
      spec,
      `${spec.title ?? spec.y.map((n) => view.spec.arrays[n].label).join(", ")} against ${dim.label}`,
      dim.n - 1,
    );
    this.dim = dim;
    this.toggle(
      "y",
      spec.y.every((n) => spec.domain[n].log),
    );
    this.toggle("x", spec.xlog);
    [this.faint, this.here, this.cursor] = ["lrx-faint", "lrx-here", "lrx-cursor"].map((c) =>
      svg("path", { class: c }),
    );
    this.rules = svg("g", { class: "lrx-reference" });
    this.asked = svg("g", { class: "lrx-guess" });
    this.back.append(this.faint);
    this.over.append(this.rules, this.here, this.cursor, this.asked);
  }

  shown() {
    return this.spec.choose ? [this.spec.y[this.view.sel[this.spec.choose]]] : this.spec.y;
  }

  layout(width) {
    const { spec, view, dim } = this;
    const names = this.shown();
    const label = (n) => view.spec.arrays[n].label;
    const ends = names.map((n) => spec.domain[n][this.log.y ? "log" : "linear"]);
    const numbers = dim.numbers.filter((v) => !this.log.x || v > 0);
    const ylabel = spec.ylabel ?? (names.length === 1 ? label(names[0]) : null);
    if (!spec.title) this.name.textContent = ylabel ?? "";
    this.axes(
      width,
      this.height(width),
      {
        domain: spec.xlim ?? [Math.min(...numbers), Math.max(...numbers)],
        log: this.log.x,
        label: dim.label,
      },
      {
        domain: [Math.min(...ends.map((e) => e[0])), Math.max(...ends.map((e) => e[1]))],
        log: this.log.y,
        label: spec.title && ylabel,
      },
    );
    this.legend.replaceChildren(
      ...(names.length > 1 ? names : []).map((n, j) => html("span", {}, swatch(0, j), label(n))),
    );
    this.laid = names.join();
    this.faintKey = null;
  }

  draw(runs, cursor) {
    const { view, spec, dim } = this;
    const xs = dim.numbers;
    const names = this.shown();
    if (names.join() !== this.laid) this.layout(this.width);
    const { X, Y } = this;
    const along = cursor?.dim === spec.x ? cursor.i : null;
    const seen = this.played(cursor) ? along + 1 : dim.n;
    const draw = (ys) => trace(xs.slice(0, seen), ys, X, Y);
    this.series = runs.flatMap((run) =>
      names.map((name, j) => ({
        name,
        run,
        j,
        x: xs,
        worst: view.spec.arrays[name].worst,
        ...view.packed.curve(name, run.sel, spec.x),
      })),
    );
    this.series.forEach((s, i) => {
      const {
        g,
        band,
        runs: all,
        line,
        cross: ends,
        dot,
      } = this.group(i, ["band", "runs", "line", "cross", "dot"]);
      const many = s.rows.length > 1 ? spec.spread : "";
      const k = along ?? (spec.selects ? s.run.sel[spec.x] : -1);
      put(g, { class: `lrx-run-${s.run.colour} lrx-var-${s.j}` });
      put(line, { d: draw(s.mid), "data-series": s.name });
      put(all, { d: many === "runs" ? s.rows.map(draw).join("") : "" });
      put(band, { d: many === "band" ? this.ribbon(s, seen) : "" });
      put(ends, { d: seen < dim.n ? "" : this.crosses(s) });
      put(dot, {
        d: k >= 0 && Number.isFinite(s.mid[k]) ? disc({ x: X(xs[k]), y: Y(s.mid[k]) }, 4) : "",
      });
    });
    this.hideFrom(this.series.length);
    this.shadows((sel) => draw(view.packed.curve(names[0], sel, spec.x).mid));
    this.drawRules();
    put(this.here, { d: spec.selects ? `M${X(this.xChosen())} 0V${this.tall}` : "" });
    this.drawGuess();
    put(this.cursor, { d: along === null ? "" : `M${X(xs[along])} 0V${this.tall}` });
    const k = along ?? this.place();
    const named = names.length > 1 || this.series.length === 1;
    this.report(
      k,
      `${dim.label} ${inWords(xs[k])}`,
      this.series.map((s) => ({
        run: s.run,
        j: s.j,
        text:
          (named ? `${view.spec.arrays[s.name].label} ` : "") +
          this.told(s, along ?? (spec.selects ? s.run.sel[spec.x] : k), k),
      })),
    );
  }

  /** A value of a series; a pinned run has a place of its own, which is said with it. */
  told({ mid, low, high }, at, here) {
    const where = at === here ? "" : ` at ${inWords(this.dim.numbers[at])}`;
    return spreadText(mid[at], low?.[at], high?.[at], this.spec.missing) + where;
  }

  /** The index that the sentence speaks of: the chosen one, or the last. */
  place() {
    return this.spec.selects ? this.view.sel[this.spec.x] : this.dim.n - 1;
  }

  ribbon({ low, high, x }, seen) {
    const far = (v) =>
      Number.isFinite(v)
        ? v
        : v > 0
          ? Number.MAX_VALUE
          : this.log.y
            ? Number.MIN_VALUE
            : -Number.MAX_VALUE;
    const keep = [...Array(seen).keys()].filter(
      (i) => Number.isFinite(low[i]) || Number.isFinite(high[i]),
    );
    if (!keep.length) return "";
    const edge = (ys) =>
      trace(
        keep.map((i) => x[i]),
        keep.map((i) => far(ys[i])),
        this.X,
        this.Y,
      );
    const up = edge(high);
    keep.reverse();
    return `${up}L${edge(low).slice(1)}Z`;
  }

  /** A cross where a run ends before its time, an arrow where it leaves the picture for good. */
  crosses({ rows, mid, worst, x, run: { sel } }) {
    const { X, Y, inner, tall, view, spec } = this;
    if (spec.missing !== DIVERGED) return "";
    const edge = worst > 0 ? 6 : tall - 6;
    const mark = (i, v) =>
      cross(
        clamp(X(x[Math.max(0, i)]), 5, inner - 5),
        Number.isFinite(v) ? clamp(Y(v), 6, tall - 6) : edge,
      );
    if (spec.selects) {
      let last = -Infinity;
      return [...x.keys()]
        .filter(
          (i) =>
            !Number.isFinite(mid[i]) &&
            !view.packed.missing({ ...sel, [spec.x]: i }).some(Boolean) &&
            X(x[i]) - last > 11 &&
            ((last = X(x[i])), true),
        )
        .map((i) => mark(i, NaN))
        .join("");
    }
    const missing = view.packed.missing(sel);
    return rows
      .map((row, k) => {
        const end = lastFinite(row);
        if (missing[k % missing.length]) return "";
        if (end < row.length - 1) return mark(end, row[end]);
        if (Y(row[end]) >= 0) return "";
        let i = end;
        while (i > 0 && Y(row[i - 1]) < 0) i--;
        return `M${clamp(X(x[i]), 6, inner - 6) - 5} 8l5 -6l5 6`;
      })
      .join("");
  }

  /** Reference lines; each label stands where it covers the least of curves and other labels. */
  drawRules() {
    const { inner, tall, spec, view } = this;
    const taken = this.series.flatMap(({ x, mid }) => outline(x, mid, this.X, this.Y));
    if (spec.selects) for (let y = 0; y < tall; y += 6) taken.push([this.X(this.xChosen()), y]);
    const parts = spec.rules.flatMap(([axis, label, at]) => {
      const v = typeof at === "string" ? view.packed.value(at, view.sel) : at;
      const px = axis === "y" ? this.Y(v) : this.X(v);
      if (!(px >= 0 && px <= (axis === "y" ? tall : inner))) return [];
      const width = wide(label);
      const across = [inner - 4 - width, 4, (inner - width) / 2];
      const along = [12, tall - 8, tall / 2, tall / 4, (3 * tall) / 4];
      const places =
        axis === "y"
          ? across.flatMap((x) => [px - 5, px + 14].map((y) => [x, y]))
          : along.flatMap((y) => [px + 5, px - 5 - width].map((x) => [x, y]));
      const inside = places.filter(
        ([x, y]) => x >= 2 && x + width <= inner - 2 && y >= 11 && y <= tall - 3,
      );
      const [x, y] = leastCovering(inside.length ? inside : places.slice(0, 1), width, taken);
      for (let k = 0; k <= width; k += 8) taken.push([x + k, y - 4]);
      return [
        svg("path", { d: axis === "y" ? `M0 ${px}H${inner}` : `M${px} 0V${tall}` }),
        svg("text", { x, y }, label),
      ];
    });
    this.rules.replaceChildren(...parts);
  }

  /** The number on the axis that is chosen now. */
  xChosen() {
    return this.dim.numbers[this.view.sel[this.spec.x]];
  }

  enter() {
    if (this.spec.guess) this.view.guess();
  }

  step(across, up) {
    const { x, selects } = this.spec;
    const by = across || up;
    if (selects) this.view.select({ [x]: this.view.index(x) + by });
    else this.walk(x, by);
  }

  at(px, py, chosen, click) {
    const i = nearest(this.dim.numbers, px, this.X);
    if (chosen && this.spec.selects) this.view.select({ [this.spec.x]: i });
    else this.view.point({ dim: this.spec.x, i });
    if (click && this.spec.guess && this.holds(px, py)) this.view.guess();
  }

  /** How a guess compares with the best choice, while it is the one shown. */
  judged(guessed, sel) {
    const { spec, view, dim } = this;
    if (Object.keys(sel).some((k) => sel[k] !== guessed[k])) return "";
    const { y, x } = spec;
    const { mid } = view.packed.curve(y[0], sel, x);
    const { worst, label } = view.spec.arrays[y[0]];
    const value = (i) => (Number.isFinite(mid[i]) ? -worst * mid[i] : -Infinity);
    const best = [...mid.keys()].reduce((a, i) => (value(i) > value(a) ? i : a), 0);
    const [, what, ...units] = /^(.*?)(?:, (%)| \((%)\))?$/.exec(label);
    const found = (i) =>
      Number.isFinite(mid[i]) ? [inWords(mid[i]), ...units].filter(Boolean).join(" ") : "diverged";
    const first = `Your guess, ${dim.label} ${dim.labels[sel[x]]}:`;
    return sel[x] === best
      ? `${first} ${what} ${found(best)}, the best of ${dim.n}.`
      : `${first} ${what} ${found(sel[x])}. The best of the ${dim.n} is ${dim.labels[best]}, with ${found(best)}.`;
  }

  /** The question over the empty axes, later the reader's own answer to it. */
  drawGuess() {
    const { spec, view, inner, tall } = this;
    if (!spec.guess) return;
    const i = view.guessed?.[spec.x];
    const x = i === undefined ? inner / 2 : this.X(this.dim.numbers[i]);
    const words = view.veiled ? spec.guess : i === undefined ? "" : "your guess";
    const size = view.veiled ? 1.35 : 1; // larger letters, see .lrx-guess
    const lines = size * wide(words) < inner - 16 ? [words] : halves(words);
    const width = Math.max(...lines.map(wide)) * size + 12;
    const at = clamp(x, width / 2, inner - width / 2);
    const middle = view.veiled ? tall / 2 : tall - 24;
    const height = 18 * size * lines.length;
    const ground = { x: at - width / 2, y: middle - height / 2, width, height };
    this.asked.replaceChildren(
      svg("path", { d: i === undefined ? "" : `M${x} ${tall}V${tall - 14}` }),
      ...(words ? [svg("rect", { class: "lrx-ground", ...ground })] : []),
      ...lines.map((text, k) =>
        svg(
          "text",
          { x: at, y: middle - height / 2 + 18 * size * (k + 0.72), "text-anchor": "middle" },
          text,
        ),
      ),
    );
  }

  /** Whether a place lies between the axes. */
  holds(px, py) {
    return px >= 0 && px <= this.inner && py >= 0 && py <= this.tall;
  }

  /** How far runs reach along the axis now: those that were given up end early. */
  lastSeen() {
    return Math.max(...this.series.flatMap(({ rows }) => rows.map(lastFinite)));
  }

  /** How what is shown first compares with the same of a pinned run. */
  outcome(now, pin) {
    const { view, spec, dim } = this;
    const [name] = this.shown();
    const end = (run) =>
      view.packed.curve(name, run.sel, spec.x).mid[spec.selects ? run.sel[spec.x] : dim.n - 1];
    return against(view.spec.arrays[name].label, end(now), end(pin), this.log.y);
  }

  clause() {
    const { view, spec, dim } = this;
    const k = this.place();
    const where = spec.selects ? "" : ` at ${dim.label} ${inWords(dim.numbers[k])}`;
    return this.series
      .filter((s) => s.run.colour === 0)
      .map((s) => {
        const { label } = view.spec.arrays[s.name];
        if (spec.missing !== DIVERGED && !Number.isFinite(s.mid[k]))
          return `${label}${where}: ${spec.missing}`;
        const spread = [s.mid[k], s.low?.[k], s.high?.[k]];
        return valueText(label, where, ...spread, s.rows.length, view.spec.band);
      })
      .join("; ");
  }
}
