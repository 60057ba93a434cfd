// The theme's sidebar is a plain box; screen readers find it when it is a landmark with a name.
document.addEventListener("DOMContentLoaded", () => {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  sidebar?.setAttribute("role", "complementary");
  sidebar?.setAttribute("aria-label", "Book");
});
// The arrows that open a part of the contents have no text of their own.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll("details > summary")) {
    if (!arrow.textContent.trim()) arrow.setAttribute("aria-label", "The pages of this part");
  }
});
// The contents of a page open as a dialog, from a button that says so; choosing a place closes it.
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll(".secondary-toggle")) {
    for (const name of ["title", "aria-label"]) button.setAttribute(name, "Contents of this page");
  }
});
document.addEventListener("click", (event) => {
  if (event.target.closest?.("dialog.bd-sidebar-secondary a"))
    event.target.closest("dialog").close();
});
