// Handles: phrases in prose that put the nearest explorer above them into a state.
// A handle is a link to "#lrx:lr=0.1". The built book keeps its target in `data-lrx` until the
// explorer lives, so that without scripts it is plain words.

import { put } from "./drawing.js";
import { nearest } from "./scales.js";

const SIGN = "#lrx:";
const HANDLES = `a[href^="${SIGN}"]`;
const PLACES = 'script[type="application/vnd.jupyter.widget-view+json"]';
const views = new Set();

/** What a handle asks for: "lr=0.1,plan=cosine" as a map from names to texts. A comma or a space
 * within a text is written as in an address: %2C, %20. */
export function wanted(text) {
  const parted = (escaped) => {
    const pair = decodeURIComponent(escaped);
    const at = pair.indexOf("=");
    return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
  };
  return Object.fromEntries(text.split(",").map(parted));
}

/** The index that a text names in a dimension: a label, else the nearest number; -1 for none. */
export function placeOf(dim, text) {
  const label = (dim.labels ?? []).indexOf(text);
  if (label >= 0 || text === "" || !Number.isFinite(Number(text)) || !dim.rising) return label;
  return nearest(dim.numbers, Number(text));
}

const precedes = (a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING;

/** The explorer that a handle moves: the last one above it, else the first of all. A page knows
 * the places of its explorers before they live, so that no handle moves another one meanwhile. */
function target(el) {
  const places = [...document.querySelectorAll(PLACES)].map((script) => script.parentElement);
  const homes = places.length ? places : [...views].map((view) => view.root);
  homes.sort((a, b) => (precedes(a, b) ? -1 : 1));
  const home = homes.filter((one) => precedes(one, el)).at(-1) ?? homes[0];
  return [...views].find((view) => home?.contains(view.root));
}

/** The place of a view among the explorers of a built page, from 1; 0 elsewhere. */
function placeInPage(view) {
  const homes = [...document.querySelectorAll(PLACES)].map((script) => script.parentElement);
  return homes.findIndex((home) => home.contains(view.root)) + 1;
}

/** The address of a state in a built page: "#lrx-2:lr%3D0.1"; null elsewhere. */
export function linkTo(view, state) {
  const place = placeInPage(view);
  const pairs = Object.entries(state).map(([key, text]) => encodeURIComponent(`${key}=${text}`));
  return place ? `#lrx-${place}:${pairs.join()}` : null;
}

/** The state that the page's address asks this view for, if it does. */
export function askedFor(view) {
  const [, place, state] = /^#lrx-(\d+):(.+)$/.exec(location.hash) ?? [];
  return state && Number(place) === placeInPage(view) ? wanted(state) : null;
}

function press(event) {
  if (event.type === "keydown" && event.key !== " ") return; // a link answers Enter by itself
  const el = event.target.closest?.(HANDLES);
  const view = el && target(el);
  if (!view) return;
  event.preventDefault();
  event.stopPropagation();
  view.go(wanted(el.getAttribute("href").slice(SIGN.length)));
}

/** Let handles reach a view, from now until the returned function is called. */
export function listen(view) {
  views.add(view);
  for (const kind of ["click", "keydown"]) document.addEventListener(kind, press, true);
  for (const el of document.querySelectorAll("a[data-lrx]")) {
    if (target(el) !== view) continue;
    put(el, { href: el.dataset.lrx, role: "button" });
    el.removeAttribute("data-lrx");
  }
  return () => views.delete(view);
}
