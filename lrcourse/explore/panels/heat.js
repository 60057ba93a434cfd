// A grid of medians; a cell is a run to choose.

import { Frame } from "../frame.js";
import { disc, html, put, svg, wide } from "../drawing.js";
import { clamp, fraction, logTicks, scale, ticks } from "../scales.js";
import { against, inWords, spreadText } from "../words.js";

const parsed = (colours) =>
  colours.split(" ").map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));
// cividis: even in lightness, the same to colour-blind eyes
const EVEN = parsed("#00224e #1a386f #434e6c #61656f #7d7c78 #9b9476 #bcae6c #dec958 #fee838");
// blue below a neutral middle, orange above it
export const PARTED = parsed("#08519c #4292c6 #9ecae1 #f3f3f3 #fdbe85 #e6701e #a63603");

/** A colour of a ramp, t in 0…1. */
export function ramp(t, stops = EVEN) {
  const at = clamp(t, 0, 1) * (stops.length - 1);
  const k = Math.min(Math.floor(at), stops.length - 2);
  return `rgb(${stops[k].map((c, j) => Math.round(c + (stops[k + 1][j] - c) * (at - k))).join(" ")})`;
}

const BAR = 176; // the width of a colour bar, see .lrx-bar

/** The numbers that have room beside one another below a bar. */
function apart(numbers, map) {
  let end = -Infinity;
  return numbers.filter((v) => {
    const [middle, half] = [BAR * clamp(map(v), 0, 1), wide(inWords(v)) / 2];
    if (middle - half < end + 6) return false;
    end = middle + half;
    return true;
  });
}

/** Cells in the colours of their medians; a click or an arrow key chooses one. */
export class HeatMap extends Frame {
  constructor(view, spec) {
    const dx = view.spec.dims[spec.x];
    const dy = view.spec.dims[spec.y];
    super(
      view,
      spec,
      `${spec.title} over ${dx.label} and ${dy.label}, arrow keys choose a cell`,
      dx.n * dy.n - 1,
    );
    Object.assign(this, { dx, dy, label: view.spec.arrays[spec.value].label });
    [this.cells, this.bounds] = [svg("g"), svg("g", { class: "lrx-reference" })];
    [this.hatch, this.best] = [
      svg("path", { class: "lrx-hatch" }),
      svg("path", { class: "lrx-best" }),
    ];
    this.hovered = svg("path", { class: "lrx-hovered" });
    this.back.append(this.cells, this.hatch, this.bounds, this.best);
    this.over.append(this.hovered);
    const map = scale(spec.domain, [0, 1], spec.log);
    const stops = apart((spec.log ? logTicks : ticks)(...spec.domain, 4), map);
    const colours = spec.centre === null ? EVEN : PARTED;
    this.tint = (v) => ramp(map(v), colours);
    this.bar = html(
      "span",
      {
        class: "lrx-bar",
        style: `background:linear-gradient(90deg,${[...Array(9).keys()].map((k) => ramp(k / 8, colours))})`,
      },
      ...stops.map((v) =>
        html("span", { style: `left:${clamp(map(v), 0, 1) * 100}%` }, inWords(v)),
      ),
    );
    this.lostKey = html(
      "span",
      { class: "lrx-lost" },
      svg(
        "svg",
        { width: 18, height: 12, "aria-hidden": true },
        svg("path", { class: "lrx-hatch", d: "M0 6L6 0M0 12L12 0M6 12L18 0M12 12L18 6" }),
      ),
      spec.missing,
    );
    this.bestKey = html(
      "span",
      { class: "lrx-lost" },
      svg(
        "svg",
        { width: 14, height: 14, "aria-hidden": true },
        svg("rect", { width: 14, height: 14 }),
        svg("path", { class: "lrx-best", d: disc({ x: 7, y: 7 }, 4) }),
      ),
      spec.best > 0 ? "highest" : "lowest",
    );
    const name = spec.title === this.label ? [] : [html("span", {}, this.label)];
    const key = [...name, this.bar, this.bestKey, this.lostKey];
    this.plot.after(html("p", { class: "lrx-key" }, ...key));
  }

  layout(width) {
    this.axes(
      width,
      clamp(this.dy.n * 30 + 66, 220, this.crowded ? 260 : 400),
      { dim: this.dx, label: this.dx.label },
      { dim: this.dy, label: this.dy.label },
    );
    this.w = this.inner / this.dx.n;
    this.h = this.tall / this.dy.n;
    this.key = null;
  }

  draw(runs) {
    const { x, y } = this.spec;
    const { sel } = runs.at(-1);
    const key = JSON.stringify({ ...sel, [x]: 0, [y]: 0 });
    if (key !== this.key) this.drawCells(sel);
    this.key = key;
    runs.forEach((run, i) => {
      const { g, ring } = this.group(i, ["ring"]);
      put(g, { class: `lrx-run-${run.colour}` });
      put(ring, { d: this.box([run.sel[x], run.sel[y]]) });
    });
    this.hideFrom(runs.length);
    put(this.hovered, { d: this.hover ? this.box(this.hover) : "" });
    this.tell(this.hover ?? [sel[x], sel[y]]);
  }

  /** The outline of a cell. */
  box([i, j]) {
    const { w, h } = this;
    return `M${this.X(i) - w / 2} ${this.Y(j) - h / 2}h${w}v${h}h${-w}Z`;
  }

