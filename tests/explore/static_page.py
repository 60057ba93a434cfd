"""A folder with one page that shows widgets from disk, as a built chapter does."""

from __future__ import annotations

import json
from pathlib import Path

from bundle import bundle
from ipywidgets.embed import dependency_state, embed_data, escape_script

ROOT = Path(__file__).resolve().parents[2]
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
<style>{styles}</style>
<script defer src="widgets.js"></script>
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


def write_page(
    folder: Path, *widgets: object, theme: str | None = "light", width: int = 1180
) -> Path:
    """Write `folder`/index.html with these widgets, and their script beside it."""
    bundle(folder)
    data = embed_data(widgets, state=dependency_state(widgets))
    views = (f'<script type="{VIEW}">{json.dumps(spec)}</script>' for spec in data["view_specs"])
    page = PAGE.format(
        theme=f' data-theme="{theme}"' if theme else "",
        width=width,
        styles=(folder / "widgets.css").read_text(),
        quiet=(ROOT / "book" / "_ext" / "quiet.js").read_text(),
        state_type=STATE,
        state=escape_script(json.dumps(data["manager_state"])),
        views="\n".join(views),
    )
    path = folder / "index.html"
    path.write_text(page)
    return path
