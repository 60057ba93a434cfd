// Runs after RequireJS and before the widget manager. It tells RequireJS that anywidget is served
// from here, and gives the manager the MathJax 2 entry point it still calls (MathJax 3 has none).
(() => {
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  window.requirejs.config({ paths: { anywidget: here + "anywidget" } });
  const mathjax = (window.MathJax ??= {});
  mathjax.Hub ??= { Queue: ([, , element]) => mathjax.typesetPromise?.([element]) };
})();
