// The explorer's view: it draws recorded runs and lets a reader walk through them.
// Everything it needs comes with the model: `spec` (what to draw), `data` (the runs, binary)
// and one trait `i_<dim>` for each selected index. No kernel, no network, no dependency.

import { Packed } from "./pack.js";
import { clamp } from "./scales.js";
import { button, html, put, swatch } from "./drawing.js";
import { against, capital, differing, divergence, naming } from "./words.js";
import { adopt } from "./controls.js";
import { askedFor, linkTo, listen, placeOf } from "./handles.js";
import { Player } from "./play.js";
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
    this.compared = html("p", { class: "lrx-compared", "aria-live": "polite", hidden: true });
    this.pinList = html("ul", { class: "lrx-pins" });
    this.pinButton = button("Pin this run", () => this.pin());
    this.clear = button("Clear pins", () => this.setPins([]));
    this.link = button("Copy a link", () => this.share(), { hidden: true });
    this.player = this.spec.play && new Player(this);
    this.answer = button("This is my guess", () => this.guess());
    this.reveal = button("Show the result", () => this.unveil());
    this.veiled = this.spec.panels.some((p) => p.guess);
    this.tools = html(
      "div",
      { class: "lrx-tools" },
      ...(this.veiled ? [this.answer, this.reveal] : []),
      ...(this.player ? [this.player.button] : []),
      ...(this.spec.named.length ? [this.pinButton, this.clear, this.link] : []),
    );
    this.root = html(
      "section",
      { class: "lrx-root", "aria-label": this.spec.alt },
      this.pinList,
      html(
        "div",
        { class: "lrx-panels", style: `--lrx-n:${this.panels.length}` },
        ...this.panels.map((p) => p.el),
      ),
      html("div", { class: "lrx-said" }, this.sentence, this.longest()),
      this.compared,
      ...(this.spec.caption ? [html("p", { class: "lrx-caption" }, this.spec.caption)] : []),
    );
    this.root.lrx = { series: () => this.series(), updates: 0, ms: 0 };
    el.classList.add("lrx-view");
    el.append(this.tools, this.root);
    if (this.veiled) {
      this.root.classList.add("lrx-veiled");
      this.pinButton.hidden = true;
    }
    for (const key of this.keys) model.on(`change:i_${key}`, () => this.schedule());
    model.on("change:pins", () => this.schedule());
    this.resizer = new ResizeObserver(() => this.resize());
    for (const p of this.panels) this.resizer.observe(p.el);
    if (el.isConnected) this.resize(); // before it is painted
  }

  dispose() {
    this.deaf?.();
    this.resizer.disconnect();
    this.dresser?.disconnect();
    this.player?.stop();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.calm);
    this.tools.remove();
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
    this.dresser ??= adopt(this.el, this.spec.dims);
    if (!this.deaf) {
      this.deaf = listen(this); // the place in the page is known now
      this.link.hidden = this.veiled || !linkTo(this, {});
      const asked = askedFor(this);
      if (asked) this.go(asked);
    }
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
    this.compare(runs);
    root.lrx.updates += 1;
    root.lrx.ms = performance.now() - started;
  }

  /** The sentence changes at once for the eye, and is read out when the hand rests. */
  speak() {
    const { spec, sel } = this;
    const text = this.veiled
      ? this.question()
      : this.verdict() || (spec.says ? this.meaning() : this.reading());
    if (text === this.sentence.textContent) return;
    put(this.sentence, { "aria-busy": true });
    this.sentence.textContent = text;
    clearTimeout(this.calm);
    this.calm = setTimeout(() => this.sentence.removeAttribute("aria-busy"), 400);
  }

  /** What the state means: the text that came with the runs. */
  meaning() {
    const { dims, shape, texts, at } = this.spec.says;
    const place = dims.reduce((k, d, i) => k * shape[i] + (this.sel[d] ?? 0), 0);
    return [texts[at[place]], this.spec.held].filter(Boolean).join(" ");
  }

  /** What is shown, read out: where, how much, and how many runs diverged. */
  reading() {
    const { spec, sel } = this;
    const where = naming(spec.dims, sel, spec.named);
    const said = [...new Set(this.panels.map((p) => p.clause()))].filter(Boolean).join("; ");
    const lost = spec.diverged
      ? divergence(this.packed.rows(spec.diverged, sel, null).map((r) => r[0]))
      : "";
    return [`${capital([where, said].filter(Boolean).join(": "))}.`, lost, spec.held]
      .filter(Boolean)
      .join(" ");
  }

  /** What is shown against the latest pin. */
  compare(runs) {
    const { spec } = this;
    const [pin, now] = runs.slice(-2);
    const outcomes = now ? this.panels.map((p) => p.outcome?.(now, pin)).filter(Boolean) : [];
    this.compared.hidden = !outcomes.length || this.veiled;
    if (this.compared.hidden) return;
    const apart = differing([pin.sel, now.sel]).filter((d) => spec.named.includes(d));
    const changed = outcomes.filter((text) => !text.startsWith("the same"));
    const said = [...new Set(changed.length ? changed : outcomes)].join("; ");
    this.compared.textContent = apart.length
      ? `Against the pin at ${naming(spec.dims, pin.sel, apart)}: ${said}.`
      : "This is the pinned run.";
  }

  /** The longest of all sentences, unseen, so that the height never changes. */
  longest() {
    const texts = this.spec.says?.texts ?? [];
    const text = texts.reduce((a, b) => (b.length > a.length ? b : a), "");
    return html(
      "p",
      { class: "lrx-longest", "aria-hidden": "true" },
      `${text} ${this.spec.held}`.trim(),
    );
  }

  /** What is asked before the result is shown. */
  question() {
    return `Guess first: click on the empty axes, or move the control and press “${this.answer.textContent}”.`;
  }

  /** What became of the guess, as long as it is what is shown. */
  verdict() {
    const asking = this.panels.find((p) => p.spec.guess);
    return asking && this.guessed && asking.judged(this.guessed, this.sel);
  }

  /** Take what is chosen as the reader's guess, and show what is true. */
  guess() {
    if (!this.veiled) return;
    this.guessed = Object.fromEntries(this.keys.map((k) => [k, this.index(k)]));
    this.unveil();
  }

  unveil() {
    this.veiled = false;
    this.answer.hidden = this.reveal.hidden = true;
    this.root.classList.remove("lrx-veiled");
    this.pinButton.hidden = false;
    this.link.hidden = !linkTo(this, {});
    this.schedule();
  }

  /** Put the state into the page's address, and the address where it can be pasted. */
  share() {
    const { spec } = this;
    const { named, choices } = spec;
    const state = Object.fromEntries(
      [...named, ...Object.keys(choices)].map((key) => [
        key,
        (choices[key] ?? spec.dims[key].labels)[this.index(key)],
      ]),
    );
    history.replaceState(null, "", linkTo(this, state));
    navigator.clipboard?.writeText(location.href).catch(() => {}); // the address bar has it anyway
    this.link.textContent = "Copied";
    setTimeout(() => (this.link.textContent = "Copy a link"), 1500);
  }

  select(changes) {
    for (const [dim, i] of Object.entries(changes))
      this.model.set(`i_${dim}`, clamp(i, 0, (this.spec.dims[dim]?.n ?? Infinity) - 1));
    this.model.save_changes();
  }

  /** Go where a handle asks, come into sight, and show that something moved. */
  go(texts) {
    const { spec, root } = this;
    const places = Object.entries(texts).map(([key, text]) => {
      const listed = (spec.choices[key] ?? []).indexOf(text);
      const i = spec.named.includes(key) ? placeOf(spec.dims[key], text) : listed;
      if (i < 0) throw new RangeError(`a handle asks for ${key}=${text}, which is not here`);
      return [key, i];
    });
    if (this.veiled) this.unveil();
    this.select(Object.fromEntries(places));
    this.comeIntoSight();
    root.classList.remove("lrx-moved");
    requestAnimationFrame(() => root.classList.add("lrx-moved"));
  }

  /** Scroll to the controls where less than most of the explorer can be seen. */
  comeIntoSight() {
    const whole = this.root.closest(".lrx") ?? this.root;
    const { top, bottom, height } = whole.getBoundingClientRect();
    if (clamp(bottom, 0, innerHeight) - clamp(top, 0, innerHeight) > 0.6 * height) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    whole.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
  }

  point(cursor) {
    const { i, dim, only } = this.cursor ?? {};
    if (cursor?.i === i && cursor?.dim === dim && cursor?.only === only) return;
    if (!cursor?.only) this.player?.stop();
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
