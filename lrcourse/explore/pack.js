// The runs as they travel (see `pack.py`): arrays in one binary buffer, cut and summarised.

const MISSING = 65535;

/** One array of the buffer. Type "q2" holds 16-bit codes, uniform in asinh(x / scale). */
export function decode(bytes, { type, offset, size, scale, low, step }) {
  if (type === "f4") return new Float32Array(bytes.slice(offset, offset + 4 * size).buffer);
  const codes = new Uint16Array(bytes.slice(offset, offset + 2 * size).buffer);
  return Float32Array.from(codes, (c) => (c === MISSING ? NaN : scale * Math.sinh(low + c * step)));
}

/** The q-th quantile of sorted numbers, linear between neighbours; infinities stay infinite. */
export function quantile(sorted, q) {
  const at = (sorted.length - 1) * q;
  const k = Math.floor(at);
  const part = at - k;
  const a = sorted[k];
  const b = sorted[Math.min(k + 1, sorted.length - 1)];
  if (part === 0 || a === b) return a;
  return Number.isFinite(b - a) ? a + (b - a) * part : Number.isFinite(a) ? b : a;
}

/** Median and quartiles over runs, point by point. A diverged run counts as the worst one. */
export function quartiles(rows, worst = 1) {
  if (rows.length === 1) return { mid: rows[0], low: null, high: null };
  const n = rows[0].length;
  const column = new Float64Array(rows.length);
  const out = { mid: new Float64Array(n), low: new Float64Array(n), high: new Float64Array(n) };
  for (let i = 0; i < n; i++) {
    rows.forEach((row, k) => {
      column[k] = Number.isFinite(row[i]) ? row[i] : worst * Infinity;
    });
    column.sort();
    out.low[i] = quantile(column, 0.25);
    out.mid[i] = quantile(column, 0.5);
    out.high[i] = quantile(column, 0.75);
  }
  return out;
}

/** Labelled arrays cut out of one binary buffer; slices along a dimension cost nothing. */
export class Packed {
  constructor(spec, bytes) {
    this.dims = spec.dims;
    this.band = spec.band;
    this.diverged = spec.diverged ?? null;
    this.arrays = {};
    for (const [name, meta] of Object.entries(spec.arrays)) {
      const stride = {};
      meta.shape.reduceRight((s, n, k) => {
        stride[meta.dims[k]] = s;
        return s * n;
      }, 1);
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
    const base = dims.reduce(
      (o, d) => (d === axis || d === this.band ? o : o + stride[d] * (sel[d] ?? 0)),
      0,
    );
    const n = axis === null ? 1 : this.dims[axis].n;
    const by = stride[axis] ?? 0;
    return Array.from({ length: runs }, (_, k) => {
      const start = base + k * (stride[this.band] ?? 0);
      return by === 1 || n === 1
        ? values.subarray(start, start + n)
        : Float32Array.from({ length: n }, (_, i) => values[start + i * by]);
    });
  }

  /** Median and quartiles over the band along `axis`. */
  curve(name, sel, axis) {
    const rows = this.rows(name, sel, axis);
    return { rows, ...quartiles(rows, this.arrays[name].worst) };
  }

  /** Which runs of the band are missing: nobody knows if they diverged. */
  missing(sel) {
    return this.diverged === null
      ? []
      : this.rows(this.diverged, sel, null).map(([at]) => Number.isNaN(at));
  }

  /** One number: the median over the band. */
  value(name, sel) {
    return this.curve(name, sel, null).mid[0];
  }
}
