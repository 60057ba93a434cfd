"""Where widgets do not run, each explorer has its picture: in the repository too."""

import re

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT, TEMPLATE

POLICED = [*NOTEBOOKS, TEMPLATE]


def pictures(path):
    cells = nbformat.read(path, 4).cells
    stills = [c for c in cells if "still" in c.metadata.get("tags", [])]
    found = [re.search(r'src="(stills/[^"]+)" alt="([^"]{20,})"', c.source) for c in stills]
    assert all(found), path.name
    return [match.group(1) for match in found]


@pytest.mark.parametrize("path", POLICED, ids=lambda p: p.stem)
def test_every_explorer_is_followed_by_its_picture(path):
    cells = nbformat.read(path, 4).cells
    shown = [i for i, c in enumerate(cells) if c.cell_type == "code" and "explore(" in c.source]
    assert shown
    for i in shown:
        tags = cells[i + 1].metadata.get("tags", [])
        assert {"still", "remove-cell"} <= set(tags), cells[i].source


def test_pictures_and_references_are_the_same_set():
    referred = {name for path in POLICED for name in pictures(path)}
    there = {f"stills/{p.name}" for p in (ROOT / "book" / "stills").glob("*")}
    assert referred == there
    for name in there:
        assert (ROOT / "book" / name).read_bytes().startswith(b"\x89PNG")
