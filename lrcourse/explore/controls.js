// The controls are ordinary widgets beside the view. They lack names and states; here they get them.

import { OURS } from "./drawing.js";

const WATCHED = ["aria-valuetext", "contenteditable", "class"];

function dress(host, dims) {
  const set = (el, attrs) => {
    for (const k in attrs) if (el && el.getAttribute(k) !== attrs[k]) el.setAttribute(k, attrs[k]);
  };
  for (const control of host.children) {
    const label = control.querySelector("label");
    const name = label?.textContent ?? "";
    const ends = Object.values(dims).find((d) => d.labels && d.label === name)?.labels;
    const readout = control.querySelector("[class*=readout]");
    const buttons = [...control.querySelectorAll("button")];
    set(control.querySelector(".noUi-handle"), {
      ...OURS,
      "aria-label": name,
      "aria-valuetext": readout?.textContent ?? "",
    });
    set(readout, { contenteditable: "false" });
    if (ends)
      set(control.querySelector(".slider-container"), {
        "data-low": ends[0],
        "data-high": ends.at(-1),
      });
    if (label?.title === "null") label.removeAttribute("title");
    set(control.querySelector("select"), { ...OURS, "aria-label": name });
    buttons.forEach((b) =>
      set(b, { ...OURS, "aria-pressed": String(b.classList.contains("mod-active")) }),
    );
    set(buttons[0]?.parentElement, { role: "group", "aria-label": name });
  }
}

/** Dress the row of controls beside `el`, now and whenever it changes; null while there is none.
 * Sliders show the first and the last label of their dimension. */
export function adopt(el, dims) {
  const host = el.closest(".lrx")?.querySelector(".lrx-controls");
  if (!host) return null;
  const observer = new MutationObserver(() => dress(host, dims));
  dress(host, dims);
  observer.observe(host, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: WATCHED,
  });
  return observer;
}
