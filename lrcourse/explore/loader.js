// All that each view carries. Script and stylesheet lie once in the page, in a model of their own.
async function load(model) {
  const code = await model.widget_manager.get_model(model.get("code").replace("IPY_MODEL_", ""));
  const style =
    document.getElementById("lrx-style") ??
    document.head.appendChild(Object.assign(document.createElement("style"), { id: "lrx-style" }));
  if (style.textContent !== code.get("style")) style.textContent = code.get("style");
  code.lrx ??= import(
    URL.createObjectURL(new Blob([code.get("script")], { type: "text/javascript" }))
  );
  return (await code.lrx).default;
}

/** When it is the turn of a view: at once where it can be seen, else when the page has time. */
const turn = (el) =>
  new Promise((begin) => {
    const seen = new IntersectionObserver((all) => all.some((e) => e.isIntersecting) && go(), {
      rootMargin: "200px",
    });
    const go = () => (seen.disconnect(), begin());
    seen.observe(el);
    window.requestIdleCallback ? requestIdleCallback(go, { timeout: 1500 }) : setTimeout(go, 500);
  });

export default {
  render: async (context) => {
    const [view] = await Promise.all([load(context.model), turn(context.el)]);
    return view.render(context);
  },
};
