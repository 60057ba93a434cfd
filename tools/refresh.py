"""Run notebooks and write back what a reader of the sources sees: checked outputs and stills.

``python -m tools.refresh [book/basics.ipynb ...]`` formats the cells of each notebook, executes it
in a fresh kernel, keeps what cells tagged ``nbval-check-output`` print or show as a table, and
strips all other outputs.  It saves the picture of every explorer under ``book/stills``, and a cell
that the built book leaves out shows it to readers on GitHub and wherever else widgets do not run.
What the book folds by a tag is closed in Jupyter too.
"""

from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from itertools import count
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

BOOK = Path(__file__).resolve().parents[1] / "book"
VIEW = "application/vnd.jupyter.widget-view+json"
QUIET = ["--log-level=ERROR"]  # of the kernel, which warns that it is reached by port
STILL_TAGS = ["remove-cell", "still"]
FOLDED = {"hide-cell", "hide-input", "remove-cell", "remove-input"}  # tags: the code is closed
FOLDED_OUTPUT = {"hide-cell", "hide-output", "remove-cell", "remove-output"}
COMPARED = ("text/plain", "text/html")  # what nbval compares and a reader of the sources sees


def refresh(path: Path) -> None:
    """Execute one notebook and rewrite it in place; nothing is written when a cell fails."""
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "check", "--quiet", "--fix-only", "--exit-zero", path], check=True)
    subprocess.run([*ruff, "format", "--quiet", path], check=True)
    notebook = nbformat.read(path, 4)
    notebook.cells = [c for c in notebook.cells if "still" not in tags(c)]
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=600, resources=where, extra_arguments=QUIET)
    client.store_widget_state = False
    client.coalesce_streams = True  # a busy kernel sends one print in two parts
    client.execute()
    cells, stills = [], count(1)
    folder = path.parent / "stills"
    for old in folder.glob(f"{path.stem}-*.png"):
        old.unlink()
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type != "code":
            continue
        cells += [still_cell(path, data, next(stills)) for data in pictures(cell)]
        cell.metadata.pop("execution", None)
        cell.outputs = checked(cell)
        cell.execution_count = 1 if cell.outputs else None  # nbval compares only cells that ran
    for number, cell in enumerate(cells):
        cell["id"] = f"{path.stem.strip('_')}-{number:02d}"
        fold(cell)
    notebook.cells = cells
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, path)


def tags(cell) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def folded(cell) -> dict[str, bool]:
    """What Jupyter is told to close of a code cell, by the tags that fold it in the book."""
    code = cell.cell_type == "code"
    closed = {
        "source_hidden": code and bool(tags(cell) & FOLDED),
        "outputs_hidden": code and bool(tags(cell) & FOLDED_OUTPUT),
    }
    return {name: True for name, value in closed.items() if value}


def fold(cell) -> None:
    """Close in Jupyter what the book folds, and open the rest."""
    cell.metadata.pop("jupyter", None)
    cell.metadata.pop("collapsed", None)
    if closed := folded(cell):
        cell.metadata["jupyter"] = closed
        if "outputs_hidden" in closed:
            cell.metadata["collapsed"] = True


def checked(cell) -> list:
    """The outputs of a checked cell that stay: printed text, or the text and HTML of a table."""
    if "nbval-check-output" not in tags(cell):
        return []
    kept = []
    for out in cell.outputs:
        if out.output_type == "stream" and out.name == "stdout":
            kept.append(out)
        elif out.output_type == "execute_result" and "<table" in out.data.get("text/html", ""):
            data = {kind: out.data[kind] for kind in COMPARED}
            kept.append(nbformat.v4.new_output("execute_result", data, execution_count=1))
    return kept


def pictures(cell) -> list:
    """The mime bundles of the explorers that a cell shows."""
    bundles = [out.get("data", {}) for out in cell.outputs]
    return [data for data in bundles if VIEW in data and "image/png" in data]


def still_cell(path: Path, data, number: int):
    """Save the picture and return the cell that shows it where widgets do not run."""
    target = path.parent / "stills" / f"{path.stem}-{number}.png"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b64decode(data["image/png"]))
    text = " ".join(data["text/plain"].split()).replace('"', "'")
    cell = nbformat.v4.new_markdown_cell(
        "<details><summary>A still picture</summary>"
        f'<img src="stills/{target.name}" alt="{text}"></details>'
    )
    cell.metadata = {"tags": STILL_TAGS, "slideshow": {"slide_type": "skip"}}
    return cell


if __name__ == "__main__":
    for name in tqdm(sys.argv[1:] or sorted(map(str, BOOK.glob("*.ipynb")))):
        refresh(Path(name).resolve())
