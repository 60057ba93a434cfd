// Elements of the page, and the shapes of SVG paths.

import { clamp } from "./scales.js";

export const OURS = { "data-lm-suppress-shortcuts": "true" }; // JupyterLab leaves the keys to this element
export const put = (el, attrs) => {
  for (const k in attrs) el.setAttribute(k, attrs[k]);
  return el;
};
export const html = (tag, attrs = {}, ...kids) => {
  const el = put(document.createElement(tag), attrs);
  el.append(...kids);
  return el;
};
export const svg = (tag, attrs = {}, ...kids) => {
  const el = put(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs);
  el.append(...kids);
  return el;
};
export const button = (text, onclick, attrs = {}) => {
  const el = html("button", { type: "button", class: "lrx-button", ...OURS, ...attrs }, text);
  el.onclick = onclick;
  return el;
};
export const swatch = (run, variable = 0) =>
  svg(
    "svg",
    {
      class: `lrx-swatch lrx-run-${run} lrx-var-${variable}`,
      width: 22,
      height: 10,
      "aria-hidden": true,
    },
    svg("path", { d: "M1 5H21" }),
  );

export const cross = (x, y) => `M${x - 4} ${y - 4}l8 8m0 -8l-8 8`;
export const disc = ({ x, y }, r) =>
  `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
export const join = (points) =>
  points.map((p, i) => `${i ? "L" : "M"}${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("");
export const CHAR = 6.7; // the width of a figure at 12 px, on average
/** About how wide a text is at 12 px: letters are wider than figures. */
export const wide = (text) => text.length * (/\p{L}/u.test(text) ? 7.7 : CHAR);

/** An SVG path through points, broken where a number is missing. */
export function trace(xs, ys, X, Y) {
  let d = "";
  let pen = "M";
  for (let i = 0; i < xs.length; i++) {
    if (!Number.isFinite(ys[i])) {
      pen = "M";
      continue;
    }
    d +=
      pen + Math.round(X(xs[i]) * 10) / 10 + " " + Math.round(clamp(Y(ys[i]), -1e4, 1e4) * 10) / 10;
    pen = "L";
  }
  return d;
}
