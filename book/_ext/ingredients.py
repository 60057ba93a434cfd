"""What a notebook's outputs depend on besides its own cells: modules, recorded cubes, versions.

`ingredients` follows the imports of a notebook through the package without running anything.  It
understands ``import lrcourse.x``, ``from lrcourse import x`` (modules, and the names that a package
imports lazily from its table `_HOME`), relative imports, imports inside functions, and the two
places where a text names what is loaded: ``check("basics.updates_needed", f)`` and
``load("schedules")``.
What is imported for type checkers alone is left out.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "lrcourse"


def digest(notebook: Path, root: Path) -> str:
    """A short text that changes when anything does that the notebook's outputs depend on."""
    found = hashlib.sha256()
    for path in ingredients(notebook, root):
        found.update(path.relative_to(root).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def ingredients(notebook: Path, root: Path) -> list[Path]:
    """The files under `root` that a notebook reaches, sorted; its own is not among them."""
    reached: set[Path] = set()
    waiting = [ast.parse(code(notebook))]
    origins = [PACKAGE]  # of the trees in `waiting`: what their relative imports start from
    while waiting:
        tree, origin = waiting.pop(), origins.pop()
        for file in named(tree, origin, root):
            if file not in reached:
                reached.add(file)
                if file.suffix == ".py":
                    waiting.append(ast.parse(file.read_text()))
                    origins.append(home(file, root))
    return sorted(reached | {root / "requirements.txt"})


def code(notebook: Path) -> str:
    """The Python of all code cells, without the lines that are commands of Jupyter."""
    cells = json.loads(notebook.read_text())["cells"]
    sources = ("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return re.sub(r"^[%!].*$", "", "\n".join(sources), flags=re.M)


def home(file: Path, root: Path) -> str:
    """The dotted package that a file belongs to."""
    return ".".join(file.relative_to(root).parent.parts)


def named(tree: ast.AST, origin: str, root: Path) -> Iterator[Path]:
    """The files that a syntax tree names itself."""
    for node in walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from files(alias.name, root)
            case ast.ImportFrom(module=module, names=names, level=level):
                start = origin.split(".")[: len(origin.split(".")) + 1 - level] if level else []
                base = ".".join([*start, *([module] if module else [])])
                for alias in names:
                    yield from files(f"{base}.{alias.name}", root)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == PACKAGE:
                yield from files(f"{PACKAGE}.{attribute}", root)
            case ast.Call(func=function, args=[ast.Constant(value=str(text)), *_]):
                called = getattr(function, "attr", getattr(function, "id", ""))
                if called == "check":
                    yield from files(f"{PACKAGE}.chapters.{text.partition('.')[0]}", root)
                elif called == "import_module":
                    yield from files(text, root)
                elif called == "load":
                    yield from (
                        p for p in [root / PACKAGE / "recorded" / f"{text}.nc"] if p.exists()
                    )


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without what stands under ``if TYPE_CHECKING:``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from walk(other)
        else:
            yield from walk(child)


def files(dotted: str, root: Path) -> Iterator[Path]:
    """The files that importing a module or a name runs: its packages', its own, its lazy home's."""
    parts = dotted.split(".")
    if parts[0] != PACKAGE:
        return
    folder = root
    for depth, part in enumerate(parts):
        if (folder / part / "__init__.py").exists():
            folder = folder / part
            yield folder / "__init__.py"
            if depth:  # scripts and styles are part of what a package shows
                yield from (p for p in folder.rglob("*") if p.suffix in (".js", ".css"))
        elif (folder / f"{part}.py").exists():
            yield folder / f"{part}.py"
            return
        else:
            lazy = table(folder / "__init__.py").get(part)
            if lazy:
                yield from files(f"{home(folder / '__init__.py', root)}.{lazy}", root)
            return


def table(init: Path) -> dict[str, str]:
    """Which module each lazily imported name of a package lives in."""
    for node in ast.parse(init.read_text()).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="_HOME")], value=value)
                | ast.AnnAssign(target=ast.Name(id="_HOME"), value=value)
            ):
                return dict(ast.literal_eval(value))
    return {}
