"""A notebook is executed again when something that it reaches changed, and not otherwise."""

from __future__ import annotations

import json

import pytest
from conftest import NOTEBOOKS, ROOT

from ingredients import digest, ingredients

TREE = {
    "requirements.txt": "torch==2.13.0\n",
    "lrcourse/__init__.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from lrcourse.unused import nothing\n"
        "_HOME = {'sweep': 'sweeps', 'show': 'explore'}\n"
    ),
    "lrcourse/sweeps.py": "def sweep():\n    from .engine import stacks\n",
    "lrcourse/engine/__init__.py": "",
    "lrcourse/engine/stacks.py": "import lrcourse.models as m\n",
    "lrcourse/models.py": "import torch\nfrom lrcourse import sweeps\n",
    "lrcourse/unused.py": "nothing = None\n",
    "lrcourse/cubes.py": "def load(name): ...\n",
    "lrcourse/explore/__init__.py": "from lrcourse.explore.panels import lines\n",
    "lrcourse/explore/explore.js": "",
    "lrcourse/explore/panels/__init__.py": "",
    "lrcourse/explore/panels/lines.py": "",
    "lrcourse/explore/panels/lines.js": "",
    "lrcourse/exercises/__init__.py": "def check(name, f): ...\n",
    "lrcourse/chapters/__init__.py": "",
    "lrcourse/chapters/basics.py": "",
    "lrcourse/chapters/momentum.py": "",
    "lrcourse/recorded/basics.nc": "",
    "lrcourse/recorded/momentum.nc": "",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def notebook(tree, *cells):
    made = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    made.append({"cell_type": "markdown", "source": ["from lrcourse import unused"]})
    path = tree / "one.ipynb"
    path.write_text(json.dumps({"cells": made}))
    return path


def reached(tree, *cells):
    found = {str(p.relative_to(tree)) for p in ingredients(notebook(tree, *cells), tree)}
    assert {"requirements.txt"} <= found
    return {name.removeprefix("lrcourse/") for name in found - {"requirements.txt"}}


SWEEPS = {"__init__.py", "sweeps.py", "engine/__init__.py", "engine/stacks.py", "models.py"}
EXPLORE = {"__init__.py", "explore/__init__.py", "explore/explore.js"} | {
    f"explore/panels/{name}" for name in ("__init__.py", "lines.py", "lines.js")
}
CHECK = {"__init__.py", "exercises/__init__.py", "chapters/__init__.py", "chapters/basics.py"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["import numpy"], set()),
        (["import lrcourse"], {"__init__.py"}),
        (["from lrcourse import sweep"], SWEEPS),
        (["from lrcourse.sweeps import sweep"], SWEEPS),
        (["%matplotlib inline\nimport lrcourse", "lrcourse.sweep()"], SWEEPS),
        (["from lrcourse import show as see"], EXPLORE),
        (["def later():\n    import lrcourse.models"], SWEEPS),
        (["from lrcourse.exercises import check", "check('basics.step', 1)"], CHECK),
        (["from lrcourse import cubes\ncubes.load('basics')"],
         {"__init__.py", "cubes.py", "recorded/basics.nc"}),
        (["from lrcourse.cubes import load\nload('not-ours.nc')"], {"__init__.py", "cubes.py"}),
    ],
)  # fmt: skip
def test_imports_are_followed_without_running_anything(tree, cells, expected):
    assert reached(tree, *cells) == expected


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("lrcourse/engine/stacks.py", True),
        ("lrcourse/recorded/basics.nc", True),
        ("lrcourse/chapters/basics.py", True),
        ("requirements.txt", True),
        ("lrcourse/unused.py", False),
        ("lrcourse/explore/explore.js", False),
        ("lrcourse/recorded/momentum.nc", False),
        ("lrcourse/chapters/momentum.py", False),
    ],
)
def test_only_a_change_of_what_is_reached_asks_for_a_new_run(tree, changed, again):
    path = notebook(
        tree,
        "from lrcourse import sweep\nfrom lrcourse.cubes import load\nload('basics')",
        "from lrcourse.exercises import check\ncheck('basics.step', sweep)",
    )
    before = digest(path, tree)
    assert digest(path, tree) == before
    (tree / changed).write_text("changed = True\n")
    assert (digest(path, tree) != before) is again


PARTS = {"batch_size": ["workers"]}  # chapters whose code is more than one module


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_chapters_reach_their_own_exercises_and_no_others(path):
    chapters = {p.stem for p in ingredients(path, ROOT) if p.parent.name == "chapters"}
    assert chapters <= {"__init__", path.stem, *PARTS.get(path.stem, ())}
