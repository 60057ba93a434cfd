// Numbers and selections in words, as `words.py` writes them in Python.

const SUPERSCRIPT = {
  "-": "⁻",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹",
};

/** A number to three significant digits, as the Python side writes it: 0.0316, 3.2×10⁻⁵, −4. */
export function inWords(value, digits = 3) {
  if (Number.isNaN(value)) return "no value";
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (size === Infinity) return sign + "∞";
  if (
    Number.isInteger(value) &&
    size < 1e7 &&
    (size < 1e5 || Number(size.toPrecision(digits)) !== size)
  )
    return sign + size;
  const [mantissa, power] = size.toExponential(digits - 1).split("e");
  if (power >= -4 && power < 5) return sign + Number(size.toFixed(Math.max(0, digits - 1 - power)));
  const ten = "10" + [...String(Number(power))].map((c) => SUPERSCRIPT[c]).join("");
  return sign + (Number(mantissa) === 1 ? "" : Number(mantissa) + "×") + ten;
}

export const capital = (text) => text.replace(/^[a-z]/, (letter) => letter.toUpperCase()); // not ε, a symbol

/** "learning rate 0.1, momentum 0.9" for the given dimensions. */
export function naming(dims, sel, names) {
  return names.map((d) => `${dims[d].label} ${dims[d].labels[sel[d]]}`).join(", ");
}

/** The dimensions in which selections are not all alike. */
export function differing(selections) {
  return Object.keys(selections[0] ?? {}).filter((d) =>
    selections.some((s) => s[d] !== selections[0][d]),
  );
}

/** How many runs diverged, and when the first did. `at` holds -1 for a run that did not, and NaN
 * for one that is missing. */
export function divergence(at) {
  const steps = at.filter((t) => t >= 0);
  const n = at.length;
  const missing = at.filter(Number.isNaN).length;
  const first = inWords(Math.min(...steps));
  const rest = missing ? `; ${missing} ${missing === 1 ? "is" : "are"} missing` : "";
  if (missing === n) return n === 1 ? "The run is missing." : `All ${n} runs are missing.`;
  if (n === 1) return steps.length ? `The run diverged at step ${first}.` : "";
  if (!steps.length) return `None of the ${n} runs diverged${rest}.`;
  return `${steps.length === n ? `All ${n}` : `${steps.length} of ${n}`} runs diverged, the first at step ${first}${rest}.`;
}

/** "0.02 (0.01 to 0.03)": a median with its quartiles, where they are finite. */
export function spreadText(mid, low, high, missing = "diverged") {
  if (!Number.isFinite(mid)) return missing;
  return (
    inWords(mid) +
    (Number.isFinite(low) && Number.isFinite(high) ? ` (${inWords(low)} to ${inWords(high)})` : "")
  );
}

/** How a value compares with the one of a pinned run; as a ratio where the scale is one of ratios. */
export function against(label, now, pinned, ratios) {
  if (!Number.isFinite(now))
    return Number.isFinite(pinned) ? `no finite ${label} here` : `no finite ${label} in either`;
  if (!Number.isFinite(pinned)) return `${label} ${inWords(now)} in place of no finite one`;
  if (inWords(now) === inWords(pinned)) return `the same ${label}`;
  const higher = now > pinned ? "higher" : "lower";
  if (!ratios || now <= 0 || pinned <= 0)
    return `${label} ${higher} by ${inWords(Math.abs(now - pinned), 2)}`;
  const ratio = now / pinned;
  if (ratio >= 2 || ratio <= 0.5) return `${inWords(ratio, 2)} times the ${label}`;
  const percent = Math.round(100 * Math.abs(ratio - 1));
  return percent ? `${label} ${percent} % ${higher}` : `nearly the same ${label}`;
}

/** "loss 0.02 at step 300, median of 5 seeds (quartiles 0.01 to 0.03)". */
export function valueText(label, where, mid, low, high, runs, band) {
  const many = `${runs} ${band}s`;
  if (!Number.isFinite(mid))
    return runs > 1 ? `no finite median ${label}${where} (${many})` : `no finite ${label}${where}`;
  return `${label} ${inWords(mid)}${where}${runs > 1 ? `, median of ${many}${low < high ? ` (quartiles ${inWords(low)} to ${inWords(high)})` : ""}` : ""}`;
}
