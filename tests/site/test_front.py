"""The front page, and what pages show of themselves elsewhere."""

from __future__ import annotations

import re

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT
from livebook import fold

CHAPTERS = [path for path in NOTEBOOKS if path.stem != "index"]
FRONT = "\n".join(cell.source for cell in nbformat.read(ROOT / "book" / "index.ipynb", 4).cells)


@pytest.mark.site
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_page_describes_itself_and_has_a_picture(site, path):
    head = (site / "book" / f"{path.stem}.html").read_text().split("</head>")[0]
    about = re.search(r'<meta name="description" content="([^"]+)"', head).group(1)
    assert 30 < len(about) <= 202
    assert "**" not in about
    picture = re.search(r'<meta property="og:image" content="\.\./([^"]+)"', head).group(1)
    assert (site / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.site
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_handle_is_left_as_text(site, path):
    assert "](" not in re.sub(
        r"<(script|pre)\b.*?</\1>",
        "",
        (site / "book" / f"{path.stem}.html").read_text().split("<article")[1],
        flags=re.S,
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_the_front_page_lists_every_chapter_with_its_minutes(path):
    said = re.search(rf"\]\({path.stem}\.ipynb\) \|[^|]+\| (\d+) \|", FRONT)
    first = nbformat.read(path, 4).cells[0].source
    assert said, path.stem
    assert re.search(rf"\*\*Time\.\*\* About {said.group(1)} minutes", first), first


@pytest.mark.parametrize(
    ("code", "tags", "words"),
    [
        ("import numpy as np\n\nx = 1", ["hide-input"], "Set-up"),
        ("shown = runs\nexplore(\n    shown)", ["hide-input"], "How this explorer is made"),
        ("f = 1\ncheck('basics.f', f)", ["solution", "hide-cell"], "Solution"),
        ("table(found)", ["nbval-check-output", "hide-input"], "How this is computed"),
        ("import m\nwith plots.style():\n    pass", ["hide-input"], "How this is drawn"),
    ],
)
def test_a_fold_says_what_it_holds(code, tags, words):
    assert fold(code, tags) == words


@pytest.mark.site
@pytest.mark.browser
def test_the_result_of_the_front_page_waits_for_a_guess(site, visit):
    reader = visit(width=1280, height=800)
    page = reader.open(site / "book" / "index.html")
    page.wait_for_selector(".lrx-root[data-selection]")
    curves, words = page.locator(".lrx-line"), page.locator(".lrx-sentence")
    assert not any(curve.is_visible() for curve in curves.all())
    box = page.locator(".lrx-plot svg svg").first.bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 30)
    page.wait_for_function("() => !document.querySelector('.lrx-veiled')")
    page.wait_for_function(
        "() => document.querySelector('.lrx-sentence').textContent.startsWith('Your guess')"
    )
    assert curves.first.is_visible()
    assert "learning rate 0.001" in words.inner_text()
    page.locator("a.lrx-handle", has_text="at 0.1").first.click()
    page.wait_for_function(
        "() => /of the digits are read/.test(document.querySelector('.lrx-sentence').textContent)"
    )
    assert reader.complaints == []