  drawCells(sel) {
    const { spec, view, w, h, dx, dy } = this;
    const gap = Math.min(w, h) > 8 ? 0.5 : 0;
    const cells = [];
    let hatch = "";
    let missing = 0;
    this.values = dy.labels.map((_, j) =>
      dx.labels.map((_, i) => {
        const v = view.packed.value(spec.value, { ...sel, [spec.x]: i, [spec.y]: j });
        const left = this.X(i) - w / 2;
        const top = this.Y(j) - h / 2;
        if (!Number.isFinite(v) && this.isMissing(sel, [i, j])) missing += 1;
        else if (Number.isFinite(v))
          cells.push(
            svg("rect", {
              x: left + gap,
              y: top + gap,
              width: w - 2 * gap,
              height: h - 2 * gap,
              fill: this.tint(v),
            }),
          );
        else
          for (let o = 5; o < w + h; o += 6)
            hatch += `M${left + Math.max(0, o - h)} ${top + Math.min(o, h)}L${left + Math.min(o, w)} ${top + Math.max(0, o - w)}`;
        return v;
      }),
    );
    this.series = [{ name: spec.value, run: { colour: 0 }, values: this.values }];
    this.cells.replaceChildren(...cells);
    put(this.hatch, { d: hatch });
    const flat = this.values.flat();
    const finite = flat.filter(Number.isFinite);
    const top =
      spec.best && finite.length
        ? flat.indexOf(spec.best > 0 ? Math.max(...finite) : Math.min(...finite))
        : -1;
    this.winner = top < 0 ? null : [top % dx.n, Math.floor(top / dx.n)];
    this.missing = missing;
    this.lost = flat.length - finite.length - missing;
    put(this.best, {
      d: this.winner ? disc({ x: this.X(this.winner[0]), y: this.Y(this.winner[1]) }, 4) : "",
    });
    this.bar.hidden = !finite.length;
    this.bestKey.hidden = top < 0;
    this.lostKey.hidden = !this.lost;
    this.bounds.replaceChildren(
      ...spec.bounds.flatMap(([label, at]) => {
        const px = at.map((v) => this.X(fraction(dx.numbers, v)));
        const d = px
          .map((p, j) => `${j ? "L" : "M"}${p} ${this.Y(j) + h / 2}V${this.Y(j) - h / 2}`)
          .join("");
        return [
          svg("path", { class: "lrx-halo", d }),
          svg("path", { d }),
          ...this.tag(label, clamp(px[0] + 6, 2, this.inner - wide(label) - 6), this.tall - 8),
        ];
      }),
    );
  }

  /** A word over the cells, on ground of its own. */
  tag(label, x, y) {
    const ground = { class: "lrx-ground", x: x - 3, y: y - 12, width: wide(label) + 6, height: 16 };
    return [svg("rect", { ...ground, rx: 2 }), svg("text", { x, y }, label)];
  }

  /** Whether a cell without a number has none because runs are missing. */
  isMissing(sel, [i, j]) {
    const { x, y } = this.spec;
    return this.view.packed.missing({ ...sel, [x]: i, [y]: j }).some(Boolean);
  }

  where([i, j]) {
    return `${this.dx.label} ${this.dx.labels[i]}, ${this.dy.label} ${this.dy.labels[j]}`;
  }

  tell([i, j]) {
    const { spec, view } = this;
    const { mid, low, high } = view.packed.curve(
      spec.value,
      { ...view.sel, [spec.x]: i, [spec.y]: j },
      null,
    );
    const none = this.isMissing(view.sel, [i, j]) ? "missing" : spec.missing;
    const text = `${Number.isFinite(mid[0]) ? `${this.label} ` : ""}${spreadText(mid[0], low?.[0], high?.[0], none)}`;
    this.report(j * this.dx.n + i, this.where([i, j]), [{ run: { colour: 0 }, text }]);
  }

  leave() {
    this.hover = null;
    this.view.schedule();
  }

  step(across, up) {
    const {
      spec: { x, y },
      view,
    } = this;
    this.hover = null;
    view.select({ [x]: view.index(x) + across, [y]: view.index(y) + up });
  }

  at(px, py, chosen) {
    const cell = [
      clamp(Math.floor(px / this.w), 0, this.dx.n - 1),
      clamp(this.dy.n - 1 - Math.floor(py / this.h), 0, this.dy.n - 1),
    ];
    this.hover = chosen ? null : cell;
    put(this.hovered, { d: chosen ? "" : this.box(cell) });
    if (chosen) this.view.select({ [this.spec.x]: cell[0], [this.spec.y]: cell[1] });
    else this.tell(cell);
  }

  /** How the chosen cell compares with the one of a pinned run. */
  outcome(now, pin) {
    const { spec, view } = this;
    const [here, there] = [now, pin].map((run) => view.packed.value(spec.value, run.sel));
    return against(this.label, here, there, Boolean(spec.log));
  }

  clause() {
    const { spec, winner, lost, missing } = this;
    const parts = [];
    const all = this.dx.n * this.dy.n;
    if (winner)
      parts.push(
        `the ${spec.best > 0 ? "highest" : "lowest"} ${this.label}, ${inWords(this.values[winner[1]][winner[0]])}, is at ${this.where(winner)}`,
      );
    if (lost) parts.push(`${lost} of ${all} cells ${spec.missing}`);
    if (missing) parts.push(`${missing} of ${all} cells missing`);
    return parts.join("; ");
  }
}
