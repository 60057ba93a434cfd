// Three libraries of the theme and the widget manager report their normal work on the console.
// Leave it to messages that matter.
(() => {
  const chatter = /^\[(PST|togglebutton)\]|^strict mode: use allowUnionTypes/;
  for (const level of ["log", "warn"]) {
    const write = console[level].bind(console);
    console[level] = (...parts) => chatter.test(parts[0]) || write(...parts);
  }
})();
