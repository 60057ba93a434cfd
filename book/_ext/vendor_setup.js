// Runs after RequireJS and before the widget manager. It tells RequireJS that anywidget is served
// from here, gives the manager the MathJax 2 entry point it still calls (MathJax 3 has none), and
// lets a slow phone take its time: anywidget rejects a model that takes two seconds to start.
(() => {
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  window.requirejs.config({ paths: { anywidget: here + "anywidget" } });
  const mathjax = (window.MathJax ??= {});
  mathjax.Hub ??= { Queue: ([, , element]) => mathjax.typesetPromise?.([element]) };
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => timeout(Math.max(ms, 60_000));
})();
