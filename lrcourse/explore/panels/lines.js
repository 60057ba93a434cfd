// Curves with bands: median and quartiles over the runs, or every run.

import { Frame } from "../frame.js";
import { CHAR, cross, disc, html, put, svg, swatch, trace } from "../drawing.js";
import { clamp, nearest } from "../scales.js";
import { inWords, spreadText, valueText } from "../words.js";

/** The last index that holds a finite number, or -1. */
export function lastFinite(row) {
  let i = row.length - 1;
  while (i >= 0 && !Number.isFinite(row[i])) i--;
  return i;
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
    this.back.append(this.faint);
    this.over.append(this.rules, this.here, this.cursor);
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
      clamp(width * 0.62, 230, 320),
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
    const draw = (ys) => trace(xs, ys, X, Y);
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
      put(band, { d: many === "band" ? this.ribbon(s) : "" });
      put(ends, { d: this.crosses(s) });
      put(dot, {
        d: k >= 0 && Number.isFinite(s.mid[k]) ? disc({ x: X(xs[k]), y: Y(s.mid[k]) }, 4) : "",
      });
    });
    this.hideFrom(this.series.length);
    this.shadows((sel) => draw(view.packed.curve(names[0], sel, spec.x).mid));
    this.drawRules();
    put(this.here, { d: spec.selects ? `M${X(xs[view.sel[spec.x]])} 0V${this.tall}` : "" });
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
          spreadText(s.mid[k], s.low?.[k], s.high?.[k]),
      })),
    );
  }

  /** The index that the sentence speaks of: the chosen one, or the last. */
  place() {
    return this.spec.selects ? this.view.sel[this.spec.x] : this.dim.n - 1;
  }

  ribbon({ low, high, x }) {
    const far = (v) =>
      Number.isFinite(v)
        ? v
        : v > 0
          ? Number.MAX_VALUE
          : this.log.y
            ? Number.MIN_VALUE
            : -Number.MAX_VALUE;
    const keep = [...x.keys()].filter((i) => Number.isFinite(low[i]) || Number.isFinite(high[i]));
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

  drawRules() {
    const { inner, tall } = this;
    this.rules.replaceChildren(
      ...this.spec.rules.flatMap(([axis, label, at]) => {
        const v = typeof at === "string" ? this.view.packed.value(at, this.view.sel) : at;
        const px = axis === "y" ? this.Y(v) : this.X(v);
        if (!(px >= 0 && px <= (axis === "y" ? tall : inner))) return [];
        const right = axis === "x" && px + label.length * CHAR + 8 > inner;
        const place =
          axis === "y"
            ? { x: inner - 4, y: px > 20 ? px - 5 : px + 14, "text-anchor": "end" }
            : {
                x: px + (right ? -5 : 5),
                y: this.spec.selects ? 25 : 12,
                "text-anchor": right ? "end" : "start",
              };
        return [
          svg("path", { d: axis === "y" ? `M0 ${px}H${inner}` : `M${px} 0V${tall}` }),
          svg("text", place, label),
        ];
      }),
    );
  }

  step(across, up) {
    const { x, selects } = this.spec;
    const by = across || up;
    if (selects) this.view.select({ [x]: this.view.index(x) + by });
    else this.walk(x, by);
  }

  at(px, _, click) {
    const i = nearest(this.dim.numbers, px, this.X);
    if (click && this.spec.selects) this.view.select({ [this.spec.x]: i });
    else this.view.point({ dim: this.spec.x, i });
  }

  clause() {
    const { view, spec, dim } = this;
    const k = this.place();
    const where = spec.selects ? "" : ` at ${dim.label} ${inWords(dim.numbers[k])}`;
    return this.series
      .filter((s) => s.run.colour === 0)
      .map((s) =>
        valueText(
          view.spec.arrays[s.name].label,
          where,
          s.mid[k],
          s.low?.[k],
          s.high?.[k],
          s.rows.length,
          view.spec.band,
        ),
      )
      .join("; ");
  }
}
