"""Begin a chapter: ``python -m tools.chapter momentum``, or ``make chapter NAME=momentum``.

It copies the template notebook and the template module under the new name, lists the chapter last
in its part of the contents, and runs the notebook once, so that its pictures and checked outputs
are its own.  What stood there before is never overwritten.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.refresh import refresh

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = "_template"


def begin(name: str, root: Path = ROOT) -> list[Path]:
    """Write the files of a new chapter and list it; return what was written.

    Raises
    ------
    ValueError
        When the name is no lower-case Python name, or is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"NAME must be a lower-case name such as momentum, was {name!r}")
    pattern = {
        root / "book" / f"{TEMPLATE}.ipynb": root / "book" / f"{name}.ipynb",
        root / "lrcourse" / "chapters" / f"{TEMPLATE}.py": (
            root / "lrcourse" / "chapters" / f"{name}.py"
        ),
    }
    taken = [str(new.relative_to(root)) for new in pattern.values() if new.exists()]
    if taken:
        raise ValueError(f"NAME must be new, but there is {taken[0]} already")
    for template, new in pattern.items():
        new.write_text(copied(template.read_text(), name))
    contents = root / "_toc.yml"
    contents.write_text(listed(contents.read_text(), f"book/{name}"))
    return [*pattern.values(), contents]


def copied(text: str, name: str) -> str:
    """The text of a template under its new name."""
    text = text.replace(f"{TEMPLATE}.", f"{name}.").replace(f"{TEMPLATE}-", f"{name}-")
    title = name.replace("_", " ").capitalize()
    return text.replace('"# Template:', f'"# {title}:').replace('"template-', f'"{name}-')


def listed(contents: str, file: str) -> str:
    """The table of contents with a file more, after the last chapter of the first part."""
    lines = contents.splitlines(keepends=True)
    chapters = [i for i, line in enumerate(lines) if re.match(r"  - file: ", line)]
    captions = [i for i, line in enumerate(lines) if line.startswith("- caption: Reference")]
    last = max(i for i in chapters if not captions or i < captions[0])
    lines.insert(last + 1, f"  - file: {file}\n")
    return "".join(lines)


def main(names: list[str]) -> int:
    """Begin one chapter and say what is next; the exit status is 0 when it worked."""
    if len(names) != 1:
        print("Say which: make chapter NAME=momentum", file=sys.stderr)
        return 1
    try:
        made = begin(names[0])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    refresh(made[0])
    print("Written:", *(str(path.relative_to(ROOT)) for path in made), sep="\n  ")
    print("Next: replace what the notes in the notebook ask for, delete the notes, make notebooks.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
