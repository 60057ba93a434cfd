// On paper nothing opens: solutions, discussions and the answers of quizzes stand at the end.
(() => {
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    if (name) element.className = name;
    return element;
  };

  /** A copy of elements without the ids that the page has already. */
  const copies = (elements) =>
    [...elements].map((element) => {
      const copy = element.cloneNode(true);
      for (const one of [copy, ...copy.querySelectorAll("[id]")]) one.removeAttribute("id");
      return copy;
    });

  /** The exercise that something belongs to: "2. The price of a ravine." */
  const exercise = (element) => {
    const names = [...document.querySelectorAll(".bd-article p > strong:first-child")].filter(
      (name) =>
        /^\d+\. /.test(name.textContent) &&
        name.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING,
    );
    return names.at(-1)?.textContent ?? "";
  };

  const KINDS = {
    ".tag_solution": (cell) => [
      make("h3", exercise(cell)),
      ...copies(cell.querySelectorAll(".cell_input")),
    ],
    "details.sd-dropdown": (fold) => [
      make("h3", exercise(fold)),
      ...copies(fold.querySelectorAll(".sd-summary-content")),
    ],
    ".lrq": (quiz) => {
      const right = quiz.querySelector(".lrq-right");
      const option = right.parentElement.querySelector("label").textContent.replace(/\.$/, "");
      const answer = make("p", `${option}: ${right.textContent.replace(/^\s*Yes\.\s*/, "")}`);
      return [make("h3", quiz.querySelector("legend").textContent), answer];
    },
  };

  let end = null;
  addEventListener("beforeprint", () => {
    const found = [...document.querySelectorAll(Object.keys(KINDS).join())];
    if (end || !found.length) return;
    end = make("section", "", "lr-paper");
    end.append(make("h2", "Solutions and answers"));
    for (const element of found) {
      const kind = Object.keys(KINDS).find((selector) => element.matches(selector));
      end.append(...KINDS[kind](element));
    }
    document.querySelector(".bd-article")?.append(end);
  });
  addEventListener("afterprint", () => {
    end?.remove();
    end = null;
  });
})();
