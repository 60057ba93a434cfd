"""The policy for notebooks: outputs only where they are checked, exercises that can be passed."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest
import yaml
from conftest import NOTEBOOKS, ROOT, TEMPLATE

from tools import refresh

POLICED = [*NOTEBOOKS, TEMPLATE]
CHAPTERS = [path for path in NOTEBOOKS if path.stem != "index"]
each_notebook = pytest.mark.parametrize("path", POLICED, ids=lambda p: p.stem)
each_chapter = pytest.mark.parametrize("path", [*CHAPTERS, TEMPLATE], ids=lambda p: p.stem)


def cells(path, kind="code"):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def prose(path):
    return "\n".join(cell.source for cell in cells(path, "markdown"))


def visible(cell):
    """Whether a reader of the book sees the code of a cell."""
    return not tags(cell) & refresh.FOLDED


def contents():
    """The files that the table of contents lists, those of parts too."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    parts = toc.get("parts", [toc])
    waiting = [entry for part in parts for entry in part.get("chapters", [])]
    listed = [toc["root"]]
    for entry in waiting:
        listed.append(entry["file"])
        waiting += entry.get("sections", [])
    return listed


def test_every_notebook_is_in_the_contents_and_the_other_way_round():
    listed = contents()
    assert len(listed) == len(set(listed))
    notebooks = {name for name in listed if (ROOT / f"{name}.ipynb").exists()}
    assert notebooks == {f"book/{path.stem}" for path in NOTEBOOKS}
    for name in set(listed) - notebooks:
        assert (ROOT / f"{name}.md").exists(), name


@each_notebook
def test_no_line_of_prose_is_taken_for_a_comment(path):
    """MyST leaves out what follows a % at the start of a line."""
    lost = [line for line in prose(path).splitlines() if line.lstrip().startswith("%")]
    assert lost == []


@each_notebook
def test_notebooks_are_valid_and_carry_no_run(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in cells(path):
        assert cell.execution_count == (1 if cell.outputs else None)


@each_notebook
def test_outputs_stand_only_where_they_are_checked(path):
    """A checked cell prints exactly once, or it ends in a table."""
    checked = [cell for cell in cells(path) if "nbval-check-output" in tags(cell)]
    assert checked, "no checked number"
    for cell in cells(path):
        if "nbval-check-output" not in tags(cell):
            assert not cell.outputs, f"output kept unchecked: {cell.source}"
            continue
        assert len(cell.outputs) == 1, f"one output a checked cell: {cell.source}"
        (out,) = cell.outputs
        if out.output_type == "stream":
            assert cell.source.count("print(") == 1, f"one print a checked cell: {cell.source}"
            text = out.text
        else:
            assert "print(" not in cell.source, f"a table or a print: {cell.source}"
            assert set(out.data) == set(refresh.COMPARED)
            assert "<caption" in out.data["text/html"], f"a table has a caption: {cell.source}"
            assert not out.metadata
            text = out.data["text/plain"]
        assert re.search(r"\d", text), "a checked cell shows a number"


@each_notebook
def test_jupyter_closes_what_the_book_folds(path):
    for cell in nbformat.read(path, 4).cells:
        assert dict(cell.metadata.get("jupyter", {})) == refresh.folded(cell), cell.source[:80]
        closed = "outputs_hidden" in refresh.folded(cell)
        assert cell.metadata.get("collapsed", False) is closed, cell.source[:80]
        if "solution" in tags(cell):
            assert refresh.folded(cell) == {"source_hidden": True, "outputs_hidden": True}
        if cell.cell_type == "code" and "quiz(" in cell.source:
            assert "source_hidden" in refresh.folded(cell), "the answers stand in the code"


@each_notebook
def test_visible_code_fits_a_slide(path):
    for cell in filter(visible, cells(path)):
        lines = cell.source.splitlines()
        assert len(lines) <= 15, f"{len(lines)} lines, at most 15: {cell.source}"
        assert max(map(len, lines)) <= 88, f"at most 88 columns: {cell.source}"


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
    least = 1 if "for who writes a chapter" in text else 2  # the template, and a draft made from it
    code = "\n".join(cell.source for cell in cells(path))
    assert code.count("explore(") >= least
    assert "quiz(" in code
    exercises = [cell for cell in cells(path) if "exercise" in tags(cell)]
    assert 1 <= len(exercises) <= 4


@each_chapter
def test_numbers_in_verdicts_are_computed(path):
    """The verdict's numbers are shown by a checked cell under its heading."""
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
    names: dict = {}
    exec("import numpy as np\nfrom lrcourse.exercises import check", names)
    tree = ast.parse(cell.source)
    last = tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
