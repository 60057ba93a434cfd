"""Run notebooks and write back what a reader of the sources sees: checked outputs and stills.

``python -m tools.refresh [book/basics.ipynb ...]`` executes each notebook in a fresh kernel, keeps
the outputs of cells tagged ``nbval-check-output`` and strips all others.  It saves the picture of
every explorer under ``book/stills``, and a cell that the built book leaves out shows it to readers
on GitHub and wherever else widgets do not run.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from itertools import count
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

BOOK = Path(__file__).resolve().parents[1] / "book"
VIEW = "application/vnd.jupyter.widget-view+json"
STILL_TAGS = ["remove-cell", "still"]


def refresh(path: Path) -> None:
    """Execute one notebook and rewrite it in place; nothing is written when a cell fails."""
    notebook = nbformat.read(path, 4)
    notebook.cells = [c for c in notebook.cells if "still" not in c.metadata.get("tags", [])]
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(BOOK)}})
    client.store_widget_state = False
    client.execute()
    cells, stills = [], count(1)
    for old in (BOOK / "stills").glob(f"{path.stem}-*.png"):
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
        cell["id"] = f"{path.stem}-{number:02d}"
    notebook.cells = cells
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, path)


def checked(cell):
    """The outputs that stay: the printed text of a checked cell."""
    if "nbval-check-output" not in cell.metadata.get("tags", []):
        return []
    return [out for out in cell.outputs if out.output_type == "stream" and out.name == "stdout"]


def pictures(cell):
    """The mime bundles of the explorers that a cell shows."""
    bundles = [out.get("data", {}) for out in cell.outputs]
    return [data for data in bundles if VIEW in data and "image/png" in data]


def still_cell(path: Path, data, number: int):
    """Save the picture and return the cell that shows it where widgets do not run."""
    target = BOOK / "stills" / f"{path.stem}-{number}.png"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b64decode(data["image/png"]))
    text = " ".join(data["text/plain"].split()).replace('"', "'")
    cell = nbformat.v4.new_markdown_cell(
        "<details><summary>A still picture of the explorer, for where widgets do not run</summary>"
        f'<img src="stills/{target.name}" alt="{text}"></details>'
    )
    cell.metadata = {"tags": STILL_TAGS, "slideshow": {"slide_type": "skip"}}
    return cell


if __name__ == "__main__":
    for name in tqdm(sys.argv[1:] or sorted(map(str, BOOK.glob("*.ipynb")))):
        refresh(Path(name))
