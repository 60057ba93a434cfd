"""Shared fixtures: the notebooks, the built site, and a browser that cannot reach any host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
TEMPLATE = ROOT / "book" / "_template.ipynb"
NOTEBOOKS = sorted(path for path in (ROOT / "book").glob("*.ipynb") if path != TEMPLATE)
API = sorted((ROOT / "book" / "api").glob("*.md"))
LONGEST_FIRST = [
    "tests/site/test_lab.py",
    "tests/site/test_site_controls.py",
    "tests/chapters/test_recorded.py",
    "tests/explore/test_browser",
    "tests/site/test_site.py",
    "tests/test_sweeps.py",
    "tests/engine",
    "tests/chapters",
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


# Programs that tests start import what is tested here.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores: one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Begin with the longest tests, so that no worker is left alone with one at the end."""

    def rank(item):
        path = item.path.relative_to(ROOT).as_posix() if item.path.is_relative_to(ROOT) else ""
        starts = (place for place, name in enumerate(LONGEST_FIRST) if path.startswith(name))
        return next(starts, len(LONGEST_FIRST))

    items.sort(key=rank)


def skip_or_fail(reason: str) -> None:
    """Skip at home; fail where everything must run."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def alive(pid: int) -> bool:
    """Whether a process runs (Linux); one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, shared by the whole session."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        skip_or_fail("no Chromium found: install it or set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built book."""
    if not (SITE / "index.html").exists():
        skip_or_fail("the book is not built: run `make book`")
    return SITE


class Visit:
    """A page opened from disk with every host blocked, and all that went wrong on it."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(f"console {m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.complaints.append(f"script error: {e}"))
        self.page.route("**/*", self._only_local)

    def _only_local(self, route):
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            self.complaints.append(f"foreign request: {route.request.url}")
            route.abort()

    def open(self, path: Path):
        """Open a file and wait until its explorers are alive and its mathematics is set."""
        self.page.goto(path.as_uri())
        if self.page.evaluate("typeof MathJax !== 'undefined' && !!MathJax.startup"):
            self.page.evaluate("MathJax.startup.promise.then(() => true)")
        views = self.page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
        self.page.wait_for_function(
            "n => document.querySelectorAll('.lrx-root').length >= n", arg=views, timeout=30_000
        )
        return self.page


@pytest.fixture
def visit(chromium):
    """Open pages with ``visit(width=360, color_scheme="dark")``; contexts close by themselves."""
    visits = []

    def start(width=1280, height=900, **options):
        visits.append(Visit(chromium, viewport={"width": width, "height": height}, **options))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
