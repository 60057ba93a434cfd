"""The house keeps its plan: which module may import which, what is light, how long the shelf is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "lrcourse"
SHELF = [
    "grids", "schedules", "plateau", "drivers", "surfaces", "optimizers", "data", "models",
    "curvature", "noise", "settings", "randomness", "training", "cubes", "sweeps", "results",
    "plots", "finder", "probes",
]  # fmt: skip
LOWER = SHELF[: SHELF.index("sweeps")]  # what the engine stands on
ABOVE = ["explore", "exercises", "chapters"]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports name the package"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    known = (
        next((m for m in (name, name.rpartition(".")[0]) if m in MODULES), None) for name in found
    )
    return {name for name in known if name}


def place(module: str) -> str:
    """The part of the house a module belongs to: the first name below the package."""
    return module.split(".")[1] if "." in module else ""


def allowed(module: str) -> set[str]:
    """The parts that a module may import; those with an underscore are open to all."""
    part = place(module)
    if part in SHELF:
        return {*SHELF[: SHELF.index(part)], "engine", ""}
    return {
        "": {*SHELF, *ABOVE},
        "engine": {*LOWER, "engine", ""},
        "explore": {*SHELF, "explore", ""},
        "exercises": {*SHELF, "exercises", ""},
        "chapters": {*SHELF, *ABOVE, ""},
    }.get(part, set())


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_down(module):
    used = {place(name) for name in imported(MODULES[module]) if not place(name).startswith("_")}
    if "." not in module:
        used -= {""}
    assert used - allowed(module) == set(), f"{module} imports what stands above it"


def test_every_module_has_its_place():
    parts = {place(module) for module in MODULES} - {""}
    assert {part for part in parts if not part.startswith("_")} == {*SHELF, "engine", *ABOVE}


def test_nothing_in_the_package_knows_a_chapter():
    for module, path in MODULES.items():
        if place(module) != "chapters":
            assert "chapters" not in {place(name) for name in imported(path)}, module


def defined(path: Path) -> set[str]:
    """The public classes, functions and constants of a file."""
    body = ast.parse(path.read_text()).body
    names = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    targets = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    constants = {t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper()}
    return {name for name in names | constants if not name.startswith("_") and len(name) > 1}


def test_one_name_means_one_thing():
    homes = defaultdict(list)
    for module, path in MODULES.items():
        if place(module) == "chapters":  # one chapter is read at a time
            continue
        for name in defined(path):
            homes[name].append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


@pytest.mark.parametrize("module", ["schedules", "plateau", "grids", "surfaces", "cubes"])
def test_light_modules_need_no_torch(module):
    code = f"import sys, lrcourse.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md"])
def test_the_stated_size_of_the_shelf_is_true(document):
    lines = sum(len((PACKAGE / f"{name}.py").read_text().splitlines()) for name in SHELF)
    (stated,) = re.findall(r"shelf[^.|]*?([\d,]+) lines", (ROOT / document).read_text())
    assert int(stated.replace(",", "")) == pytest.approx(lines, rel=0.03)
