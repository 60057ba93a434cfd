"""The policy for notebooks: outputs only where they are checked, exercises that can be passed."""

from __future__ import annotations

import re

import nbformat
import pytest
import yaml
from conftest import NOTEBOOKS, ROOT

CHAPTERS = [path for path in NOTEBOOKS if path.stem != "index"]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)


def cells(path, kind="code"):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def prose(path):
    return "\n".join(cell.source for cell in cells(path, "markdown"))


def test_every_notebook_is_in_the_contents_and_the_other_way_round():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = {toc["root"], *(chapter["file"] for chapter in toc["chapters"])}
    assert listed == {f"book/{path.stem}" for path in NOTEBOOKS}


@each_notebook
def test_notebooks_are_valid_and_carry_no_run(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in cells(path):
        assert cell.execution_count == (1 if cell.outputs else None)


@each_notebook
def test_outputs_stand_only_where_they_are_checked(path):
    checked = [cell for cell in cells(path) if "nbval-check-output" in tags(cell)]
    assert checked, "no checked number"
    for cell in cells(path):
        if "nbval-check-output" in tags(cell):
            assert cell.outputs, f"checked but empty: {cell.source}"
            assert cell.source.count("print(") == 1, f"one print a checked cell: {cell.source}"
            assert all(out.output_type == "stream" for out in cell.outputs)
            assert re.search(r"\d", cell.outputs[0].text), "a checked cell prints a number"
        else:
            assert not cell.outputs, f"output kept unchecked: {cell.source}"


@each_notebook
def test_cells_are_slides(path):
    for cell in nbformat.read(path, 4).cells:
        assert cell.metadata.get("slideshow", {}).get("slide_type") in {
            "slide", "subslide", "fragment", "skip", "notes", "-",
        }, cell.source[:80]  # fmt: skip


@each_chapter
def test_a_chapter_has_every_part_of_the_template(path):
    text = prose(path).lower()
    for part in ("minutes", "predict", "verdict", "monday", "{bibliography}", "goes wrong"):
        assert part in text, f"no {part!r}"
    code = "\n".join(cell.source for cell in cells(path))
    assert code.count("explore(") >= 2
    assert "quiz(" in code
    exercises = [cell for cell in cells(path) if "exercise" in tags(cell)]
    assert 2 <= len(exercises) <= 4


@each_chapter
def test_numbers_in_verdicts_are_computed(path):
    """The verdict's numbers are printed by a checked cell under its heading."""
    notebook = nbformat.read(path, 4)
    start = next(
        i for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown" and re.search(r"^#+ .*verdict", cell.source, re.I | re.M)
    )  # fmt: skip
    later = notebook.cells[start:]
    assert any("nbval-check-output" in tags(cell) for cell in later)


@each_chapter
def test_every_stub_is_unfinished_and_every_solution_passes(path, capsys):
    """Exercise and solution cells alternate; each is run in a namespace of its own."""
    pairs = [cell for cell in cells(path) if tags(cell) & {"exercise", "solution"}]
    assert [tags(c) & {"exercise", "solution"} for c in pairs] == [
        {"exercise"}, {"solution"},
    ] * (len(pairs) // 2)  # fmt: skip
    for stub, solution in zip(pairs[::2], pairs[1::2], strict=True):
        assert "hide-cell" in tags(solution), "a solution is folded"
        assert result_of(stub).state == "unfinished", stub.source
        assert result_of(solution).passed, solution.source


def result_of(cell):
    """Run a cell as a notebook would and return its last value."""
    import ast

    names: dict = {}
    exec("import numpy as np\nfrom lrcourse.exercises import check", names)
    tree = ast.parse(cell.source)
    last = tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
