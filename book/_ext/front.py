"""What a page shows of itself elsewhere: its description, and a picture, its first still.

Search engines and messengers read both from the head of a page.  The pictures lie in `_previews/`
of the built book.  Messengers want a whole address, which exists once `html_baseurl` is set (the
workflow that publishes the book sets it); until then the picture's address is relative.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.osutil import copyfile

PREVIEWS = "_previews"
LONGEST = 200


def still(source: Path) -> Path | None:
    """The first still picture of a notebook's explorers, if it has one."""
    picture = source.parent / "stills" / f"{source.stem}-1.png"
    return picture if picture.exists() else None


def description(doctree: nodes.document) -> str:
    """The first paragraph that is a sentence, cut at the end of a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split()).removeprefix("The question. ")
        if len(text) > 30:
            return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
    return ""


def add_tags(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Put description, title and picture into the head of a page."""
    if not isinstance(doctree, nodes.document):
        return
    about = description(doctree)
    title = re.sub(r"<[^>]+>", "", context.get("title", ""))
    found = {"description": about, "og:title": title, "og:description": about, "og:type": "article"}
    picture = still(Path(app.env.doc2path(page)))
    if picture:
        base = app.config.html_baseurl.rstrip("/") or context["pathto"]("", 1).rstrip("/") or "."
        found["og:image"] = f"{base}/{PREVIEWS}/{Path(page).name}.png"
    tags = (
        f'<meta {"property" if ":" in name else "name"}="{name}" content="{html.escape(text)}" />'
        for name, text in found.items()
        if text
    )
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def copy_previews(app: Sphinx, exception: Exception | None) -> None:
    """Put the pictures where the pages look for them."""
    if exception is not None or app.builder.format != "html":
        return
    for name in app.env.found_docs:
        if picture := still(Path(app.env.doc2path(name))):
            target = Path(app.outdir) / PREVIEWS / f"{Path(name).name}.png"
            target.parent.mkdir(exist_ok=True)
            copyfile(str(picture), str(target))


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", copy_previews)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
