"""The built book as a reader meets it: opened from disk, in a real browser, every host blocked."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from conftest import API, NOTEBOOKS

pytestmark = [pytest.mark.browser, pytest.mark.site]

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
CHAPTERS = [f"book/{path.stem}.html" for path in NOTEBOOKS]
PACKAGE = ["book/api.html", *(f"book/api/{path.stem}.html" for path in API)]
PAGES = CHAPTERS + PACKAGE
each_page = pytest.mark.parametrize("name", PAGES)
each_chapter = pytest.mark.parametrize("name", CHAPTERS)
each_theme = pytest.mark.parametrize("theme", ["light", "dark"])


def test_every_page_of_the_contents_is_built(site):
    assert PAGES
    for name in PAGES:
        assert (site / name).exists(), name


@each_page
@each_theme
def test_a_page_is_silent_and_asks_no_other_host(site, visit, name, theme):
    reader = visit(color_scheme=theme)
    page = reader.open(site / name)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert reader.complaints == []


@each_chapter
def test_mathematics_is_set(site, visit, name):
    page = visit().open(site / name)
    formulas = page.locator(".math").count()
    assert page.locator("mjx-container").count() >= formulas
    assert page.locator("mjx-merror").count() == 0


@each_page
@each_theme
def test_a_page_has_no_accessibility_violations(site, visit, name, theme):
    page = visit(color_scheme=theme).open(site / name)
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found] == []


@each_page
def test_a_page_stays_under_two_megabytes(site, name):
    assert (site / name).stat().st_size < 2_000_000


@each_page
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(site, visit, name, theme):
    page = visit(width=360, height=740, color_scheme=theme).open(site / name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@each_page
def test_every_picture_has_a_text(site, visit, name):
    page = visit().open(site / name)
    images = page.locator("article img").all()
    assert [i.get_attribute("src") for i in images if not i.get_attribute("alt")] == []


@each_chapter
def test_without_scripts_a_still_picture_stands_in(site, visit, name):
    live = visit().open(site / name).locator(".lrx-root").count()
    still = visit(java_script_enabled=False)
    still.page.goto((site / name).as_uri())
    pictures = still.page.locator("article noscript img, article img[src*='_images']")
    shown = [p for p in pictures.all() if p.is_visible()]
    assert live > 0
    assert len(shown) >= live
    assert all(len(p.get_attribute("alt")) > 20 for p in shown)


def test_search_finds_a_page(site, visit):
    reader = visit()
    reader.page.goto((site / "search.html").as_uri() + "?q=ravine")
    reader.page.wait_for_selector("#search-results li a")
    links = reader.page.locator("#search-results li a").evaluate_all("a => a.map(x => x.href)")
    assert any("book/basics.html" in link for link in links)
    assert reader.complaints == []


def test_the_theme_button_switches_the_page(site, visit):
    reader = visit(color_scheme="light")
    page = reader.open(site / PAGES[0])
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert reader.complaints == []


@each_chapter
def test_a_quiz_answers_without_a_script(site, visit, name):
    reader = visit(java_script_enabled=False)
    reader.page.goto((site / name).as_uri())
    questions = reader.page.locator("fieldset.lrq")
    if name == "book/index.html":
        return
    assert questions.count() > 0
    option = questions.first.locator("div").last
    answer = option.locator("p")
    assert not answer.is_visible()
    option.locator("label").click()
    assert answer.is_visible()


def test_a_folded_solution_opens(site, visit):
    page = visit().open(site / "book/basics.html")
    fold = page.locator(".tag_solution details").first
    assert not fold.locator(".highlight").first.is_visible()
    fold.locator("summary").first.click()
    assert fold.locator(".highlight").first.is_visible()
