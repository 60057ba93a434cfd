// The explorer's view: it draws recorded runs and lets a reader walk through them.
// Everything it needs comes with the model: `spec` (what to draw), `data` (the cube, binary)
// and one trait `i_<dim>` for each selected index. No kernel, no network, no dependency.

// ---------------------------------------------------------------- numbers

const clamp = (v, lo, hi) => Math.max(lo, Math.min(hi, v));

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A number to three significant digits, as the Python side writes it: 0.0316, 3.2×10⁻⁵, −4. */
export function format(value, digits = 3) {
  if (Number.isNaN(value)) return "no value";
  const size = Math.abs(value), sign = value < 0 ? "−" : "";
  if (size === Infinity) return sign + "∞";
  if (Number.isInteger(value) && size < 1e7 && (size < 1e5 || Number(size.toPrecision(digits)) !== size)) return sign + size;
  const [mantissa, power] = size.toExponential(digits - 1).split("e");
  if (power >= -4 && power < 5) return sign + Number(size.toFixed(Math.max(0, digits - 1 - power)));
  const ten = "10" + [...String(Number(power))].map((c) => SUPERSCRIPT[c]).join("");
  return sign + (Number(mantissa) === 1 ? "" : Number(mantissa) + "×") + ten;
}

const MISSING = 65535;

/** One array of the cube. Type "q2" holds 16-bit codes, uniform in asinh(x / scale). */
export function decode(bytes, { type, offset, size, scale, low, step }) {
  if (type === "f4") return new Float32Array(bytes.slice(offset, offset + 4 * size).buffer);
  const codes = new Uint16Array(bytes.slice(offset, offset + 2 * size).buffer);
  return Float32Array.from(codes, (c) => (c === MISSING ? NaN : scale * Math.sinh(low + c * step)));
}

/** The q-th quantile of sorted numbers, linear between neighbours; infinities stay infinite. */
export function quantile(sorted, q) {
  const at = (sorted.length - 1) * q, k = Math.floor(at), part = at - k;
  const a = sorted[k], b = sorted[Math.min(k + 1, sorted.length - 1)];
  if (part === 0 || a === b) return a;
  return Number.isFinite(b - a) ? a + (b - a) * part : Number.isFinite(a) ? b : a;
}

/** Median and quartiles over runs, point by point. A diverged run counts as the worst one. */
export function summary(rows, worst = 1) {
  if (rows.length === 1) return { mid: rows[0], low: null, high: null };
  const n = rows[0].length, column = new Float64Array(rows.length);
  const out = { mid: new Float64Array(n), low: new Float64Array(n), high: new Float64Array(n) };
  for (let i = 0; i < n; i++) {
    rows.forEach((row, k) => { column[k] = Number.isFinite(row[i]) ? row[i] : worst * Infinity; });
    column.sort();
    out.low[i] = quantile(column, 0.25);
    out.mid[i] = quantile(column, 0.5);
    out.high[i] = quantile(column, 0.75);
  }
  return out;
}

/** A map from numbers to pixels, linear or logarithmic, with its inverse. What lies far outside is
 * brought to FAR pixels: a shape of 1e30 pixels stalls whatever measures it. */
const FAR = 20000;
export function scale([a, b], [from, to], log = false) {
  const f = log ? (v) => (v > 0 ? Math.log(v) : -1e9) : (v) => v;
  const low = f(a), k = (to - from) / (f(b) - low || 1);
  const map = (v) => clamp(from + (f(v) - low) * k, -FAR, FAR);
  map.invert = (px) => (log ? Math.exp(low + (px - from) / k) : low + (px - from) / k);
  return map;
}

/** About n round numbers from lo to hi, at least three: multiples of 1, 2 or 5. */
export function ticks(lo, hi, n = 5) {
  const raw = (hi - lo) / Math.max(1, n);
  if (!(raw > 0)) return [lo];
  const power = 10 ** Math.floor(Math.log10(raw));
  const stride = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
  const out = [];
  for (let k = Math.ceil(lo / stride - 1e-9); k <= hi / stride + 1e-9; k++) out.push(Number((k * stride).toPrecision(12)));
  return out.length < 3 && n < 20 ? ticks(lo, hi, 2 * n) : out;
}

/** Powers of ten from lo to hi, every k-th if there are many, with 2s and 5s if there are few. */
export function logTicks(lo, hi, n = 5) {
  const powers = [];
  for (let p = Math.ceil(Math.log10(lo) - 1e-9); p <= Math.log10(hi) + 1e-9; p++) powers.push(p);
  const every = Math.ceil(powers.length / Math.max(1, n));
  const wide = powers.filter((p) => p % every === 0).map((p) => Number(`1e${p}`));
  if (powers.length > 2) return wide;
  const fine = [];
  for (let p = Math.floor(Math.log10(lo)); p <= Math.log10(hi); p++) fine.push(...[1, 2, 5].map((m) => Number(`${m}e${p}`)));
  const inside = fine.filter((v) => v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9));
  if (inside.length > 1.5 * n && wide.length > 1) return wide;
  return inside.length > 2 ? inside : ticks(lo, hi, n);
}

/** The index of the number nearest to a wanted one, in pixels if a scale is given. */
export function nearest(numbers, wanted, map = (v) => v) {
  let best = 0;
  numbers.forEach((v, i) => { if (Math.abs(map(v) - wanted) < Math.abs(map(numbers[best]) - wanted)) best = i; });
  return best;
}

/** Where a number lies between the columns of rising numbers, in columns (by ratios if they span). */
export function fraction(numbers, v) {
  const f = numbers[0] > 0 && numbers.at(-1) > 20 * numbers[0] ? Math.log : Number, n = numbers.length;
  const k = clamp(numbers.findIndex((a) => a >= v), 1, n - 1), top = v > numbers[n - 1] ? n - 1 : k;
  return top - 1 + (f(v) - f(numbers[top - 1])) / (f(numbers[top]) - f(numbers[top - 1]));
}

