// What every panel shares: a head, axes, a clipped drawing area, a readout, the keyboard.

import { clamp, fraction, logTicks, scale, ticks } from "./scales.js";
import { CHAR, OURS, button, html, put, svg, swatch, wide } from "./drawing.js";
import { inWords } from "./words.js";

const MOVES = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
  PageUp: [10, 0],
  PageDown: [-10, 0],
  Home: [-1e9, 0],
  End: [1e9, 0],
};

/** A panel without its marks; `draw`, `layout`, `step`, `at` and `clause` are its kind's. */
export class Frame {
  constructor(view, spec, about, last) {
    Object.assign(this, {
      view,
      spec,
      groups: [],
      log: { x: spec.log.includes("x"), y: spec.log.includes("y") },
    });
    this.name = html("span", { class: "lrx-name" }, spec.title ?? "");
    this.legend = html("span", { class: "lrx-legend" });
    this.toggles = html("span", { class: "lrx-toggles" });
    [this.grid, this.back, this.marks, this.over] = [
      "lrx-axes",
      "lrx-back",
      "lrx-marks",
      "lrx-over",
    ].map((c) => svg("g", { class: c }));
    this.area = svg("svg", { overflow: "hidden" }, this.back, this.marks, this.over);
    this.svg = svg("svg", { "aria-hidden": true, focusable: false }, this.grid, this.area);
    this.plot = html(
      "div",
      {
        ...OURS,
        class: "lrx-plot",
        tabindex: 0,
        role: "slider",
        "aria-label": about,
        "aria-valuemin": 0,
        "aria-valuemax": last,
        "aria-valuenow": 0,
      },
      this.svg,
    );
    this.readout = html("p", { class: "lrx-readout" });
    this.el = html(
      "div",
      { class: `lrx-panel lrx-${spec.kind}` },
      html("div", { class: "lrx-head" }, this.name, this.legend, this.toggles),
      html("div", {}, this.plot, this.readout),
    );
    this.plot.addEventListener("keydown", (event) => {
      const by = MOVES[event.key];
      const times = event.shiftKey ? 10 : 1;
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (!(by || event.key === "Escape" || event.key === "Enter")) return;
      event.preventDefault();
      if (by) this.step(by[0] * times, by[1] * times);
      else if (event.key === "Enter") this.enter();
      else this.leave();
    });
    for (const kind of ["pointermove", "pointerdown", "click"]) {
      this.plot.addEventListener(kind, (event) => {
        const box = this.plot.getBoundingClientRect();
        const dragged = kind === "pointermove" && event.buttons === 1;
        this.at(
          event.clientX - box.left - this.left,
          event.clientY - box.top - this.top,
          kind === "click" || dragged,
          kind === "click",
        );
      });
    }
    this.plot.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.leave();
    });
  }

  /** The height of a plot: three panels or more must be in view together with their controls. */
  height(width) {
    return this.crowded ? 260 : clamp(width * 0.6, 260, 320);
  }

  get crowded() {
    return this.view.spec.panels.length > 2;
  }

  leave() {
    this.view.point(null);
  }

  /** What Enter does; some kinds take it as an answer. */
  enter() {}

  /** A button that switches an axis between linear and logarithmic. */
  toggle(axis, allowed) {
    if (!allowed) return;
    const el = button(
      `log ${axis}`,
      () => {
        this.log[axis] = !this.log[axis];
        put(el, { "aria-pressed": this.log[axis] });
        this.layout(this.width);
        this.view.schedule();
      },
      { "aria-pressed": this.log[axis], "aria-label": `logarithmic ${axis} axis` },
    );
    this.toggles.append(el);
  }

  /** Draw axes: x and y are {domain, log, label}, or {dim, label} for one cell per value. */
  axes(width, height, x, y) {
    const made = ({ domain, log, dim }, from, to, room) => {
      if (!dim) {
        const map = scale(domain, [from, to], log);
        return [
          map,
          (log ? logTicks : ticks)(...domain, room).map((v) => ({ text: inWords(v), at: map(v) })),
        ];
      }
      const map = (i) => from + ((i + 0.5) * (to - from)) / dim.n;
      const { numbers, labels } = dim;
      if (dim.n > Math.max(8, room) && dim.rising) {
        const round = (numbers[0] > 0 && numbers.at(-1) > 20 * numbers[0] ? logTicks : ticks)(
          numbers[0],
          numbers.at(-1),
          Math.max(room, Math.abs(to - from) / 64), // round numbers are short
        );
        return [map, round.map((v) => ({ text: inWords(v), at: map(fraction(numbers, v)) }))];
      }
      const every = Math.ceil(dim.n / Math.max(1, room));
      return [
        map,
        labels.map((text, i) => ({ text, at: map(i) })).filter((_, i) => i % every === 0),
      ];
    };
    const top = y.label ? 26 : 10;
    const tall = height - 40 - top;
    const longest = Math.max(5 * CHAR, ...(x.dim?.labels ?? []).map(wide));
    const [Y, yTicks] = made(y, tall, 0, tall / (y.dim ? 20 : 44));
    const left = Math.ceil(Math.max(CHAR, ...yTicks.map((t) => wide(t.text))) + 12);
    const inner = width - left - 14;
    const [X, xTicks] = made(x, 0, inner, inner / (longest + 24));
    put(this.svg, { width, height, viewBox: `0 0 ${width} ${height}` });
    put(this.area, { x: left, y: top, width: inner, height: tall });
    const ink = (kind, d) => svg("path", { class: kind, d });
    const text = (words, attrs) => svg("text", attrs, words);
    this.grid.replaceChildren(
      ...yTicks.flatMap((t) => [
        ...(y.dim ? [] : [ink("lrx-rule", `M${left} ${top + t.at}h${inner}`)]),
        text(t.text, { x: left - 7, y: top + t.at + 4, "text-anchor": "end" }),
      ]),
      ...xTicks.flatMap((t) => [
        ink("lrx-tick", `M${left + t.at} ${top + tall}v4`),
        text(t.text, {
          x: Math.min(left + t.at, width - wide(t.text) / 2),
          y: top + tall + 18,
          "text-anchor": "middle",
        }),
      ]),
      ink("lrx-base", `M${left} ${top + tall}h${inner}`),
      text(x.label, { class: "lrx-axis", x: left + inner, y: height - 5, "text-anchor": "end" }),
      text(y.label ?? "", { class: "lrx-axis", x: 0, y: 12 }),
    );
    Object.assign(this, { X, Y, width, inner, tall, left, top });
  }

  /** The marks of the i-th curve, made once and reused. */
  group(i, kinds) {
    if (!this.groups[i]) {
      const parts = Object.fromEntries(kinds.map((k) => [k, svg("path", { class: `lrx-${k}` })]));
      this.groups[i] = { g: svg("g", {}, ...Object.values(parts)), ...parts };
      this.marks.append(this.groups[i].g);
    }
    this.groups[i].g.style.display = "";
    return this.groups[i];
  }

  hideFrom(n) {
    this.groups.slice(n).forEach(({ g }) => {
      g.style.display = "none";
    });
  }

  /** Faint curves of all values of one dimension, drawn again only when something else changes. */
  shadows(trail) {
    const {
      spec: { faint },
      view,
    } = this;
    if (!faint) return;
    const key = JSON.stringify({ ...view.sel, [faint]: 0 });
    if (key === this.faintKey) return;
    this.faintKey = key;
    put(this.faint, {
      d: view.spec.dims[faint].labels.map((_, i) => trail({ ...view.sel, [faint]: i })).join(""),
    });
  }

  /** Say what is under the hand, for the eye and as the value of this plot. */
  report(index, head, items) {
    put(this.plot, {
      "aria-valuenow": index,
      "aria-valuetext": `${head}: ${items.map(({ run, text }) => (run.colour ? `${run.label}: ` : "") + text).join("; ")}`,
    });
    this.readout.replaceChildren(
      html("span", {}, head),
      ...items.map(({ run, j, text }) =>
        html("span", {}, ...(items.length > 1 ? [swatch(run.colour, j)] : []), text),
      ),
    );
  }

  /** Whether the run is being played, so that only what is before the reading mark is drawn. */
  played(cursor) {
    return Boolean(cursor?.only) && cursor.dim === (this.spec.along ?? this.spec.x);
  }

  /** Move the reading mark along a dimension; it is shared by all panels that have it. */
  walk(dim, by) {
    const { cursor, spec } = this.view;
    const n = spec.dims[dim].n;
    this.view.point({
      dim,
      i: clamp((cursor?.dim === dim ? cursor.i : by > 0 ? -1 : n) + by, 0, n - 1),
    });
  }
}
