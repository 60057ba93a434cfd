// Brings the widgets of a page to life: the part of Jupyter's widget manager that the book needs,
// joined into one script by `bundle.py`. It starts as soon as the page has been read.
import "./definitions.js";
import "anywidget";
import * as base from "@jupyter-widgets/base";
import { ManagerBase } from "@jupyter-widgets/base-manager";
import * as controls from "@jupyter-widgets/controls";
import { MessageLoop } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import "@lumino/widgets/style/index.css";
import "@jupyter-widgets/controls/css/labvariables.css";
import "@jupyter-widgets/controls/css/widgets-base.css";

const MODULES = {
  "@jupyter-widgets/base": base,
  "@jupyter-widgets/controls": controls,
  anywidget: window.lrDefined(base),
};

/** Models and views of a page that no kernel stands behind. */
class PageManager extends ManagerBase {
  async loadClass(name, module, version) {
    const found = MODULES[module]?.[name];
    if (!found)
      throw new Error(`The book does not carry the widget ${name} of ${module} ${version}`);
    return found;
  }

  async _create_comm() {
    const nothing = () => {};
    return { on_close: nothing, on_msg: nothing, close: nothing };
  }

  async _get_comm_info() {
    return {};
  }
}

const ofType = (kind) =>
  document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`);

/** Show a view where the page says so. */
async function show(manager, script) {
  const model = await manager.get_model(JSON.parse(script.textContent).model_id);
  const place = document.createElement("div");
  place.className = "widget-subarea";
  script.before(place);
  const view = await manager.create_view(model);
  Widget.attach(view.luminoWidget, place);
  const resize = () => MessageLoop.postMessage(view.luminoWidget, Widget.ResizeMessage.UnknownSize);
  window.addEventListener("resize", resize);
  view.once("remove", () => window.removeEventListener("resize", resize));
}

async function begin() {
  // anywidget rejects a model that takes two seconds to start: let a slow phone take its time.
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => timeout(Math.max(ms, 60_000));
  // Formulas in controls are set by an entry point of MathJax 2, which MathJax 3 has not.
  const mathjax = (window.MathJax ??= {});
  mathjax.Hub ??= { Queue: ([, , element]) => mathjax.typesetPromise?.([element]) };
  for (const state of ofType("state")) {
    const manager = new PageManager();
    const models = await manager.set_state(JSON.parse(state.textContent));
    const known = new Set(models.map((model) => model.model_id));
    const views = [...ofType("view")].filter((v) => known.has(JSON.parse(v.textContent).model_id));
    await Promise.all(views.map((view) => show(manager, view)));
  }
}

if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
else begin();
