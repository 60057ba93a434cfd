// The explorer's view: it draws recorded runs and lets a reader walk through them.
// Everything it needs comes with the model: `spec` (what to draw), `data` (the cube, binary)
// and one trait `i_<dim>` for each selected index. No kernel, no network, no dependency.

// ---------------------------------------------------------------- numbers

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A number to three significant digits, as the Python side writes it: 0.0316, 3.2×10⁻⁵, −4. */
export function format(value, digits = 3) {
  if (Number.isNaN(value)) return "no value";
  const size = Math.abs(value), sign = value < 0 ? "−" : "";
  if (size === Infinity) return sign + "∞";
  if (Number.isInteger(value) && size < 1e7) return sign + size;
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

/** A map from numbers to pixels, linear or logarithmic, with its inverse. */
export function scale([a, b], [from, to], log = false) {
  const f = log ? (v) => (v > 0 ? Math.log(v) : -1e9) : (v) => v;
  const low = f(a), k = (to - from) / (f(b) - low || 1);
  const map = (v) => from + (f(v) - low) * k;
  map.invert = (px) => (log ? Math.exp(low + (px - from) / k) : low + (px - from) / k);
  return map;
}

/** About n round numbers from lo to hi: multiples of 1, 2 or 5. */
export function ticks(lo, hi, n = 5) {
  const raw = (hi - lo) / Math.max(1, n);
  if (!(raw > 0)) return [lo];
  const power = 10 ** Math.floor(Math.log10(raw));
  const stride = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
  const out = [];
  for (let k = Math.ceil(lo / stride - 1e-9); k <= hi / stride + 1e-9; k++) out.push(Number((k * stride).toPrecision(12)));
  return out;
}

/** Powers of ten from lo to hi, every k-th if there are many, with 2s and 5s if there are few. */
export function logTicks(lo, hi, n = 5) {
  const powers = [];
  for (let p = Math.ceil(Math.log10(lo) - 1e-9); p <= Math.log10(hi) + 1e-9; p++) powers.push(p);
  const every = Math.ceil(powers.length / Math.max(1, n));
  const wide = powers.filter((p) => p % every === 0).map((p) => Number(`1e${p}`));
  if (powers.length > 2) return wide;
  const fine = [];
  for (let p = Math.floor(Math.log10(lo)); p <= Math.log10(hi); p++) {
    for (const m of [1, 2, 5]) fine.push(Number(`${m}e${p}`));
  }
  const inside = fine.filter((v) => v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9));
  return inside.length > 2 ? inside : ticks(lo, hi, n);
}

/** The index of the number nearest to a wanted one, in pixels if a scale is given. */
export function nearest(numbers, wanted, map = (v) => v) {
  let best = 0;
  numbers.forEach((v, i) => { if (Math.abs(map(v) - wanted) < Math.abs(map(numbers[best]) - wanted)) best = i; });
  return best;
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
    const y = Math.max(-1e4, Math.min(1e4, Y(ys[i])));
    d += pen + Math.round(X(xs[i]) * 10) / 10 + " " + Math.round(y * 10) / 10;
    pen = "L";
  }
  return d;
}

// ---------------------------------------------------------------- words

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

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

/** "loss 0.02 at step 300, median of 5 seeds (quartiles 0.01 to 0.03)". */
export function valueText(label, where, mid, low, high, runs, band) {
  const spread = runs > 1 ? `, median of ${runs} ${band}s` : "";
  if (!Number.isFinite(mid)) return `no finite ${label}${where}${spread}`;
  return `${label} ${format(mid)}${where}${spread}${runs > 1 ? ` (quartiles ${format(low)} to ${format(high)})` : ""}`;
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
    const { dims, shape, stride, values } = this.arrays[name];
    const base = dims.reduce((o, d) => (d === axis || d === this.band ? o : o + stride[d] * (sel[d] ?? 0)), 0);
    const runs = dims.includes(this.band) ? shape[dims.indexOf(this.band)] : 1;
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
  value(name, sel) {
    return this.curve(name, sel, null).mid[0];
  }
}

// ---------------------------------------------------------------- drawing

const put = (el, attrs) => { for (const k in attrs) el.setAttribute(k, attrs[k]); return el; };
const html = (tag, attrs = {}, ...kids) => { const el = put(document.createElement(tag), attrs); el.append(...kids); return el; };
const svg = (tag, attrs = {}, ...kids) => { const el = put(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs); el.append(...kids); return el; };
const button = (text, onclick, attrs = {}) => { const el = html("button", { type: "button", class: "lrx-button", ...attrs }, text); el.onclick = onclick; return el; };
const swatch = (run, variable) => svg("svg", { class: `lrx-swatch lrx-run-${run} lrx-var-${variable}`, width: 22, height: 10, "aria-hidden": true }, svg("path", { d: "M1 5H21" }));
const cross = (x, y) => `M${x - 4} ${y - 4}l8 8m0 -8l-8 8`;
const clamp = (v, lo, hi) => Math.max(lo, Math.min(hi, v));

