"""A chapter made from the template passes the tests that every chapter must pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
import yaml
from conftest import ROOT

from tools.chapter import begin

PARTS = ["book", "lrcourse", "tests", "tools", "_toc.yml", "pyproject.toml"]


@pytest.fixture
def clone(tmp_path):
    """A copy of what a chapter lives in, with its pictures but without what was built."""
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_a_new_chapter_passes_the_policy_of_notebooks_and_exists_once(clone):
    made = begin("ball_in_honey", clone)
    assert [path.name for path in made] == ["ball_in_honey.ipynb", "ball_in_honey.py", "_toc.yml"]
    for path in made:
        assert "_template" not in path.read_text(), path.name
    notebook = nbformat.read(made[0], 4)
    assert notebook.cells[0].source.startswith("# Ball in honey: ")
    assert all(cell.id.startswith("ball_in_honey-") for cell in notebook.cells)
    for still in (clone / "book" / "stills").glob("_template-*.png"):
        shutil.copy(still, still.with_name(still.name.replace("_template", "ball_in_honey")))
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    policy = ["tests/chapters/test_notebooks.py", "tests/chapters/test_stills.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "-k", "ball_in_honey or contents or same_set", *policy],
        cwd=clone, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 11, done.stdout
    with pytest.raises(ValueError, match="NAME must be new, but there is book/ball_in_honey"):
        begin("ball_in_honey", clone)


def test_the_new_chapter_stands_last_among_the_chapters(clone):
    before = yaml.safe_load((clone / "_toc.yml").read_text())["parts"]
    begin("invented", clone)
    after = yaml.safe_load((clone / "_toc.yml").read_text())["parts"]
    assert after[-1] == before[-1]
    assert after[-2]["chapters"] == [*before[-2]["chapters"], {"file": "book/invented"}]


@pytest.mark.parametrize("name", ["", "Momentum", "a-b", "1st", "../x", "_template"])
def test_a_name_that_is_none_is_refused(clone, name):
    with pytest.raises(ValueError, match="NAME must be a lower-case name"):
        begin(name, clone)
