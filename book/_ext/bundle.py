"""Join what the widgets of a page need into one script and one stylesheet.

Jupyter's own bundle for pages also carries the renderers of notebook outputs, icon fonts and the
widgets of the version before, 3.6 MB that a browser has to read before the first explorer lives.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anywidget

HERE = Path(__file__).resolve().parent
NPM = HERE.parents[1] / "node_modules"
ENTRY = HERE / "widgets.js"
ESBUILD = NPM / "esbuild" / "bin" / "esbuild"
OUTPUTS = ("widgets.js", "widgets.css")


def amd() -> Path:
    """The browser half of the installed anywidget, an AMD module."""
    relative = Path("share/jupyter/nbextensions/anywidget/index.js")
    bases = [Path(sys.prefix), *Path(anywidget.__file__).resolve().parents]
    return next((b / relative for b in bases if (b / relative).exists()), bases[0] / relative)


def sources() -> list[Path]:
    """What the bundle is made of; the packages stand for all of theirs."""
    packages = [NPM / "@jupyter-widgets" / name for name in ("base", "base-manager", "controls")]
    return [
        *HERE.glob("*.js"),
        amd(),
        ESBUILD,
        *(package / "package.json" for package in packages),
    ]


def bundle(folder: Path) -> None:
    """Write the script and the stylesheet to a folder, unless newer ones are there."""
    made = [folder / name for name in OUTPUTS]
    newest = max(source.stat().st_mtime for source in sources())
    if all(path.exists() and path.stat().st_mtime >= newest for path in made):
        return
    command = ["node", ESBUILD, ENTRY, f"--outfile={made[0]}", f"--alias:anywidget={amd()}"]
    command += ["--bundle", "--minify", "--format=iife", "--legal-comments=eof"]
    command += ["--log-level=warning"]
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, cwd=NPM.parent, check=True)