/** What every panel shares: a head, axes, a clipped drawing area, a readout, the keyboard. */
class Frame {
  constructor(view, spec) {
    this.view = view;
    this.spec = spec;
    this.log = { x: spec.log.includes("x"), y: spec.log.includes("y") };
    this.name = html("span", { class: "lrx-name" });
    this.legend = html("span", { class: "lrx-legend" });
    this.toggles = html("span", { class: "lrx-toggles" });
    this.head = html("div", { class: "lrx-head" }, this.name, this.legend, this.toggles);
    this.grid = svg("g", { class: "lrx-axes" });
    this.back = svg("g");
    this.marks = svg("g");
    this.over = svg("g");
    this.area = svg("svg", { overflow: "hidden" }, this.back, this.marks, this.over);
    this.svg = svg("svg", { "aria-hidden": true, focusable: false }, this.grid, this.area);
    this.plot = html("div", { class: "lrx-plot", tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuenow": 0 }, this.svg);
    this.readout = html("p", { class: "lrx-readout" });
    this.el = html("div", { class: `lrx-panel lrx-${spec.kind}` }, this.head, this.plot, this.readout);
    this.plot.addEventListener("keydown", (event) => {
      const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], PageUp: [10, 0], PageDown: [-10, 0], Home: [-1e9, 0], End: [1e9, 0] }[event.key];
      if (event.key === "Escape") this.view.point(null);
      else if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
      else this.step(by[0] * (event.shiftKey ? 10 : 1), by[1] * (event.shiftKey ? 10 : 1));
      event.preventDefault();
    });
    for (const kind of ["pointermove", "pointerdown", "click"]) {
      this.plot.addEventListener(kind, (event) => {
        const box = this.plot.getBoundingClientRect();
        this.at(event.clientX - box.left - this.left, event.clientY - box.top - this.top, kind === "click");
      });
    }
    this.plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.view.point(null); });
  }

  toggle(axis, allowed) {
    if (!allowed) return;
    const el = button(`log ${axis}`, () => {
      this.log[axis] = !this.log[axis];
      el.setAttribute("aria-pressed", this.log[axis]);
      this.layout(this.width);
      this.view.schedule();
    }, { "aria-pressed": this.log[axis], "aria-label": `logarithmic ${axis} axis` });
    this.toggles.append(el);
  }

  /** Axes for a width in pixels: x and y are {domain, log, label} or {labels, label} for cells. */
  axes(width, height, x, y) {
    const wide = (list) => Math.max(...list.map((t) => t.text.length), 1) * 6.7;
    const made = (axis, from, to, n) => {
      if (axis.labels) {
        const size = (to - from) / axis.labels.length, every = Math.ceil(axis.labels.length / Math.max(1, n));
        const map = (i) => from + (i + 0.5) * size;
        return [map, axis.labels.map((text, i) => ({ text, at: map(i) })).filter((_, i) => i % every === 0)];
      }
      const map = scale(axis.domain, [from, to], axis.log);
      const at = (axis.log ? logTicks : ticks)(...axis.domain, n);
      return [map, at.map((v) => ({ text: format(v), at: map(v) }))];
    };
    this.top = 10;
    const bottom = 40, right = 14;
    const [Y, yTicks] = made(y, height - bottom - this.top, 0, (height - bottom) / (y.labels ? 20 : 46));
    this.left = Math.ceil(wide(yTicks) + 12);
    const inner = width - this.left - right, tall = height - bottom - this.top;
    const longest = x.labels ? Math.max(...x.labels.map((t) => t.length)) * 6.7 + 12 : 70;
    const [X, xTicks] = made(x, 0, inner, inner / longest);
    put(this.svg, { width, height, viewBox: `0 0 ${width} ${height}` });
    put(this.area, { x: this.left, y: this.top, width: inner, height: tall });
    const items = yTicks.map((t) => [
      ...(y.labels ? [] : [svg("path", { class: "lrx-rule", d: `M${this.left} ${this.top + t.at}h${inner}` })]),
      svg("text", { x: this.left - 7, y: this.top + t.at + 4, "text-anchor": "end" }, t.text),
    ]);
    xTicks.forEach((t) => {
      const x = this.left + t.at;
      items.push([
        svg("path", { class: "lrx-tick", d: `M${x} ${this.top + tall}v4` }),
        svg("text", { x: clamp(x, t.text.length * 3.4, width - t.text.length * 3.4), y: this.top + tall + 18, "text-anchor": "middle" }, t.text),
      ]);
    });
    items.push([
      svg("path", { class: "lrx-base", d: `M${this.left} ${this.top + tall}h${inner}` }),
      svg("text", { class: "lrx-axis", x: this.left + inner, y: height - 6, "text-anchor": "end" }, x.label),
    ]);
    this.grid.replaceChildren(...items.flat());
    Object.assign(this, { X, Y, width, inner, tall });
  }

  /** Groups of marks, made once and reused: one for each curve. */
  group(i, make) {
    this.groups ??= [];
    if (!this.groups[i]) {
      this.groups[i] = make();
      this.marks.append(this.groups[i].g);
    }
    return this.groups[i];
  }

  hideFrom(n) {
    (this.groups ?? []).forEach(({ g }, i) => { g.style.display = i < n ? "" : "none"; });
  }

  say(parts, text) {
    this.readout.replaceChildren(...parts);
    put(this.plot, { "aria-valuetext": text });
  }
}

