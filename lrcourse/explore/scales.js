// From numbers to pixels and back: scales, round ticks, the nearest place.

export const clamp = (v, lo, hi) => Math.max(lo, Math.min(hi, v));

/** A map from numbers to pixels, linear or logarithmic, with its inverse. What lies far outside is
 * brought to FAR pixels: a shape of 1e30 pixels stalls whatever measures it. */
const FAR = 20000;
export function scale([a, b], [from, to], log = false) {
  const f = log ? (v) => (v > 0 ? Math.log(v) : -1e9) : (v) => v;
  const low = f(a);
  const k = (to - from) / (f(b) - low || 1);
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
  for (let k = Math.ceil(lo / stride - 1e-9); k <= hi / stride + 1e-9; k++)
    out.push(Number((k * stride).toPrecision(12)));
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
  for (let p = Math.floor(Math.log10(lo)); p <= Math.log10(hi); p++)
    fine.push(...[1, 2, 5].map((m) => Number(`${m}e${p}`)));
  const inside = fine.filter((v) => v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9));
  if (inside.length > 1.5 * n && wide.length > 1) return wide;
  return inside.length > 2 ? inside : ticks(lo, hi, n);
}

/** The index of the number nearest to a wanted one, in pixels if a scale is given. */
export function nearest(numbers, wanted, map = (v) => v) {
  let best = 0;
  numbers.forEach((v, i) => {
    if (Math.abs(map(v) - wanted) < Math.abs(map(numbers[best]) - wanted)) best = i;
  });
  return best;
}

/** Where a number lies between the columns of rising numbers, in columns (by ratios if they span). */
export function fraction(numbers, v) {
  const f = numbers[0] > 0 && numbers.at(-1) > 20 * numbers[0] ? Math.log : Number;
  const n = numbers.length;
  const k = clamp(
    numbers.findIndex((a) => a >= v),
    1,
    n - 1,
  );
  const top = v > numbers[n - 1] ? n - 1 : k;
  return top - 1 + (f(v) - f(numbers[top - 1])) / (f(numbers[top]) - f(numbers[top - 1]));
}
