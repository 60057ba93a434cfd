"""The built book as a reader meets it: opened from disk, in a real browser, every host blocked."""

from __future__ import annotations

import re
from pathlib import Path

import axe_playwright_python
import pytest
from conftest import API, NOTEBOOKS
from reading import settle

pytestmark = [pytest.mark.browser, pytest.mark.site]

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
CHAPTERS = [f"book/{path.stem}.html" for path in NOTEBOOKS]
PACKAGE = ["book/api.html", *(f"book/api/{path.stem}.html" for path in API)]
PAGES = CHAPTERS + PACKAGE
each_page = pytest.mark.parametrize("name", PAGES)
each_chapter = pytest.mark.parametrize("name", CHAPTERS)


def test_every_page_of_the_contents_is_built(site):
    assert PAGES
    for name in PAGES:
        assert (site / name).exists(), name


# The package's pages are of one kind: the longest of them stands for all in the dark.
LIT = [(name, "light") for name in PAGES]
UNLIT = [(name, "dark") for name in [*CHAPTERS, "book/api.html", "book/api/schedules.html"]]


@pytest.mark.parametrize(("name", "theme"), LIT + UNLIT)
def test_a_page_is_sound(site, visit, name, theme):
    """One visit a theme: silent, accessible, described, and no wider than a phone."""
    reader = visit(color_scheme=theme)
    page = reader.open(site / name)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    faults = {
        "complaints": list(reader.complaints),
        "accessibility": accessibility_violations(page),
        "pictures without a text": page.locator(
            "article img:not([alt]), article img[alt='']"
        ).evaluate_all("all => all.map(image => image.src)"),
        "formulas left": page.locator(".math:not(:has(mjx-container))").all_inner_texts(),
        "formulas with errors": page.locator("mjx-merror").all_inner_texts(),
    }
    page.set_viewport_size({"width": 360, "height": 740})
    faults["wider than a phone"] = wider_than(page, 360)
    assert {fault: found for fault, found in faults.items() if found} == {}


def accessibility_violations(page):
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in found]


def wider_than(page, width):
    settle(page)
    seen = page.evaluate("document.documentElement.scrollWidth")
    return [] if seen <= width else [seen]


@each_chapter
def test_a_chapter_opened_on_a_phone_fits_it(site, visit, name):
    page = visit(width=360, height=740).open(site / name)
    assert wider_than(page, 360) == []


@each_chapter
def test_paper_has_what_the_screen_folds(site, visit, name):
    """At most 14 pages, solutions and answers at the end; nothing of it is left on the screen."""
    reader = visit(width=1280, height=800)
    page = reader.open(site / name)
    end, kinds = page.locator(".lr-paper"), ".tag_solution, details.sd-dropdown, .lrq"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    hidden = page.locator(kinds).count()
    assert end.locator("h3").count() == hidden
    assert end.count() == min(hidden, 1)
    assert all(end.locator("h3").all_inner_texts())
    gathered = "".join(end.all_text_contents())
    for solution in page.locator(".tag_solution .cell_input pre").all():
        assert solution.text_content() in gathered
    for answer in page.locator("article .lrq .lrq-right").all():
        assert answer.text_content().removeprefix("Yes.").strip() in gathered
    page.emulate_media(media="print")
    assert page.locator("details.hide:visible, details.sd-dropdown:visible").count() == 0
    assert page.locator("article .lrq-right:visible, .tag_solution:visible").count() == 0
    page.emulate_media(media="null")  # neither print nor screen: as the browser would choose
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert end.count() == 0
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert 0 < pages <= 14
    assert end.count() == 0


SHIFTS = """() => {
  window.shifted = 0;
  const add = (list) => {
    for (const e of list.getEntries()) if (!e.hadRecentInput) window.shifted += e.value;
  };
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
}"""


@each_chapter
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (820, 1100), (390, 844)])
def test_a_page_stands_still_while_it_comes_to_life(site, visit, name, width, height):
    reader = visit(width=width, height=height)
    reader.context.add_init_script(f"({SHIFTS})()")
    page = reader.open(site / name)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.lr-held')].every("
        "(held) => held.parentElement.querySelector('.lrx-root[data-selection]'))"
    )
    settle(page)
    assert page.evaluate("window.shifted") <= 0.02
    held = page.evaluate(
        "[...document.querySelectorAll('.lr-held')].map((held) => ["
        "parseFloat(getComputedStyle(held).minHeight),"
        "held.parentElement.querySelector('.lrx').getBoundingClientRect().height + 20])"
    )
    assert held
    assert [pair for pair in held if abs(pair[0] - pair[1]) > 90] == []
    assert '"heights"' not in (site / name).read_text()  # the widget is told nothing of it


def test_an_explorer_out_of_sight_waits_for_its_turn(site, visit):
    reader = visit(width=1280, height=800)
    reader.context.add_init_script("window.requestIdleCallback = () => {}")
    page = reader.page
    page.goto((site / "book" / "basics.html").as_uri())
    page.wait_for_function("() => document.querySelectorAll('.lrx .lrx-controls').length > 3")
    alive, last = page.locator(".lrx-root[data-selection]"), page.locator(".lrx").last
    few = alive.count()
    last.scroll_into_view_if_needed()
    last.locator(".lrx-root[data-selection]").wait_for()
    assert few <= 1
    assert few < alive.count() < page.locator(".lrx").count()


@each_page
def test_a_page_stays_under_two_megabytes(site, name):
    assert (site / name).stat().st_size < 2_000_000


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


@pytest.mark.parametrize(("width", "least"), [(1280, 840), (1600, 1000)])
def test_explorers_are_wide_and_text_keeps_to_a_column(site, visit, width, least):
    page = visit(width=width, height=800).open(site / "book/basics.html")
    widths = "all => all.map(e => e.getBoundingClientRect().width)"
    assert min(page.locator(".lrx").evaluate_all(widths)) >= least
    assert (
        max(page.locator(".bd-article section:not(.lrx-root) > p").evaluate_all(widths)) <= 44 * 16
    )
    plots = page.locator(".lrx-plot").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).map(r => [r.width, r.height])"
    )
    assert min(height for _, height in plots) >= 220


@pytest.mark.parametrize("width", [1280, 390])
def test_the_contents_of_a_page_open_from_its_top_bar(site, visit, width):
    reader = visit(width=width, height=800)
    page = reader.open(site / "book/basics.html")
    page.locator("button.secondary-toggle").click()
    place = page.locator("dialog[open] a", has_text="What limits the rate in two directions?")
    place.click()
    assert page.url.endswith("#what-limits-the-rate-in-two-directions")
    assert page.locator("dialog[open]").count() == 0
    page.locator("button.secondary-toggle").click()  # and once more
    assert place.is_visible()
    assert reader.complaints == []


@each_chapter
@pytest.mark.parametrize("width", [1280, 390])
def test_no_output_is_cut(site, visit, name, width):
    page = visit(width=width, height=800).open(site / name)
    cut = page.locator(".cell_output pre, div.highlight pre").evaluate_all(
        """all => all.filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
        .filter(e => innerWidth > 1000 || e.closest(".cell_output"))
        .map(e => e.textContent.slice(0, 60))"""
    )
    assert cut == []