/** Curves with bands: median and quartiles over the runs, or every run. */
class Lines extends Frame {
  constructor(view, spec) {
    super(view, spec);
    this.dim = view.spec.dims[spec.x];
    put(this.plot, { "aria-label": `${spec.title}: ${spec.ylabel ?? "values"} against ${this.dim.label}`, "aria-valuemax": this.dim.n - 1 });
    this.toggle("y", spec.y.every((n) => spec.domain[n].log));
    this.toggle("x", spec.xlog);
    this.faint = svg("path", { class: "lrx-faint" });
    this.rules = svg("g", { class: "lrx-reference" });
    this.here = svg("path", { class: "lrx-here" });
    this.cursor = svg("path", { class: "lrx-cursor" });
    this.back.append(this.faint);
    this.over.append(this.rules, this.here, this.cursor);
  }

  shown() {
    return this.spec.choose ? [this.spec.y[this.view.sel[this.spec.choose]]] : this.spec.y;
  }

  layout(width) {
    const names = this.shown(), kind = this.log.y ? "log" : "linear";
    const ends = names.map((n) => this.spec.domain[n][kind]);
    const y = [Math.min(...ends.map((e) => e[0])), Math.max(...ends.map((e) => e[1]))];
    const numbers = this.dim.numbers.filter((v) => !this.log.x || v > 0);
    this.axes(width, clamp(width * 0.62, 230, 330),
      { domain: this.spec.xlim ?? [Math.min(...numbers), Math.max(...numbers)], log: this.log.x, label: this.dim.label },
      { domain: y, log: this.log.y });
    const label = (n) => this.view.spec.arrays[n].label;
    this.name.textContent = this.spec.ylabel ?? (names.length === 1 ? label(names[0]) : this.spec.title);
    this.legend.replaceChildren(...(names.length > 1 ? names : []).map((n, j) => html("span", {}, swatch(0, j), label(n))));
    this.laid = names.join();
    this.faintKey = null;
  }

  draw(runs, cursor) {
    const { view, spec, X, Y } = this, xs = this.dim.numbers, names = this.shown();
    if (names.join() !== this.laid) this.layout(this.width);
    this.series = runs.flatMap((run) => names.map((name, j) => ({
      name, run, j, worst: view.spec.arrays[name].worst, x: xs, ...view.cube.curve(name, run.sel, spec.x),
    })));
    this.series.forEach((s, i) => {
      const { g, band, all, line, ends, dot } = this.group(i, () => {
        const parts = { band: svg("path", { class: "lrx-band" }), all: svg("path", { class: "lrx-runs" }), line: svg("path", { class: "lrx-line" }), ends: svg("path", { class: "lrx-cross" }), dot: svg("circle", { class: "lrx-dot", r: 4 }) };
        return { g: svg("g", {}, ...Object.values(parts)), ...parts };
      });
      put(g, { class: `lrx-run-${s.run.colour} lrx-var-${s.j}` });
      put(line, { d: trace(xs, s.mid, this.X, this.Y), "data-series": s.name });
      const many = s.rows.length > 1;
      put(all, { d: many && spec.spread === "runs" ? s.rows.map((r) => trace(xs, r, this.X, this.Y)).join("") : "" });
      put(band, { d: many && spec.spread === "band" ? this.ribbon(s) : "" });
      put(ends, { d: this.crosses(s) });
      const k = cursor?.dim === spec.x ? cursor.i : spec.selects ? s.run.sel[spec.x] : -1;
      const seen = k >= 0 && Number.isFinite(s.mid[k]);
      put(dot, { cx: seen ? this.X(xs[k]) : -99, cy: seen ? this.Y(s.mid[k]) : -99 });
    });
    this.hideFrom(this.series.length);
    this.drawFaint(names);
    this.drawRules();
    const now = spec.selects ? this.X(xs[view.sel[spec.x]]) : null, at = cursor?.dim === spec.x ? this.X(xs[cursor.i]) : null;
    put(this.here, { d: now === null ? "" : `M${now} 0V${this.tall}` });
    put(this.cursor, { d: at === null ? "" : `M${at} 0V${this.tall}` });
    this.tell(cursor?.dim === spec.x ? cursor.i : null);
  }

  ribbon({ low, high, x }) {
    const far = (v) => (Number.isFinite(v) ? v : v === Infinity ? Number.MAX_VALUE : this.log.y ? 1e-300 : -Number.MAX_VALUE);
    const keep = x.map((_, i) => i).filter((i) => Number.isFinite(low[i]) || Number.isFinite(high[i]));
    if (!keep.length) return "";
    const up = trace(keep.map((i) => x[i]), keep.map((i) => far(high[i])), this.X, this.Y);
    keep.reverse();
    return `${up}L${trace(keep.map((i) => x[i]), keep.map((i) => far(low[i])), this.X, this.Y).slice(1)}Z`;
  }

  crosses({ rows, mid, worst, x }) {
    const edge = worst > 0 ? 6 : this.tall - 6;
    const mark = (i, v) => cross(clamp(this.X(x[Math.max(0, i)]), 5, this.inner - 5), Number.isFinite(v) ? clamp(this.Y(v), 6, this.tall - 6) : edge);
    if (this.spec.selects) return x.map((_, i) => (Number.isFinite(mid[i]) ? "" : mark(i, NaN))).join("");
    return rows.map((row) => { const i = lastFinite(row); return i === row.length - 1 ? "" : mark(i, row[i]); }).join("");
  }

