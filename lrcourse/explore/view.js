// The explorer's view: it draws recorded runs and lets a reader walk through them.
// Everything it needs comes with the model: `spec` (what to draw), `data` (the runs, binary)
// and one trait `i_<dim>` for each selected index. No kernel, no network, no dependency.

import { Packed } from "./pack.js";
import { clamp } from "./scales.js";
import { button, html, put, swatch } from "./drawing.js";
import { capital, differing, divergence, naming } from "./words.js";
import { adopt } from "./controls.js";
import { Lines } from "./panels/lines.js";
import { Descent } from "./panels/descent.js";
import { HeatMap } from "./panels/heat.js";

const KINDS = { lines: Lines, descent: Descent, heat: HeatMap };
const PIN_COLOURS = [1, 2, 3, 4];

/** What is chosen, pinned, drawn and said in one explorer. */
class View {
  constructor(model, el) {
    Object.assign(this, { model, el, spec: model.get("spec"), cursor: null });
    const data = model.get("data");
    this.bytes = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
    this.packed = new Packed(this.spec, this.bytes);
    this.keys = Object.keys(this.spec.start);
    this.readSelection();
    this.panels = this.spec.panels.map((p) => new KINDS[p.kind](this, p));
    this.sentence = html("p", { class: "lrx-sentence", "aria-live": "polite" });
    this.pinList = html("ul", { class: "lrx-pins" });
    this.pinButton = button("Pin this run", () => this.pin());
    this.clear = button("Clear pins", () => this.setPins([]));
    this.root = html(
      "section",
      { class: "lrx-root", "aria-label": this.spec.alt },
      html(
        "div",
        { class: "lrx-top" },
        html("p", { class: "lrx-title" }, this.spec.title),
        html(
          "div",
          { class: "lrx-tools" },
          ...(this.spec.named.length ? [this.pinButton, this.clear] : []),
        ),
      ),
      this.pinList,
      html(
        "div",
        { class: "lrx-panels", style: `--lrx-n:${this.panels.length}` },
        ...this.panels.map((p) => p.el),
      ),
      this.sentence,
    );
    this.root.lrx = { series: () => this.series(), updates: 0, ms: 0 };
    el.append(this.root);
    for (const key of this.keys) model.on(`change:i_${key}`, () => this.schedule());
    model.on("change:pins", () => this.schedule());
    this.resizer = new ResizeObserver(() => this.resize());
    for (const p of this.panels) this.resizer.observe(p.el);
  }

  dispose() {
    this.resizer.disconnect();
    this.dresser?.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.calm);
    this.root.remove();
  }

  /** What is chosen now; `sel` is what was drawn last. */
  index(key) {
    return this.model.get(`i_${key}`);
  }

  readSelection() {
    this.sel = Object.fromEntries(this.keys.map((k) => [k, this.index(k)]));
  }

  resize() {
    this.dresser ??= adopt(this.el);
    const changed = this.panels.filter((p) => p.el.clientWidth > 0 && p.el.clientWidth !== p.width);
    changed.forEach((p) => p.layout(p.el.clientWidth));
    if (changed.length) this.draw();
  }

  /** However many values change, one frame draws them all. */
  schedule() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (this.panels.some((p) => !p.width)) return;
    const { spec, keys, root } = this;
    const started = performance.now();
    this.readSelection();
    const runs = [
      ...this.model.get("pins").map((p) => ({ ...p, sel: { ...this.sel, ...p.sel } })),
      { sel: this.sel, colour: 0 },
    ];
    const apart = differing(runs.map((r) => r.sel)).filter((d) => spec.named.includes(d));
    runs.forEach((r) => {
      r.label = naming(
        spec.dims,
        r.sel,
        apart.length ? spec.named.filter((d) => apart.includes(d)) : spec.named,
      );
    });
    this.panels.forEach((p) => p.draw(runs, this.cursor));
    root.dataset.selection = JSON.stringify(
      Object.fromEntries(
        keys.map((k) => [k, (spec.dims[k]?.labels ?? spec.choices[k])[this.sel[k]]]),
      ),
    );
    this.showPins(runs);
    this.speak();
    root.lrx.updates += 1;
    root.lrx.ms = performance.now() - started;
  }

  /** The sentence changes at once for the eye, and is read out when the hand rests. */
  speak() {
    const { spec, sel } = this;
    const where = naming(spec.dims, sel, spec.named);
    const said = [...new Set(this.panels.map((p) => p.clause()))].filter(Boolean).join("; ");
    const lost = spec.diverged
      ? divergence(this.packed.rows(spec.diverged, sel, null).map((r) => r[0]))
      : "";
    const text = [`${capital([where, said].filter(Boolean).join(": "))}.`, lost, spec.held]
      .filter(Boolean)
      .join(" ");
    if (text === this.sentence.textContent) return;
    put(this.sentence, { "aria-busy": true });
    this.sentence.textContent = text;
    clearTimeout(this.calm);
    this.calm = setTimeout(() => this.sentence.removeAttribute("aria-busy"), 400);
  }

  select(changes) {
    for (const [dim, i] of Object.entries(changes))
      this.model.set(`i_${dim}`, clamp(i, 0, this.spec.dims[dim].n - 1));
    this.model.save_changes();
  }

  point(cursor) {
    if (cursor?.i === this.cursor?.i && cursor?.dim === this.cursor?.dim) return;
    this.cursor = cursor;
    this.schedule();
  }

  pin() {
    const pins = this.model.get("pins");
    const colour = PIN_COLOURS.find((c) => !pins.some((p) => p.colour === c));
    const sel = Object.fromEntries(this.spec.named.map((d) => [d, this.index(d)]));
    const same = (p) => !differing([p.sel, sel]).length;
    if (colour && !pins.some(same)) this.setPins([...pins, { sel, colour }]);
  }

  setPins(pins) {
    this.model.set("pins", pins);
    this.model.save_changes();
    this.pinButton.focus();
  }

  showPins(runs) {
    const key = runs.map((r) => r.label + r.colour).join("|");
    const none = runs.length === 1;
    if (key === this.pinKey) return;
    this.pinKey = key;
    put(this.pinButton, { "aria-disabled": runs.length > PIN_COLOURS.length });
    this.clear.hidden = this.pinList.hidden = none;
    const unpin = (r) =>
      button("×", () => this.setPins(this.model.get("pins").filter((p) => p.colour !== r.colour)), {
        class: "lrx-button lrx-unpin",
        "aria-label": `Remove the pin at ${r.label}`,
      });
    this.pinList.replaceChildren(
      ...(none ? [] : runs).map((r) =>
        html(
          "li",
          {},
          swatch(r.colour),
          r.label,
          r.colour ? unpin(r) : html("span", { class: "lrx-now" }, "shown now"),
        ),
      ),
    );
  }

  /** The numbers that are drawn at this moment, for tests and for the curious. */
  series() {
    const plain = (a) => a && Array.from(a);
    return this.panels.flatMap((p, panel) =>
      p.series.map((s) => ({
        panel,
        name: s.name,
        pin: s.run.colour,
        x: plain(s.x),
        y: plain(s.mid),
        low: plain(s.low),
        high: plain(s.high),
        values: s.values,
        paths: s.paths?.map((path) => path.map((q) => q && q.at)),
      })),
    );
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.dispose();
  },
};