/** The last index that holds a finite number, or -1. */
export function lastFinite(row) {
  let i = row.length - 1;
  while (i >= 0 && !Number.isFinite(row[i])) i--;
  return i;
}

/** An SVG path through points, broken where a number is missing. */
export function trace(xs, ys, X, Y) {
  let d = "", pen = "M";
  for (let i = 0; i < xs.length; i++) {
    if (!Number.isFinite(ys[i])) { pen = "M"; continue; }
    d += pen + Math.round(X(xs[i]) * 10) / 10 + " " + Math.round(clamp(Y(ys[i]), -1e4, 1e4) * 10) / 10;
    pen = "L";
  }
  return d;
}

// ---------------------------------------------------------------- words

const capital = (text) => text.replace(/^[a-z]/, (letter) => letter.toUpperCase()); // not ε, a symbol

/** "learning rate 0.1, momentum 0.9" for the given dimensions. */
export function naming(dims, sel, names) {
  return names.map((d) => `${dims[d].label} ${dims[d].labels[sel[d]]}`).join(", ");
}

/** The dimensions in which selections are not all alike. */
export function differing(selections) {
  return Object.keys(selections[0] ?? {}).filter((d) => selections.some((s) => s[d] !== selections[0][d]));
}

/** How many runs diverged, and when the first did. `at` holds -1 for a run that did not. */
export function divergence(at) {
  const steps = [...at].filter((t) => t >= 0);
  if (!steps.length) return at.length > 1 ? `None of the ${at.length} runs diverged.` : "";
  const first = format(Math.min(...steps));
  if (at.length === 1) return `The run diverged at step ${first}.`;
  return `${steps.length === at.length ? `All ${at.length}` : `${steps.length} of ${at.length}`} runs diverged, the first at step ${first}.`;
}

/** "0.02 (0.01 to 0.03)": a median with its quartiles, where they are finite. */
export function spreadText(mid, low, high, missing = "diverged") {
  if (!Number.isFinite(mid)) return missing;
  return format(mid) + (Number.isFinite(low) && Number.isFinite(high) ? ` (${format(low)} to ${format(high)})` : "");
}

/** "loss 0.02 at step 300, median of 5 seeds (quartiles 0.01 to 0.03)". */
export function valueText(label, where, mid, low, high, runs, band) {
  const many = `${runs} ${band}s`;
  if (!Number.isFinite(mid)) return runs > 1 ? `no finite median ${label}${where} (${many})` : `no finite ${label}${where}`;
  return `${label} ${format(mid)}${where}${runs > 1 ? `, median of ${many}${low < high ? ` (quartiles ${format(low)} to ${format(high)})` : ""}` : ""}`;
}

// ---------------------------------------------------------------- the cube

/** Labelled arrays cut out of one binary buffer; slices along a dimension cost nothing. */
export class Cube {
  constructor(spec, bytes) {
    this.dims = spec.dims;
    this.band = spec.band;
    this.arrays = {};
    for (const [name, meta] of Object.entries(spec.arrays)) {
      const stride = {};
      meta.shape.reduceRight((s, n, k) => { stride[meta.dims[k]] = s; return s * n; }, 1);
      this.arrays[name] = { ...meta, stride, values: decode(bytes, meta) };
    }
    for (const dim of Object.values(this.dims)) {
      if (!Array.isArray(dim.numbers)) {
        const { first, stride } = dim.numbers;
        dim.numbers = Array.from({ length: dim.n }, (_, i) => first + i * stride);
      }
    }
  }

  /** One row along `axis` for every run of the band (every single number where axis is null). */
  rows(name, sel, axis) {
    const { dims, runs, stride, values } = this.arrays[name];
    const base = dims.reduce((o, d) => (d === axis || d === this.band ? o : o + stride[d] * (sel[d] ?? 0)), 0);
    const n = axis === null ? 1 : this.dims[axis].n, by = stride[axis] ?? 0;
    return Array.from({ length: runs }, (_, k) => {
      const start = base + k * (stride[this.band] ?? 0);
      return by === 1 || n === 1 ? values.subarray(start, start + n) : Float32Array.from({ length: n }, (_, i) => values[start + i * by]);
    });
  }

  /** Median and quartiles over the band along `axis`. */
  curve(name, sel, axis) {
    const rows = this.rows(name, sel, axis);
    return { rows, ...summary(rows, this.arrays[name].worst) };
  }

  /** One number: the median over the band. */
  value(name, sel) { return this.curve(name, sel, null).mid[0]; }
}

// ---------------------------------------------------------------- drawing