  drawFaint(names) {
    const { spec, view } = this;
    if (!spec.faint) return;
    const key = JSON.stringify({ ...view.sel, [spec.faint]: 0 });
    if (key === this.faintKey) return;
    this.faintKey = key;
    const others = Array.from({ length: view.spec.dims[spec.faint].n }, (_, i) => ({ ...view.sel, [spec.faint]: i }));
    put(this.faint, { d: others.map((sel) => trace(this.dim.numbers, view.cube.curve(names[0], sel, spec.x).mid, this.X, this.Y)).join("") });
  }

  drawRules() {
    const items = [];
    const read = (v) => (typeof v === "string" ? this.view.cube.value(v, this.view.sel) : v);
    for (const [axis, label, at] of this.spec.rules) {
      const v = read(at), px = axis === "y" ? this.Y(v) : this.X(v);
      if (!Number.isFinite(px) || px < 0 || px > (axis === "y" ? this.tall : this.inner)) continue;
      const end = axis === "x" && px > this.inner * 0.7;
      items.push(svg("path", { d: axis === "y" ? `M0 ${px}H${this.inner}` : `M${px} 0V${this.tall}` }),
        svg("text", axis === "y" ? { x: this.inner - 4, y: px > 20 ? px - 5 : px + 14, "text-anchor": "end" } : { x: px + (end ? -5 : 5), y: 13, "text-anchor": end ? "end" : "start" }, label));
    }
    this.rules.replaceChildren(...items);
  }

  tell(i) {
    const { spec, view } = this, k = i ?? (spec.selects ? view.sel[spec.x] : null);
    put(this.plot, { "aria-valuenow": k ?? this.dim.n - 1 });
    if (k === null) return this.say([], `${this.dim.label}: arrow keys read the values`);
    const head = `${this.dim.label} ${format(this.dim.numbers[k])}`;
    const named = this.shown().length > 1 || this.series.length === 1;
    const rest = this.series.map((s) => {
      const spread = s.low && Number.isFinite(s.high[k] - s.low[k]) ? ` (${format(s.low[k])} to ${format(s.high[k])})` : "";
      const value = Number.isFinite(s.mid[k]) ? format(s.mid[k]) + spread : "diverged";
      return [s, named ? `${view.spec.arrays[s.name].label} ${value}` : value];
    });
    this.say([html("span", {}, head), ...rest.map(([s, text]) => html("span", {}, swatch(s.run.colour, s.j), text))], `${head}: ${rest.map(([s, text]) => (s.run.colour ? `${s.run.label}: ` : "") + text).join("; ")}`);
  }

  step(across, up) {
    const { spec, view } = this, by = across || up;
    if (spec.selects) return view.select({ [spec.x]: view.sel[spec.x] + by });
    const from = view.cursor?.dim === spec.x ? view.cursor.i : by > 0 ? -1 : this.dim.n;
    view.point({ dim: spec.x, i: clamp(from + by, 0, this.dim.n - 1) });
  }

  at(px, _, click) {
    const i = nearest(this.dim.numbers, px, this.X);
    if (click && this.spec.selects) this.view.select({ [this.spec.x]: i });
    else this.view.point({ dim: this.spec.x, i });
  }

  clause() {
    const { view, spec } = this, k = spec.selects ? view.sel[spec.x] : this.dim.n - 1;
    const where = spec.selects ? "" : ` at ${this.dim.label} ${format(this.dim.numbers[k])}`;
    return this.series.filter((s) => s.run.colour === 0).map((s) =>
      valueText(view.spec.arrays[s.name].label, where, s.mid[k], s.low?.[k], s.high?.[k], s.rows.length, view.spec.band)).join("; ");
  }
}

/** A descent path over contour lines, or over a curve when there is one coordinate. */
class Path extends Frame {
  constructor(view, spec) {
    super(view, spec);
    this.dim = view.spec.dims[spec.along];
    put(this.plot, { "aria-label": `${spec.title}: path in ${spec.xlabel} and ${spec.ylabel}, along ${this.dim.label}`, "aria-valuemax": this.dim.n - 1 });
    this.toggle("y", spec.ylog);
    this.name.textContent = spec.ylabel;
    this.faint = svg("path", { class: "lrx-faint" });
    this.ground = svg("g", { class: spec.curve ? "lrx-curve" : "lrx-contours" });
    this.back.append(this.ground, this.faint);
  }

  layout(width) {
    const { x, y } = this.spec.domain, kind = this.log.y ? "log" : "linear";
    const height = this.spec.equal ? clamp((width - 60) * (y.linear[1] - y.linear[0]) / (x[1] - x[0]) + 50, 180, width * 1.1) : clamp(width * 0.72, 240, 380);
    this.axes(width, height, { domain: x, log: false, label: this.spec.xlabel }, { domain: y[kind], log: this.log.y, label: this.spec.ylabel });
    this.groundKey = this.faintKey = null;
  }

