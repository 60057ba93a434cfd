// The controls are ordinary widgets beside the view. They lack names and states; here they get them.

import { OURS } from "./drawing.js";

const WATCHED = ["aria-valuetext", "contenteditable", "class"];

function dress(host) {
  const set = (el, attrs) => {
    for (const k in attrs) if (el && el.getAttribute(k) !== attrs[k]) el.setAttribute(k, attrs[k]);
  };
  for (const control of host.children) {
    const label = control.querySelector("label");
    const name = label?.textContent ?? "";
    const readout = control.querySelector("[class*=readout]");
    const buttons = [...control.querySelectorAll("button")];
    set(control.querySelector(".noUi-handle"), {
      ...OURS,
      "aria-label": name,
      "aria-valuetext": readout?.textContent ?? "",
    });
    set(readout, { contenteditable: "false" });
    if (label?.title === "null") label.removeAttribute("title");
    set(control.querySelector("select"), { ...OURS, "aria-label": name });
    buttons.forEach((b) =>
      set(b, { ...OURS, "aria-pressed": String(b.classList.contains("mod-active")) }),
    );
    set(buttons[0]?.parentElement, { role: "group", "aria-label": name });
  }
}

/** Dress the row of controls beside `el`, now and whenever it changes; null while there is none. */
export function adopt(el) {
  const host = el.closest(".lrx")?.querySelector(".lrx-controls");
  if (!host) return null;
  const observer = new MutationObserver(() => dress(host));
  dress(host);
  observer.observe(host, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: WATCHED,
  });
  return observer;
}
