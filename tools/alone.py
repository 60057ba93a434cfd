"""Check every notebook as a learner runs it who has the wheel and nothing else.

``python -m tools.alone [book/basics.ipynb ...]`` builds the wheel from a clean copy of the sources,
installs it into an empty folder, copies the notebooks into another one, and lets nbval execute and
compare them there, two at a time, the longest first.  The clone is not on the path, and nothing
answers outside this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
SOURCES = ("lrcourse", "pyproject.toml", "README.md", "LICENSE")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
NOWHERE = "http://127.0.0.1:9"  # a proxy that does not answer


def install(target: Path) -> None:
    """Build the wheel and unpack it into `target`; the clone stays as it was."""
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "source"
        clean.mkdir()
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, clean / name, ignore=ignored)
            else:
                shutil.copy(source, clean)
        options = ["--no-deps", "--no-build-isolation"]
        subprocess.run([*PIP, "wheel", *options, "--wheel-dir", folder, clean], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        subprocess.run([*PIP, "install", "--no-deps", "--target", target, wheel], check=True)


def environment(target: Path) -> dict[str, str]:
    """The environment of a learner who has only what lies in `target`, and no network.

    Two notebooks share two cores, so each gets one thread.
    """
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    mine = {"PYTHONPATH": str(target), "NO_PROXY": "", "no_proxy": "", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **proxies, **mine}


def size(notebook: Path) -> int:
    """How much work a notebook is likely to be: the length of what it runs and shows."""
    return notebook.stat().st_size


def main(names: list[str]) -> int:
    """Run the notebooks of these names, or all; the exit status is pytest's."""
    notebooks = [Path(name) for name in names] or sorted(BOOK.glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as folder:
        target, empty = Path(folder) / "site", Path(folder) / "notebooks"
        install(target)
        empty.mkdir()
        for notebook in notebooks:
            shutil.copy(notebook, empty)
        alone = environment(target)
        where = [sys.executable, "-c", "import lrcourse; print(lrcourse.__file__)"]
        found = subprocess.check_output(where, cwd=empty, env=alone, text=True)
        if not found.startswith(str(target)):
            raise SystemExit(f"the notebooks would run on {found.strip()}, not on the wheel")
        longest_first = sorted(notebooks, key=size, reverse=True)
        return subprocess.run(
            [
                sys.executable, "-m", "pytest", "--quiet", "--nbval-lax", "-p", "no:cacheprovider",
                "--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder",
                "--durations", "5", *(path.name for path in longest_first),
            ],
            cwd=empty, env=alone,
        ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