  /** Pixels of one run's points; far points are pulled in along their direction. */
  points(sel) {
    const { spec, view, X, Y } = this, ys = view.cube.rows(spec.y, sel, spec.along), far = 4 * (this.inner + this.tall);
    const cx = this.inner / 2, cy = this.tall / 2;
    return view.cube.rows(spec.x, sel, spec.along).map((xs, k) => Array.from(xs, (x, i) => {
      const y = ys[k % ys.length][i];
      if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
      const dx = X(x) - cx, dy = Y(y) - cy, pull = Math.min(1, far / Math.hypot(dx, dy));
      return { x: cx + dx * pull, y: cy + dy * pull, at: [x, y], i };
    }));
  }

  inside(p) {
    return p.x >= -1 && p.x <= this.inner + 1 && p.y >= -1 && p.y <= this.tall + 1;
  }

  draw(runs, cursor) {
    this.drawGround();
    const join = (pts) => pts.filter(Boolean).map((p, i) => `${i ? "L" : "M"}${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("");
    const dots = (list, r) => list.map((p) => `M${p.x - r} ${p.y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`).join("");
    this.drawFaint(join);
    this.series = runs.map((run) => ({ run, name: `${this.spec.x} ${this.spec.y}`, paths: this.points(run.sel) }));
    this.series.forEach(({ run, paths }, i) => {
      const { g, line, beads, start, end, ends, dot } = this.group(i, () => {
        const parts = { line: svg("path", { class: "lrx-line" }), beads: svg("path", { class: "lrx-beads" }), start: svg("path", { class: "lrx-start" }), end: svg("path", { class: "lrx-end" }), ends: svg("path", { class: "lrx-cross" }), dot: svg("circle", { class: "lrx-dot", r: 5 }) };
        return { g: svg("g", {}, ...Object.values(parts)), ...parts };
      });
      const last = paths.map((p) => p[lastFinite(p.map((q) => (q ? 1 : NaN)))]).filter(Boolean);
      const lost = last.filter((p) => p.i < this.dim.n - 1 || !this.inside(p));
      put(g, { class: `lrx-run-${run.colour} lrx-var-0` });
      put(line, { d: paths.map(join).join(""), "data-series": this.spec.y });
      put(beads, { d: this.dim.n <= 120 && paths.length === 1 ? dots(paths[0].filter(Boolean), 2) : "" });
      put(start, { d: dots(paths.map((p) => p[0]).filter(Boolean), 4.5) });
      put(end, { d: dots(last.filter((p) => !lost.includes(p)), 4.5) });
      put(ends, { d: lost.map((p) => cross(clamp(p.x, 6, this.inner - 6), clamp(p.y, 6, this.tall - 6))).join("") });
      const p = cursor?.dim === this.spec.along ? paths[0][cursor.i] : null;
      put(dot, { cx: p ? p.x : -99, cy: p ? p.y : -99 });
    });
    this.hideFrom(this.series.length);
    this.tell(cursor?.dim === this.spec.along ? cursor.i : null);
  }

  drawGround() {
    const { spec, view } = this, source = spec.curve ?? spec.contours;
    if (!source) return;
    const k = source.dim ? view.sel[source.dim] : 0;
    if (k === this.groundKey) return;
    this.groundKey = k;
    const ink = [];
    if (spec.curve) {
      const { rows: [ys] } = view.cube.curve(source.name, view.sel, source.along);
      ink.push(svg("path", { d: trace(view.spec.dims[source.along].numbers, ys, this.X, this.Y) }));
    } else {
      const [x0, x1] = spec.domain.x, [y0, y1] = spec.domain.y.linear, pad = source.pad;
      let at = source.sets[k].offset;
      const codes = new Uint16Array(view.bytes.slice(at, at + 4 * source.sets[k].size).buffer);
      at = 0;
      for (const level of source.sets[k].levels) {
        let d = "";
        for (const n of level) {
          for (let i = 0; i < n; i++, at += 2) {
            const u = (codes[at] / 65535) * (1 + 2 * pad) - pad, v = (codes[at + 1] / 65535) * (1 + 2 * pad) - pad;
            d += `${i ? "L" : "M"}${this.X(x0 + u * (x1 - x0)).toFixed(1)} ${this.Y(y0 + v * (y1 - y0)).toFixed(1)}`;
          }
          d += "Z";
        }
        ink.push(svg("path", { d }));
      }
    }
    this.ground.replaceChildren(...ink);
  }

  drawFaint(join) {
    const { spec, view } = this;
    if (!spec.faint) return;
    const key = JSON.stringify({ ...view.sel, [spec.faint]: 0 });
    if (key === this.faintKey) return;
    this.faintKey = key;
    const others = Array.from({ length: view.spec.dims[spec.faint].n }, (_, i) => ({ ...view.sel, [spec.faint]: i }));
    put(this.faint, { d: others.flatMap((sel) => this.points(sel).map(join)).join("") });
  }

  tell(i) {
    const head = `${this.dim.label} ${format(this.dim.numbers[i ?? this.dim.n - 1])}`;
    put(this.plot, { "aria-valuenow": i ?? this.dim.n - 1 });
    if (i === null) return this.say([], `${this.dim.label}: arrow keys walk along the path`);
    const rest = this.series.map((s) => [s, s.paths[0][i] ? `(${s.paths[0][i].at.map((v) => format(v)).join(", ")})` : "diverged"]);
    this.say([html("span", {}, head), ...rest.map(([s, text]) => html("span", {}, swatch(s.run.colour, 0), text))], `${head}: ${rest.map(([s, text]) => (s.run.colour ? `${s.run.label}: ` : "") + text).join("; ")}`);
  }

  step(across, up) {
    const by = across || up, from = this.view.cursor?.dim === this.spec.along ? this.view.cursor.i : by > 0 ? -1 : this.dim.n;
    this.view.point({ dim: this.spec.along, i: clamp(from + by, 0, this.dim.n - 1) });
  }

  at(px, py) {
    let best = null, gap = 40 ** 2;
    for (const p of this.series.at(-1).paths[0]) {
      const d = p ? (p.x - px) ** 2 + (p.y - py) ** 2 : Infinity;
      if (d < gap) [best, gap] = [p, d];
    }
    this.view.point(best && { dim: this.spec.along, i: best.i });
  }

  clause() {
    const path = this.series.at(-1).paths[0], out = path.find((p) => p && !this.inside(p));
    const end = path[lastFinite(path.map((q) => (q ? 1 : NaN)))];
    if (!end) return "no finite point";
    if (!this.inside(end)) return `the path leaves the picture at ${this.dim.label} ${format(this.dim.numbers[out.i])}`;
    return `the path ends at (${end.at.map((v) => format(v)).join(", ")}) after ${this.dim.label} ${format(this.dim.numbers[end.i])}`;
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
    super(view, spec);
    [this.dx, this.dy] = [view.spec.dims[spec.x], view.spec.dims[spec.y]];
    const label = view.spec.arrays[spec.value].label;
    put(this.plot, { "aria-label": `${spec.title}: ${label} over ${this.dx.label} and ${this.dy.label}, arrow keys choose a cell`, "aria-valuemax": this.dx.n * this.dy.n - 1 });
    this.name.textContent = `${this.dy.label}`;
    this.cells = svg("g", { class: "lrx-cells" });
    this.hatch = svg("path", { class: "lrx-hatch" });
    this.bounds = svg("g", { class: "lrx-reference" });
    this.best = svg("circle", { class: "lrx-best", r: 4 });
    this.back.append(this.cells, this.hatch, this.bounds, this.best);
    const map = scale(spec.domain, [0, 1], spec.log), stops = (spec.log ? logTicks : ticks)(...spec.domain, 4);
    this.tint = (v) => ramp(map(v));
    this.key = html("p", { class: "lrx-key" }, html("span", {}, spec.title), html("span", { class: "lrx-bar", style: `background:linear-gradient(90deg,${Array.from({ length: 9 }, (_, k) => ramp(k / 8)).join(",")})` },
      ...stops.map((v) => html("span", { style: `left:${clamp(map(v), 0, 1) * 100}%` }, format(v)))));
    this.plot.after(this.key);
  }

  layout(width) {
    const height = clamp(this.dy.n * 22 + 50, Math.min(230, width * 0.62), 420);
    this.axes(width, height, { labels: this.dx.labels, label: this.dx.label }, { labels: this.dy.labels, label: this.dy.label });
    this.w = this.inner / this.dx.n;
    this.h = this.tall / this.dy.n;
    this.drawn = null;
  }

  draw(runs) {
    const { spec, view } = this, { x, y } = spec, current = runs.at(-1);
    const key = JSON.stringify({ ...current.sel, [x]: 0, [y]: 0 });
    if (key !== this.drawn) this.drawCells(current.sel);
    this.drawn = key;
    runs.forEach((run, i) => {
      const { g, ring } = this.group(i, () => { const ring = svg("path", { class: "lrx-ring" }); return { g: svg("g", {}, ring), ring }; });
      put(g, { class: `lrx-run-${run.colour}` });
      put(ring, { d: `M${this.X(run.sel[x]) - this.w / 2} ${this.Y(run.sel[y]) - this.h / 2}h${this.w}v${this.h}h${-this.w}Z` });
    });
    this.hideFrom(runs.length);
    this.tell(this.hover ?? [current.sel[x], current.sel[y]]);
  }

  drawCells(sel) {
    const { spec, view, w, h } = this, gap = Math.min(w, h) > 8 ? 0.5 : 0;
    let hatch = "";
    const cells = [], lines = (x0, y0) => { for (let o = 5; o < w + h; o += 6) { const a = Math.max(0, o - h), b = Math.min(o, w); hatch += `M${x0 + a} ${y0 + o - a}L${x0 + b} ${y0 + o - b}`; } };
    this.values = this.dy.labels.map((_, j) => this.dx.labels.map((_, i) => {
      const v = view.cube.value(spec.value, { ...sel, [spec.x]: i, [spec.y]: j }), x0 = this.X(i) - w / 2, y0 = this.Y(j) - h / 2;
      if (Number.isFinite(v)) cells.push(svg("rect", { x: x0 + gap, y: y0 + gap, width: w - 2 * gap, height: h - 2 * gap, fill: this.tint(v) }));
      else lines(x0, y0);
      return v;
    }));
    this.series = [{ name: spec.value, run: { colour: 0 }, values: this.values }];
    this.cells.replaceChildren(...cells);
    put(this.hatch, { d: hatch });
    const flat = this.values.flat(), finite = flat.filter(Number.isFinite);
    this.lost = flat.length - finite.length;
    this.top1 = finite.length && spec.best ? flat.indexOf(spec.best > 0 ? Math.max(...finite) : Math.min(...finite)) : -1;
    put(this.best, this.top1 < 0 ? { cx: -99, cy: -99 } : { cx: this.X(this.top1 % this.dx.n), cy: this.Y(Math.floor(this.top1 / this.dx.n)) });
    this.key.querySelector(".lrx-lost")?.remove();
    if (this.lost) this.key.append(html("span", { class: "lrx-lost" }, svg("svg", { width: 18, height: 12, "aria-hidden": true }, svg("path", { class: "lrx-hatch", d: "M0 6L6 0M0 12L12 0M6 12L18 0M12 12L18 6" })), spec.missing));
    this.bounds.replaceChildren(...spec.bounds.flatMap(([label, at]) => {
      const px = at.map((v) => this.X(this.index(v)));
      const d = px.map((p, j) => `${j ? "L" : "M"}${p} ${this.Y(j) + h / 2}V${this.Y(j) - h / 2}`).join("");
      return [svg("path", { class: "lrx-halo", d }), svg("path", { d }), svg("text", { x: clamp(px[0] + 5, 0, this.inner - label.length * 7), y: this.tall - 6 }, label)];
    }));
  }

  /** A number's place between the columns, in columns. */
  index(v) {
    const n = this.dx.numbers, log = n.every((a) => a > 0) && n[n.length - 1] / n[0] > 20, f = log ? Math.log : Number;
    const k = clamp(n.findIndex((a) => a >= v), 1, n.length - 1);
    return v > n.at(-1) ? n.length : k - 1 + (f(v) - f(n[k - 1])) / (f(n[k]) - f(n[k - 1]));
  }

  words([i, j]) {
    const { spec, view } = this, sel = { ...view.sel, [spec.x]: i, [spec.y]: j }, c = view.cube.curve(spec.value, sel, null);
    return [`${this.dx.label} ${this.dx.labels[i]}, ${this.dy.label} ${this.dy.labels[j]}`, c, Number.isFinite(c.mid[0]) ? `${view.spec.arrays[spec.value].label} ${format(c.mid[0])}${c.low && Number.isFinite(c.high[0] - c.low[0]) ? ` (${format(c.low[0])} to ${format(c.high[0])})` : ""}` : spec.missing];
  }

  tell(cell) {
    const [where, , what] = this.words(cell);
    put(this.plot, { "aria-valuenow": cell[1] * this.dx.n + cell[0] });
    this.say([html("span", {}, where), html("span", {}, what)], `${where}: ${what}`);
  }

  step(across, up) {
    const { x, y } = this.spec, sel = this.view.sel;
    this.view.select({ [x]: sel[x] + across, [y]: sel[y] + up });
  }

  at(px, py, click) {
    const cell = [clamp(Math.floor(px / this.w), 0, this.dx.n - 1), clamp(this.dy.n - 1 - Math.floor(py / this.h), 0, this.dy.n - 1)];
    this.hover = click ? null : cell;
    if (click) this.view.select({ [this.spec.x]: cell[0], [this.spec.y]: cell[1] });
    else this.tell(cell);
  }

  clause() {
    const { spec, view } = this, n = this.dx.n, { label } = view.spec.arrays[spec.value];
    const parts = [];
    if (this.top1 >= 0) parts.push(`the ${spec.best > 0 ? "highest" : "lowest"} ${label}, ${format(this.values.flat()[this.top1])}, is at ${this.words([this.top1 % n, Math.floor(this.top1 / n)])[0]}`);
    if (this.lost) parts.push(`${this.lost} of ${n * this.dy.n} cells ${spec.missing}`);
    return parts.join("; ");
  }
}

// ---------------------------------------------------------------- the view

const KINDS = { lines: Lines, path: Path, heat: HeatMap };
const PINS = 4;

class View {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.spec = model.get("spec");
    const data = model.get("data");
    this.bytes = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
    this.cube = new Cube(this.spec, this.bytes);
    this.cursor = null;
    this.keys = Object.keys(this.spec.start);
    this.readSelection();
    this.panels = this.spec.panels.map((p) => new KINDS[p.kind](this, p));
    this.sentence = html("p", { class: "lrx-sentence", "aria-live": "polite" });
    this.pinList = html("ul", { class: "lrx-pins" });
    this.pinButton = button("Pin this run", () => this.pin());
    this.clear = button("Clear pins", () => { this.setPins([]); this.pinButton.focus(); });
    const head = html("div", { class: "lrx-bar0" }, html("p", { class: "lrx-title" }, this.spec.title), html("div", { class: "lrx-tools" }, this.pinButton, this.clear));
    this.root = html("section", { class: "lrx-root lrx-view", "aria-label": this.spec.alt }, head, this.pinList,
      html("div", { class: "lrx-panels", style: `--lrx-n:${this.panels.length}` }, ...this.panels.map((p) => p.el)), this.sentence);
    this.root.lrx = { series: () => this.series(), selection: () => JSON.parse(this.root.dataset.selection), updates: 0 };
    el.append(this.root);
    for (const key of this.keys) model.on(`change:i_${key}`, () => this.schedule());
    model.on("change:pins", () => this.schedule());
    this.resizer = new ResizeObserver(() => this.resize());
    this.panels.forEach((p) => this.resizer.observe(p.el));
    this.resizer.observe(this.root);
    this.dresser = new MutationObserver(() => this.dress());
  }

  dispose() {
    this.resizer.disconnect();
    this.dresser.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.calm);
    this.root.remove();
  }

  readSelection() {
    this.sel = Object.fromEntries(this.keys.map((k) => [k, this.model.get(`i_${k}`)]));
  }

  resize() {
    if (!this.host) this.adopt();
    let changed = false;
    for (const p of this.panels) {
      const width = Math.floor(p.el.clientWidth);
      if (width > 0 && width !== p.width) { p.layout(width); changed = true; }
    }
    if (changed) this.draw();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (this.panels.some((p) => !p.width)) return;
    const started = performance.now();
    this.readSelection();
    const pins = this.model.get("pins"), runs = [...pins.map((p) => ({ ...p, sel: { ...this.sel, ...p.sel } })), { sel: this.sel, colour: 0 }];
    const shown = this.spec.named.filter((d) => differing(runs.map((r) => r.sel)).includes(d));
    runs.forEach((r) => { r.label = naming(this.spec.dims, r.sel, shown.length ? shown : this.spec.named); });
    this.panels.forEach((p) => p.draw(runs, this.cursor));
    this.root.dataset.selection = JSON.stringify(Object.fromEntries(this.keys.map((k) => [k, this.spec.dims[k]?.labels?.[this.sel[k]] ?? this.spec.choices[k]?.[this.sel[k]] ?? this.sel[k]])));
    this.showPins(runs);
    this.speak();
    this.root.lrx.updates += 1;
    this.root.lrx.lastMs = performance.now() - started;
  }

  /** The sentence changes at once for the eye, and is read out when the hand rests. */
  speak() {
    const { spec, sel } = this, where = capital(naming(spec.dims, sel, spec.named));
    const said = this.panels.map((p) => p.clause()).filter(Boolean).join("; ");
    const lost = spec.diverged ? divergence(this.cube.rows(spec.diverged, sel, null).map((r) => r[0])) : "";
    const text = [where ? `${where}: ${said}.` : `${capital(said)}.`, lost, spec.held].filter(Boolean).join(" ");
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
    const pins = this.model.get("pins"), free = [1, 2, 3, 4].find((c) => !pins.some((p) => p.colour === c));
    const sel = Object.fromEntries(this.spec.named.map((d) => [d, this.model.get(`i_${d}`)]));
    if (free && !pins.some((p) => JSON.stringify(p.sel) === JSON.stringify(sel))) this.setPins([...pins, { sel, colour: free }]);
  }

  setPins(pins) {
    this.model.set("pins", pins);
    this.model.save_changes();
  }

  showPins(runs) {
    const pins = runs.slice(0, -1), key = runs.map((r) => r.label + r.colour).join("|");
    this.pinButton.disabled = pins.length >= PINS;
    this.clear.hidden = !pins.length;
    if (key === this.pinKey) return;
    this.pinKey = key;
    this.pinList.hidden = !pins.length;
    this.pinList.replaceChildren(...(pins.length ? runs : []).map((r) => {
      const item = html("li", {}, swatch(r.colour, 0), r.label);
      if (r.colour) item.append(button("×", () => { this.setPins(this.model.get("pins").filter((p) => p.colour !== r.colour)); this.pinButton.focus(); }, { class: "lrx-button lrx-unpin", "aria-label": `Remove the pin at ${r.label}` }));
      else item.append(html("span", { class: "lrx-now" }, " shown now"));
      return item;
    }));
  }

  /** The controls are ordinary widgets beside this view. They lack names and states: give them. */
  adopt() {
    this.host = this.el.closest(".lrx")?.querySelector(".lrx-controls");
    if (!this.host) return;
    this.dress();
    this.dresser.observe(this.host, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["aria-valuetext", "contenteditable", "class"] });
  }

  dress() {
    const set = (el, name, value) => { if (el && el.getAttribute(name) !== value) el.setAttribute(name, value); };
    for (const control of this.host.querySelectorAll(".widget-inline-hbox")) {
      const name = control.querySelector(".widget-label")?.textContent ?? "", readout = control.querySelector(".widget-readout");
      const handle = control.querySelector(".noUi-handle"), buttons = control.querySelectorAll(".widget-toggle-button");
      set(handle, "aria-label", name);
      set(handle, "aria-valuetext", readout?.textContent ?? "");
      set(readout, "contenteditable", "false");
      set(control.querySelector("select"), "aria-label", name);
      buttons.forEach((b) => set(b, "aria-pressed", String(b.classList.contains("mod-active"))));
      if (buttons.length) { set(buttons[0].parentElement, "role", "group"); set(buttons[0].parentElement, "aria-label", name); }
    }
  }

  series() {
    return this.panels.flatMap((p, panel) => p.series.map((s) => ({
      panel, name: s.name, pin: s.run.colour, x: s.x && [...s.x], y: s.mid && [...s.mid], low: s.low && [...s.low], high: s.high && [...s.high],
      values: s.values, paths: s.paths?.map((path) => path.map((q) => q && q.at)),
    })));
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.dispose();
  },
};