const OURS = { "data-lm-suppress-shortcuts": "true" }; // JupyterLab leaves the keys to this element
const put = (el, attrs) => { for (const k in attrs) el.setAttribute(k, attrs[k]); return el; };
const html = (tag, attrs = {}, ...kids) => { const el = put(document.createElement(tag), attrs); el.append(...kids); return el; };
const svg = (tag, attrs = {}, ...kids) => { const el = put(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs); el.append(...kids); return el; };
const button = (text, onclick, attrs = {}) => { const el = html("button", { type: "button", class: "lrx-button", ...OURS, ...attrs }, text); el.onclick = onclick; return el; };
const swatch = (run, variable = 0) => svg("svg", { class: `lrx-swatch lrx-run-${run} lrx-var-${variable}`, width: 22, height: 10, "aria-hidden": true }, svg("path", { d: "M1 5H21" }));
const cross = (x, y) => `M${x - 4} ${y - 4}l8 8m0 -8l-8 8`;
const disc = ({ x, y }, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
const join = (points) => points.map((p, i) => `${i ? "L" : "M"}${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("");
const CHAR = 6.7; // the width of a figure at 12 px, on average
const MOVES = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], PageUp: [10, 0], PageDown: [-10, 0], Home: [-1e9, 0], End: [1e9, 0] };

/** What every panel shares: a head, axes, a clipped drawing area, a readout, the keyboard. */
class Frame {
  constructor(view, spec, about, last) {
    Object.assign(this, { view, spec, groups: [], log: { x: spec.log.includes("x"), y: spec.log.includes("y") } });
    this.name = html("span", { class: "lrx-name" }, spec.title ?? "");
    this.legend = html("span", { class: "lrx-legend" });
    this.toggles = html("span", { class: "lrx-toggles" });
    [this.grid, this.back, this.marks, this.over] = ["lrx-axes", "lrx-back", "lrx-marks", "lrx-over"].map((c) => svg("g", { class: c }));
    this.area = svg("svg", { overflow: "hidden" }, this.back, this.marks, this.over);
    this.svg = svg("svg", { "aria-hidden": true, focusable: false }, this.grid, this.area);
    this.plot = html("div", { ...OURS, class: "lrx-plot", tabindex: 0, role: "slider", "aria-label": about, "aria-valuemin": 0, "aria-valuemax": last, "aria-valuenow": 0 }, this.svg);
    this.readout = html("p", { class: "lrx-readout" });
    this.el = html("div", { class: `lrx-panel lrx-${spec.kind}` }, html("div", { class: "lrx-head" }, this.name, this.legend, this.toggles), html("div", {}, this.plot, this.readout));
    this.plot.addEventListener("keydown", (event) => {
      const by = MOVES[event.key], times = event.shiftKey ? 10 : 1;
      if (event.altKey || event.ctrlKey || event.metaKey || !(by || event.key === "Escape")) return;
      event.preventDefault();
      if (by) this.step(by[0] * times, by[1] * times);
      else this.leave();
    });
    for (const kind of ["pointermove", "pointerdown", "click"]) {
      this.plot.addEventListener(kind, (event) => {
        const box = this.plot.getBoundingClientRect();
        this.at(event.clientX - box.left - this.left, event.clientY - box.top - this.top, kind === "click");
      });
    }
    this.plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.leave(); });
  }

  leave() { this.view.point(null); }

  /** A button that switches an axis between linear and logarithmic. */
  toggle(axis, allowed) {
    if (!allowed) return;
    const el = button(`log ${axis}`, () => {
      this.log[axis] = !this.log[axis];
      put(el, { "aria-pressed": this.log[axis] });
      this.layout(this.width);
      this.view.schedule();
    }, { "aria-pressed": this.log[axis], "aria-label": `logarithmic ${axis} axis` });
    this.toggles.append(el);
  }

  /** Draw axes: x and y are {domain, log, label}, or {dim, label} for one cell per value. */
  axes(width, height, x, y) {
    const made = ({ domain, log, dim }, from, to, room) => {
      if (!dim) {
        const map = scale(domain, [from, to], log);
        return [map, (log ? logTicks : ticks)(...domain, room).map((v) => ({ text: format(v), at: map(v) }))];
      }
      const map = (i) => from + ((i + 0.5) * (to - from)) / dim.n, { numbers, labels } = dim;
      if (dim.n > 8 && dim.rising) {
        const round = (numbers[0] > 0 && numbers.at(-1) > 20 * numbers[0] ? logTicks : ticks)(numbers[0], numbers.at(-1), room);
        return [map, round.map((v) => ({ text: format(v), at: map(fraction(numbers, v)) }))];
      }
      const every = Math.ceil(dim.n / Math.max(1, room));
      return [map, labels.map((text, i) => ({ text, at: map(i) })).filter((_, i) => i % every === 0)];
    };
    const top = y.label ? 26 : 10, tall = height - 40 - top, longest = Math.max(5, ...(x.dim?.labels ?? []).map((t) => t.length));
    const [Y, yTicks] = made(y, tall, 0, tall / (y.dim ? 20 : 44));
    const left = Math.ceil(Math.max(1, ...yTicks.map((t) => t.text.length)) * CHAR + 12), inner = width - left - 14;
    const [X, xTicks] = made(x, 0, inner, inner / (longest * CHAR + 24));
    put(this.svg, { width, height, viewBox: `0 0 ${width} ${height}` });
    put(this.area, { x: left, y: top, width: inner, height: tall });
    const ink = (kind, d) => svg("path", { class: kind, d }), text = (words, attrs) => svg("text", attrs, words);
    this.grid.replaceChildren(
      ...yTicks.flatMap((t) => [
        ...(y.dim ? [] : [ink("lrx-rule", `M${left} ${top + t.at}h${inner}`)]),
        text(t.text, { x: left - 7, y: top + t.at + 4, "text-anchor": "end" }),
      ]),
      ...xTicks.flatMap((t) => [
        ink("lrx-tick", `M${left + t.at} ${top + tall}v4`),
        text(t.text, { x: Math.min(left + t.at, width - (t.text.length * CHAR) / 2), y: top + tall + 18, "text-anchor": "middle" }),
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

  hideFrom(n) { this.groups.slice(n).forEach(({ g }) => { g.style.display = "none"; }); }

  /** Faint curves of all values of one dimension, drawn again only when something else changes. */
  shadows(trail) {
    const { spec: { faint }, view } = this;
    if (!faint) return;
    const key = JSON.stringify({ ...view.sel, [faint]: 0 });
    if (key === this.faintKey) return;
    this.faintKey = key;
    put(this.faint, { d: view.spec.dims[faint].labels.map((_, i) => trail({ ...view.sel, [faint]: i })).join("") });
  }

  /** Say what is under the hand, for the eye and as the value of this plot. */
  report(index, head, items) {
    put(this.plot, { "aria-valuenow": index, "aria-valuetext": `${head}: ${items.map(({ run, text }) => (run.colour ? `${run.label}: ` : "") + text).join("; ")}` });
    this.readout.replaceChildren(html("span", {}, head), ...items.map(({ run, j, text }) => html("span", {}, ...(items.length > 1 ? [swatch(run.colour, j)] : []), text)));
  }

  /** Move the reading mark along a dimension; it is shared by all panels that have it. */
  walk(dim, by) {
    const { cursor, spec } = this.view, n = spec.dims[dim].n;
    this.view.point({ dim, i: clamp((cursor?.dim === dim ? cursor.i : by > 0 ? -1 : n) + by, 0, n - 1) });
  }
}

/** Curves with bands: median and quartiles over the runs, or every run. */
class Lines extends Frame {
  constructor(view, spec) {
    const dim = view.spec.dims[spec.x];
    super(view, spec, `${spec.title ?? spec.y.map((n) => view.spec.arrays[n].label).join(", ")} against ${dim.label}`, dim.n - 1);
    this.dim = dim;
    this.toggle("y", spec.y.every((n) => spec.domain[n].log));
    this.toggle("x", spec.xlog);
    [this.faint, this.here, this.cursor] = ["lrx-faint", "lrx-here", "lrx-cursor"].map((c) => svg("path", { class: c }));
    this.rules = svg("g", { class: "lrx-reference" });
    this.back.append(this.faint);
    this.over.append(this.rules, this.here, this.cursor);
  }

  shown() { return this.spec.choose ? [this.spec.y[this.view.sel[this.spec.choose]]] : this.spec.y; }

  layout(width) {
    const { spec, view, dim } = this, names = this.shown(), label = (n) => view.spec.arrays[n].label;
    const ends = names.map((n) => spec.domain[n][this.log.y ? "log" : "linear"]), numbers = dim.numbers.filter((v) => !this.log.x || v > 0);
    const ylabel = spec.ylabel ?? (names.length === 1 ? label(names[0]) : null);
    if (!spec.title) this.name.textContent = ylabel ?? "";
    this.axes(width, clamp(width * 0.62, 230, 320),
      { domain: spec.xlim ?? [Math.min(...numbers), Math.max(...numbers)], log: this.log.x, label: dim.label },
      { domain: [Math.min(...ends.map((e) => e[0])), Math.max(...ends.map((e) => e[1]))], log: this.log.y, label: spec.title && ylabel });
    this.legend.replaceChildren(...(names.length > 1 ? names : []).map((n, j) => html("span", {}, swatch(0, j), label(n))));
    this.laid = names.join();
    this.faintKey = null;
  }

  draw(runs, cursor) {
    const { view, spec, dim } = this, xs = dim.numbers, names = this.shown();
    if (names.join() !== this.laid) this.layout(this.width);
    const { X, Y } = this, along = cursor?.dim === spec.x ? cursor.i : null, draw = (ys) => trace(xs, ys, X, Y);
    this.series = runs.flatMap((run) => names.map((name, j) => ({ name, run, j, x: xs, worst: view.spec.arrays[name].worst, ...view.cube.curve(name, run.sel, spec.x) })));
    this.series.forEach((s, i) => {
      const { g, band, runs: all, line, cross: ends, dot } = this.group(i, ["band", "runs", "line", "cross", "dot"]);
      const many = s.rows.length > 1 ? spec.spread : "", k = along ?? (spec.selects ? s.run.sel[spec.x] : -1);
      put(g, { class: `lrx-run-${s.run.colour} lrx-var-${s.j}` });
      put(line, { d: draw(s.mid), "data-series": s.name });
      put(all, { d: many === "runs" ? s.rows.map(draw).join("") : "" });
      put(band, { d: many === "band" ? this.ribbon(s) : "" });
      put(ends, { d: this.crosses(s) });
      put(dot, { d: k >= 0 && Number.isFinite(s.mid[k]) ? disc({ x: X(xs[k]), y: Y(s.mid[k]) }, 4) : "" });
    });
    this.hideFrom(this.series.length);
    this.shadows((sel) => draw(view.cube.curve(names[0], sel, spec.x).mid));
    this.drawRules();
    put(this.here, { d: spec.selects ? `M${X(xs[view.sel[spec.x]])} 0V${this.tall}` : "" });
    put(this.cursor, { d: along === null ? "" : `M${X(xs[along])} 0V${this.tall}` });
    const k = along ?? this.place(), named = names.length > 1 || this.series.length === 1;
    this.report(k, `${dim.label} ${format(xs[k])}`, this.series.map((s) => ({
      run: s.run, j: s.j, text: (named ? `${view.spec.arrays[s.name].label} ` : "") + spreadText(s.mid[k], s.low?.[k], s.high?.[k]),
    })));
  }

  /** The index that the sentence speaks of: the chosen one, or the last. */
  place() { return this.spec.selects ? this.view.sel[this.spec.x] : this.dim.n - 1; }

  ribbon({ low, high, x }) {
    const far = (v) => (Number.isFinite(v) ? v : v > 0 ? Number.MAX_VALUE : this.log.y ? Number.MIN_VALUE : -Number.MAX_VALUE);
    const keep = [...x.keys()].filter((i) => Number.isFinite(low[i]) || Number.isFinite(high[i]));
    if (!keep.length) return "";
    const edge = (ys) => trace(keep.map((i) => x[i]), keep.map((i) => far(ys[i])), this.X, this.Y), up = edge(high);
    keep.reverse();
    return `${up}L${edge(low).slice(1)}Z`;
  }

  /** A cross where a run ends before its time, an arrow where it leaves the picture for good. */
  crosses({ rows, mid, worst, x }) {
    const { X, Y, inner, tall } = this, edge = worst > 0 ? 6 : tall - 6;
    const mark = (i, v) => cross(clamp(X(x[Math.max(0, i)]), 5, inner - 5), Number.isFinite(v) ? clamp(Y(v), 6, tall - 6) : edge);
    if (this.spec.selects) {
      let last = -Infinity;
      return [...x.keys()].filter((i) => !Number.isFinite(mid[i]) && X(x[i]) - last > 11 && ((last = X(x[i])), true)).map((i) => mark(i, NaN)).join("");
    }
    return rows.map((row) => {
      const end = lastFinite(row);
      if (end < row.length - 1) return mark(end, row[end]);
      if (Y(row[end]) >= 0) return "";
      let i = end;
      while (i > 0 && Y(row[i - 1]) < 0) i--;
      return `M${clamp(X(x[i]), 6, inner - 6) - 5} 8l5 -6l5 6`;
    }).join("");
  }

  drawRules() {
    const { inner, tall } = this;
    this.rules.replaceChildren(...this.spec.rules.flatMap(([axis, label, at]) => {
      const v = typeof at === "string" ? this.view.cube.value(at, this.view.sel) : at, px = axis === "y" ? this.Y(v) : this.X(v);
      if (!(px >= 0 && px <= (axis === "y" ? tall : inner))) return [];
      const right = axis === "x" && px + label.length * CHAR + 8 > inner;
      const place = axis === "y" ? { x: inner - 4, y: px > 20 ? px - 5 : px + 14, "text-anchor": "end" } : { x: px + (right ? -5 : 5), y: this.spec.selects ? 25 : 12, "text-anchor": right ? "end" : "start" };
      return [svg("path", { d: axis === "y" ? `M0 ${px}H${inner}` : `M${px} 0V${tall}` }), svg("text", place, label)];
    }));
  }

  step(across, up) {
    const { x, selects } = this.spec, by = across || up;
    if (selects) this.view.select({ [x]: this.view.index(x) + by });
    else this.walk(x, by);
  }

  at(px, _, click) {
    const i = nearest(this.dim.numbers, px, this.X);
    if (click && this.spec.selects) this.view.select({ [this.spec.x]: i });
    else this.view.point({ dim: this.spec.x, i });
  }

  clause() {
    const { view, spec, dim } = this, k = this.place(), where = spec.selects ? "" : ` at ${dim.label} ${format(dim.numbers[k])}`;
    return this.series.filter((s) => s.run.colour === 0).map((s) =>
      valueText(view.spec.arrays[s.name].label, where, s.mid[k], s.low?.[k], s.high?.[k], s.rows.length, view.spec.band)).join("; ");
  }
}

/** A descent path over contour lines, or over a curve when there is one coordinate. */
class Path extends Frame {
  constructor(view, spec) {
    const dim = view.spec.dims[spec.along];
    super(view, spec, `${spec.title ?? "path"}: ${spec.xlabel} and ${spec.ylabel} along ${dim.label}`, dim.n - 1);
    this.dim = dim;
    this.name.textContent = spec.title ?? spec.ylabel;
    this.toggle("y", spec.ylog);
    this.faint = svg("path", { class: "lrx-faint" });
    this.ground = svg("g", { class: spec.curve ? "lrx-curve" : "lrx-contours" });
    this.back.append(this.ground, this.faint);
  }

  layout(width) {
    const { domain: { x, y }, equal, title, xlabel, ylabel } = this.spec, domain = y[this.log.y ? "log" : "linear"];
    const height = equal ? ((width - 50) * (domain[1] - domain[0])) / (x[1] - x[0]) + 66 : width * 0.68;
    this.axes(width, clamp(height, 200, equal ? 900 : 340), { domain: x, log: false, label: xlabel }, { domain, log: this.log.y, label: title && ylabel });
    this.groundKey = this.faintKey = null;
  }

  /** The points of each run, in pixels; far ones are pulled in along their direction. */
  points(sel) {
    const { spec, view, X, Y } = this, cx = this.inner / 2, cy = this.tall / 2, far = 4 * (cx + cy);
    const ys = view.cube.rows(spec.y, sel, spec.along);
    return view.cube.rows(spec.x, sel, spec.along).map((xs, k) => Array.from(xs, (x, i) => {
      const at = [x, ys[k % ys.length][i]];
      if (!at.every(Number.isFinite)) return null;
      const dx = X(x) - cx, dy = clamp(Y(at[1]), -1e9, 1e9) - cy, pull = Math.min(1, far / Math.hypot(dx, dy));
      return { x: cx + dx * pull, y: cy + dy * pull, at, i };
    }));
  }

  inside({ x, y }) { return x >= -1 && x <= this.inner + 1 && y >= -1 && y <= this.tall + 1; }

  draw(runs, cursor) {
    const { spec, dim, view } = this, along = cursor?.dim === spec.along ? cursor.i : null;
    this.drawGround();
    this.shadows((sel) => this.points(sel).map((path) => {
      const out = path.findIndex((p) => !p || !this.inside(p));
      return join((out < 0 ? path : path.slice(0, out + 1)).filter(Boolean));
    }).join(""));
    this.series = runs.map((run) => ({ run, name: `${spec.x} ${spec.y}`, paths: this.points(run.sel) }));
    this.series.forEach(({ run, paths }, i) => {
      const { g, line, beads, start, end, cross: ends, dot } = this.group(i, ["line", "beads", "start", "end", "cross", "dot"]);
      const there = paths.map((path) => path.filter(Boolean)).filter((path) => path.length), last = there.map((path) => path.at(-1));
      const lost = last.filter((p) => p.i < dim.n - 1 || !this.inside(p)), now = along === null ? null : paths[0][along];
      put(g, { class: `lrx-run-${run.colour} lrx-var-0` });
      put(line, { d: there.map(join).join(""), "data-series": spec.y });
      put(beads, { d: dim.n <= 120 && there.length === 1 ? there[0].map((p) => disc(p, 2)).join("") : "" });
      put(start, { d: there.map((path) => disc(path[0], 4.5)).join("") });
      put(end, { d: last.filter((p) => !lost.includes(p)).map((p) => disc(p, 4.5)).join("") });
      put(ends, { d: lost.map((p) => cross(clamp(p.x, 6, this.inner - 6), clamp(p.y, 6, this.tall - 6))).join("") });
      put(dot, { d: now ? disc(now, 5) : "" });
    });
    this.hideFrom(runs.length);
    const k = along ?? dim.n - 1;
    this.report(k, `${dim.label} ${format(dim.numbers[k])}`, this.series.map(({ run, paths }) => ({ run, j: 0, text: paths[0][k] ? this.pair(paths[0][k]) : "diverged" })));
  }

  /** Coordinates as a reader can see them: to a thousandth of the picture. */
  pair({ at }) {
    const { x, y } = this.spec.domain;
    return `(${at.map((v, k) => { const [a, b] = k ? y.linear : x, grain = 10 ** (Math.floor(Math.log10(b - a)) - 3); return format(Math.round(v / grain) * grain); }).join(", ")})`;
  }

  drawGround() {
    const { spec, view, X, Y } = this, source = spec.curve ?? spec.contours, k = source?.dim ? view.sel[source.dim] : 0;
    if (!source || k === this.groundKey) return;
    this.groundKey = k;
    if (spec.curve) {
      const { mid } = view.cube.curve(source.name, view.sel, source.along);
      this.ground.replaceChildren(svg("path", { d: trace(view.spec.dims[source.along].numbers, mid, X, Y) }));
      return;
    }
    const { offset, size, levels } = source.sets[k], codes = new Uint16Array(view.bytes.slice(offset, offset + 4 * size).buffer);
    const place = (code, [a, b]) => a + ((code / 65535) * (1 + 2 * source.pad) - source.pad) * (b - a);
    let at = -2;
    const ring = (n) => join(Array.from({ length: n }, () => { at += 2; return { x: X(place(codes[at], spec.domain.x)), y: Y(place(codes[at + 1], spec.domain.y.linear)) }; })) + "Z";
    this.ground.replaceChildren(...levels.map((rings) => svg("path", { d: rings.map(ring).join("") })));
  }

  step(across, up) { this.walk(this.spec.along, across || up); }

  at(px, py) {
    const gap = (p) => Math.hypot(p.x - px, p.y - py), path = this.series.at(-1).paths[0].filter(Boolean);
    const best = path.reduce((a, p) => (a && gap(a) <= gap(p) ? a : p), null);
    this.view.point(best && gap(best) < 40 ? { dim: this.spec.along, i: best.i } : null);
  }

  clause() {
    const { label, numbers } = this.dim, path = this.series.at(-1).paths[0].filter(Boolean), end = path.at(-1);
    if (!end) return "no finite point";
    if (this.inside(end)) return `the path ends at ${this.pair(end)} after ${label} ${format(numbers[end.i])}`;
    return `the path leaves the picture at ${label} ${format(numbers[path.find((p) => !this.inside(p)).i])}`;
  }
}

const RAMP = ["#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958", "#fee838"]
  .map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));

/** A colour of the ramp (cividis: even in lightness, the same to colour-blind eyes), t in 0…1. */
export function ramp(t) {
  const at = clamp(t, 0, 1) * (RAMP.length - 1), k = Math.min(Math.floor(at), RAMP.length - 2);
  return `rgb(${RAMP[k].map((c, j) => Math.round(c + (RAMP[k + 1][j] - c) * (at - k))).join(" ")})`;
}

/** A grid of medians; a cell is a run to choose. */
class HeatMap extends Frame {
  constructor(view, spec) {
    const dx = view.spec.dims[spec.x], dy = view.spec.dims[spec.y];
    super(view, spec, `${spec.title} over ${dx.label} and ${dy.label}, arrow keys choose a cell`, dx.n * dy.n - 1);
    Object.assign(this, { dx, dy, label: view.spec.arrays[spec.value].label });
    [this.cells, this.bounds] = [svg("g"), svg("g", { class: "lrx-reference" })];
    [this.hatch, this.best] = [svg("path", { class: "lrx-hatch" }), svg("path", { class: "lrx-best" })];
    this.back.append(this.cells, this.hatch, this.bounds, this.best);
    const map = scale(spec.domain, [0, 1], spec.log), stops = (spec.log ? logTicks : ticks)(...spec.domain, 4);
    this.tint = (v) => ramp(map(v));
    this.bar = html("span", { class: "lrx-bar", style: `background:linear-gradient(90deg,${[...Array(9).keys()].map((k) => ramp(k / 8))})` },
      ...stops.map((v) => html("span", { style: `left:${clamp(map(v), 0, 1) * 100}%` }, format(v))));
    this.lostKey = html("span", { class: "lrx-lost" }, svg("svg", { width: 18, height: 12, "aria-hidden": true }, svg("path", { class: "lrx-hatch", d: "M0 6L6 0M0 12L12 0M6 12L18 0M12 12L18 6" })), spec.missing);
    this.bestKey = html("span", { class: "lrx-lost" }, svg("svg", { width: 14, height: 14, "aria-hidden": true }, svg("rect", { width: 14, height: 14 }), svg("path", { class: "lrx-best", d: disc({ x: 7, y: 7 }, 4) })), spec.best > 0 ? "highest" : "lowest");
    this.plot.after(html("p", { class: "lrx-key" }, this.bar, this.bestKey, this.lostKey));
  }

  layout(width) {
    this.axes(width, clamp(this.dy.n * 30 + 66, Math.min(220, width * 0.62), 400), { dim: this.dx, label: this.dx.label }, { dim: this.dy, label: this.dy.label });
    this.w = this.inner / this.dx.n;
    this.h = this.tall / this.dy.n;
    this.key = null;
  }

  draw(runs) {
    const { spec: { x, y }, w, h } = this, { sel } = runs.at(-1), key = JSON.stringify({ ...sel, [x]: 0, [y]: 0 });
    if (key !== this.key) this.drawCells(sel);
    this.key = key;
    runs.forEach((run, i) => {
      const { g, ring } = this.group(i, ["ring"]);
      put(g, { class: `lrx-run-${run.colour}` });
      put(ring, { d: `M${this.X(run.sel[x]) - w / 2} ${this.Y(run.sel[y]) - h / 2}h${w}v${h}h${-w}Z` });
    });
    this.hideFrom(runs.length);
    this.tell(this.hover ?? [sel[x], sel[y]]);
  }

  drawCells(sel) {
    const { spec, view, w, h, dx, dy } = this, gap = Math.min(w, h) > 8 ? 0.5 : 0, cells = [];
    let hatch = "";
    this.values = dy.labels.map((_, j) => dx.labels.map((_, i) => {
      const v = view.cube.value(spec.value, { ...sel, [spec.x]: i, [spec.y]: j }), left = this.X(i) - w / 2, top = this.Y(j) - h / 2;
      if (Number.isFinite(v)) cells.push(svg("rect", { x: left + gap, y: top + gap, width: w - 2 * gap, height: h - 2 * gap, fill: this.tint(v) }));
      else for (let o = 5; o < w + h; o += 6) hatch += `M${left + Math.max(0, o - h)} ${top + Math.min(o, h)}L${left + Math.min(o, w)} ${top + Math.max(0, o - w)}`;
      return v;
    }));
    this.series = [{ name: spec.value, run: { colour: 0 }, values: this.values }];
    this.cells.replaceChildren(...cells);
    put(this.hatch, { d: hatch });
    const flat = this.values.flat(), finite = flat.filter(Number.isFinite), top = spec.best && finite.length ? flat.indexOf(spec.best > 0 ? Math.max(...finite) : Math.min(...finite)) : -1;
    this.winner = top < 0 ? null : [top % dx.n, Math.floor(top / dx.n)];
    this.lost = flat.length - finite.length;
    put(this.best, { d: this.winner ? disc({ x: this.X(this.winner[0]), y: this.Y(this.winner[1]) }, 4) : "" });
    this.bar.hidden = !finite.length;
    this.bestKey.hidden = top < 0;
    this.lostKey.hidden = !this.lost;
    this.bounds.replaceChildren(...spec.bounds.flatMap(([label, at]) => {
      const px = at.map((v) => this.X(fraction(dx.numbers, v))), d = px.map((p, j) => `${j ? "L" : "M"}${p} ${this.Y(j) + h / 2}V${this.Y(j) - h / 2}`).join("");
      return [svg("path", { class: "lrx-halo", d }), svg("path", { d }), svg("text", { x: clamp(px[0] + 5, 0, this.inner - label.length * CHAR), y: this.tall - 6 }, label)];
    }));
  }

  where([i, j]) { return `${this.dx.label} ${this.dx.labels[i]}, ${this.dy.label} ${this.dy.labels[j]}`; }

  tell([i, j]) {
    const { spec, view } = this, { mid, low, high } = view.cube.curve(spec.value, { ...view.sel, [spec.x]: i, [spec.y]: j }, null);
    const text = `${Number.isFinite(mid[0]) ? `${this.label} ` : ""}${spreadText(mid[0], low?.[0], high?.[0], spec.missing)}`;
    this.report(j * this.dx.n + i, this.where([i, j]), [{ run: { colour: 0 }, text }]);
  }

  leave() {
    this.hover = null;
    this.view.schedule();
  }

  step(across, up) {
    const { spec: { x, y }, view } = this;
    this.hover = null;
    view.select({ [x]: view.index(x) + across, [y]: view.index(y) + up });
  }

  at(px, py, click) {
    const cell = [clamp(Math.floor(px / this.w), 0, this.dx.n - 1), clamp(this.dy.n - 1 - Math.floor(py / this.h), 0, this.dy.n - 1)];
    this.hover = click ? null : cell;
    if (click) this.view.select({ [this.spec.x]: cell[0], [this.spec.y]: cell[1] });
    else this.tell(cell);
  }

  clause() {
    const { spec, winner, lost } = this, parts = [];
    if (winner) parts.push(`the ${spec.best > 0 ? "highest" : "lowest"} ${this.label}, ${format(this.values[winner[1]][winner[0]])}, is at ${this.where(winner)}`);
    if (lost) parts.push(`${lost} of ${this.dx.n * this.dy.n} cells ${spec.missing}`);
    return parts.join("; ");
  }
}

// ---------------------------------------------------------------- the view

const KINDS = { lines: Lines, path: Path, heat: HeatMap }, PIN_COLOURS = [1, 2, 3, 4];

class View {
  constructor(model, el) {
    Object.assign(this, { model, el, spec: model.get("spec"), cursor: null });
    const data = model.get("data");
    this.bytes = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
    this.cube = new Cube(this.spec, this.bytes);
    this.keys = Object.keys(this.spec.start);
    this.readSelection();
    this.panels = this.spec.panels.map((p) => new KINDS[p.kind](this, p));
    this.sentence = html("p", { class: "lrx-sentence", "aria-live": "polite" });
    this.pinList = html("ul", { class: "lrx-pins" });
    this.pinButton = button("Pin this run", () => this.pin());
    this.clear = button("Clear pins", () => this.setPins([]));
    this.root = html("section", { class: "lrx-root", "aria-label": this.spec.alt },
      html("div", { class: "lrx-top" }, html("p", { class: "lrx-title" }, this.spec.title), html("div", { class: "lrx-tools" }, ...(this.spec.named.length ? [this.pinButton, this.clear] : []))),
      this.pinList, html("div", { class: "lrx-panels", style: `--lrx-n:${this.panels.length}` }, ...this.panels.map((p) => p.el)), this.sentence);
    this.root.lrx = { series: () => this.series(), updates: 0, ms: 0 };
    el.append(this.root);
    for (const key of this.keys) model.on(`change:i_${key}`, () => this.schedule());
    model.on("change:pins", () => this.schedule());
    this.dresser = new MutationObserver(() => this.dress());
    this.resizer = new ResizeObserver(() => this.resize());
    for (const p of this.panels) this.resizer.observe(p.el);
  }

  dispose() {
    for (const observer of [this.resizer, this.dresser]) observer.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.calm);
    this.root.remove();
  }

  /** What is chosen now; `sel` is what was drawn last. */
  index(key) { return this.model.get(`i_${key}`); }

  readSelection() { this.sel = Object.fromEntries(this.keys.map((k) => [k, this.index(k)])); }

  resize() {
    if (!this.host) this.adopt();
    const changed = this.panels.filter((p) => p.el.clientWidth > 0 && p.el.clientWidth !== p.width);
    changed.forEach((p) => p.layout(p.el.clientWidth));
    if (changed.length) this.draw();
  }

  /** However many values change, one frame draws them all. */
  schedule() { this.frame ??= requestAnimationFrame(() => this.draw()); }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (this.panels.some((p) => !p.width)) return;
    const { spec, keys, root } = this, started = performance.now();
    this.readSelection();
    const runs = [...this.model.get("pins").map((p) => ({ ...p, sel: { ...this.sel, ...p.sel } })), { sel: this.sel, colour: 0 }];
    const apart = differing(runs.map((r) => r.sel)).filter((d) => spec.named.includes(d));
    runs.forEach((r) => { r.label = naming(spec.dims, r.sel, apart.length ? spec.named.filter((d) => apart.includes(d)) : spec.named); });
    this.panels.forEach((p) => p.draw(runs, this.cursor));
    root.dataset.selection = JSON.stringify(Object.fromEntries(keys.map((k) => [k, (spec.dims[k]?.labels ?? spec.choices[k])[this.sel[k]]])));
    this.showPins(runs);
    this.speak();
    root.lrx.updates += 1;
    root.lrx.ms = performance.now() - started;
  }

  /** The sentence changes at once for the eye, and is read out when the hand rests. */
  speak() {
    const { spec, sel } = this, where = naming(spec.dims, sel, spec.named), said = [...new Set(this.panels.map((p) => p.clause()))].filter(Boolean).join("; ");
    const lost = spec.diverged ? divergence(this.cube.rows(spec.diverged, sel, null).map((r) => r[0])) : "";
    const text = [`${capital([where, said].filter(Boolean).join(": "))}.`, lost, spec.held].filter(Boolean).join(" ");
    if (text === this.sentence.textContent) return;
    put(this.sentence, { "aria-busy": true });
    this.sentence.textContent = text;
    clearTimeout(this.calm);
    this.calm = setTimeout(() => this.sentence.removeAttribute("aria-busy"), 400);
  }

  select(changes) {
    for (const [dim, i] of Object.entries(changes)) this.model.set(`i_${dim}`, clamp(i, 0, this.spec.dims[dim].n - 1));
    this.model.save_changes();
  }

  point(cursor) {
    if (cursor?.i === this.cursor?.i && cursor?.dim === this.cursor?.dim) return;
    this.cursor = cursor;
    this.schedule();
  }

  pin() {
    const pins = this.model.get("pins"), colour = PIN_COLOURS.find((c) => !pins.some((p) => p.colour === c));
    const sel = Object.fromEntries(this.spec.named.map((d) => [d, this.index(d)])), same = (p) => !differing([p.sel, sel]).length;
    if (colour && !pins.some(same)) this.setPins([...pins, { sel, colour }]);
  }

  setPins(pins) {
    this.model.set("pins", pins);
    this.model.save_changes();
    this.pinButton.focus();
  }

  showPins(runs) {
    const key = runs.map((r) => r.label + r.colour).join("|"), none = runs.length === 1;
    if (key === this.pinKey) return;
    this.pinKey = key;
    put(this.pinButton, { "aria-disabled": runs.length > PIN_COLOURS.length });
    this.clear.hidden = this.pinList.hidden = none;
    const unpin = (r) => button("×", () => this.setPins(this.model.get("pins").filter((p) => p.colour !== r.colour)), { class: "lrx-button lrx-unpin", "aria-label": `Remove the pin at ${r.label}` });
    this.pinList.replaceChildren(...(none ? [] : runs).map((r) => html("li", {}, swatch(r.colour), r.label, r.colour ? unpin(r) : html("span", { class: "lrx-now" }, "shown now"))));
  }

  /** The controls are ordinary widgets beside this view; they lack names and states. Give them. */
  adopt() {
    this.host = this.el.closest(".lrx")?.querySelector(".lrx-controls");
    if (!this.host) return;
    this.dress();
    this.dresser.observe(this.host, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["aria-valuetext", "contenteditable", "class"] });
  }

  dress() {
    const set = (el, attrs) => { for (const k in attrs) if (el && el.getAttribute(k) !== attrs[k]) el.setAttribute(k, attrs[k]); };
    for (const control of this.host.children) {
      const label = control.querySelector("label"), name = label?.textContent ?? "", readout = control.querySelector("[class*=readout]"), buttons = [...control.querySelectorAll("button")];
      set(control.querySelector(".noUi-handle"), { ...OURS, "aria-label": name, "aria-valuetext": readout?.textContent ?? "" });
      set(readout, { contenteditable: "false" });
      if (label?.title === "null") label.removeAttribute("title");
      set(control.querySelector("select"), { ...OURS, "aria-label": name });
      buttons.forEach((b) => set(b, { ...OURS, "aria-pressed": String(b.classList.contains("mod-active")) }));
      set(buttons[0]?.parentElement, { role: "group", "aria-label": name });
    }
  }

  /** The numbers that are drawn at this moment, for tests and for the curious. */
  series() {
    const plain = (a) => a && Array.from(a);
    return this.panels.flatMap((p, panel) => p.series.map((s) => ({
      panel, name: s.name, pin: s.run.colour, x: plain(s.x), y: plain(s.mid), low: plain(s.low), high: plain(s.high), values: s.values, paths: s.paths?.map((path) => path.map((q) => q && q.at)),
    })));
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.dispose();
  },
};
