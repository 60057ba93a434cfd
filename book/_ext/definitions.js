// anywidget comes as an AMD module: `define(needs, make)`. Keep what makes it until its needs are
// there; no other script of the page meets this `define`.
window.define = (needs, make) => {
  window.lrDefined = make;
  delete window.define;
};
