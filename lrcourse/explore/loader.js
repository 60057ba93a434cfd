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

export default { render: async (context) => (await load(context.model)).render(context) };
