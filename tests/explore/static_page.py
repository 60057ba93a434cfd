"""A folder with one page that shows widgets from disk, as a built chapter does."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import anywidget
from ipywidgets.embed import dependency_state, embed_data, escape_script

ROOT = Path(__file__).resolve().parents[2]
NPM = ROOT / "node_modules"
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

PAGE = """<!DOCTYPE html>
<html lang="en"{theme}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Explorers</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; font-family: system-ui, sans-serif; background: #fff; color: #1f2328; }}
html[data-theme="dark"] body {{ background: #14181e; color: #e6e9ed; }}
main {{ max-width: {width}px; margin: 0 auto; padding: 1rem; }}
</style>
<script>{quiet}</script>
<script src="require.js"></script>
<script>
requirejs.config({{ paths: {{ anywidget: new URL("anywidget", document.baseURI).href }} }});
</script>
<script src="embed-amd.js"></script>
</head>
<body>
<main>
<h1>Explorers</h1>
<script type="{state_type}">{state}</script>
{views}
</main>
</body>
</html>
"""


def scripts() -> dict[str, Path]:
    """The vendored files a page needs; they come with `make book`."""
    amd = Path("share/jupyter/nbextensions/anywidget/index.js")
    bases = [Path(sys.prefix), *Path(anywidget.__file__).resolve().parents]
    return {
        "require.js": NPM / "requirejs" / "require.js",
        "embed-amd.js": NPM / "@jupyter-widgets" / "html-manager" / "dist" / "embed-amd.js",
        "anywidget.js": next((b / amd for b in bases if (b / amd).exists()), bases[0] / amd),
    }


def write_page(
    folder: Path, *widgets: object, theme: str | None = "light", width: int = 1180
) -> Path:
    """Write `folder`/index.html with these widgets, and the scripts beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in scripts().items():
        if not (folder / name).exists():
            shutil.copyfile(source, folder / name)
    data = embed_data(widgets, state=dependency_state(widgets))
    views = (f'<script type="{VIEW}">{json.dumps(spec)}</script>' for spec in data["view_specs"])
    page = PAGE.format(
        theme=f' data-theme="{theme}"' if theme else "",
        width=width,
        quiet=(ROOT / "book" / "_ext" / "quiet.js").read_text(),
        state_type=STATE,
        state=escape_script(json.dumps(data["manager_state"])),
        views="\n".join(views),
    )
    path = folder / "index.html"
    path.write_text(page)
    return path
