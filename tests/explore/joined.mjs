// The explorer's one script, joined as `widget.script` joins it: each file once, after its imports.
import { readFile } from "node:fs/promises";

const IMPORT = /^import [^;]*? from "([^"]+)";\n+/gm;

async function add(url, parts) {
  const text = await readFile(url, "utf8");
  for (const [, name] of text.matchAll(IMPORT)) {
    const needed = new URL(name, url);
    if (!parts.has(needed.href)) await add(needed, parts);
  }
  parts.set(url.href, text.replaceAll(IMPORT, ""));
  return parts;
}

const view = new URL("../../lrcourse/explore/view.js", import.meta.url);

export const script = [...(await add(view, new Map())).values()].join("\n");

/** The module as a page loads it. */
export const lrx = await import(
  `data:text/javascript;base64,${Buffer.from(script).toString("base64")}`
);

export { default as assert } from "node:assert/strict";

export const near = (a, b, tolerance = 1e-12) => {
  if (!(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)))) throw Error(`${a} is not ${b}`);
};
