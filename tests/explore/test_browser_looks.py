"""An explorer for every reader: names, themes, phones, paper."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
import xarray as xr
from reading import handle, settle
from static_page import write_page

from lrcourse.explore import explore

pytestmark = pytest.mark.browser

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()


@pytest.mark.parametrize("width", [1280, 360])
def test_no_accessibility_violations(reader, width):
    page = reader(width=width)
    page.locator(".lrx").nth(0).get_by_role("button", name="Pin this run").click()
    handle(page, 0, "learning rate").focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    page.evaluate(AXE)
    options = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}"
    for theme in ("light", "dark"):
        page.evaluate("t => { document.documentElement.dataset.theme = t }", theme)
        found = page.evaluate(f"axe.run(document, {options})")["violations"]
        assert [(v["id"], [n["html"][:160] for n in v["nodes"]]) for v in found] == []


def test_every_handle_has_a_name_and_a_value_in_words(reader):
    page = reader()
    for slider in page.get_by_role("slider").all():
        assert slider.get_attribute("aria-label")
        assert slider.get_attribute("aria-valuetext")
    assert page.locator("[contenteditable=true]").count() == 0


def test_a_phone_shows_everything_in_one_column(reader):
    page = reader(width=360, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = [p.bounding_box() for p in page.locator(".lrx-root").first.locator(".lrx-panel").all()]
    assert boxes[1]["y"] > boxes[0]["y"] + boxes[0]["height"] - 1
    small = page.locator(".lrx button:visible, .lrx select, .lrx .noUi-handle").evaluate_all(
        """els => els.map(e => [e.textContent, e.getBoundingClientRect()])
        .filter(([, r]) => r.width < 24 || r.height < 24).map(([t]) => t)"""
    )
    assert small == []


def test_a_desk_shows_panels_side_by_side(reader):
    page = reader(width=1000)
    boxes = [p.bounding_box() for p in page.locator(".lrx-root").first.locator(".lrx-panel").all()]
    assert abs(boxes[0]["y"] - boxes[1]["y"]) < 1


def test_paper_shows_the_state_and_no_buttons(reader):
    page = reader(theme="dark")
    page.emulate_media(media="print")
    assert page.locator(".lrx button:visible, .lrx .noUi-handle:visible").count() == 0
    assert page.locator(".lrx-sentence").first.is_visible()
    ink = page.locator(".lrx-root").first.evaluate("e => getComputedStyle(e).color")
    assert ink == "rgb(0, 0, 0)"


def test_each_host_says_whether_it_is_dark(reader):
    page = reader()
    for mark, scheme, dark in (
        ("document.documentElement.dataset.theme = 'dark'", "light", True),
        ("document.documentElement.dataset.theme = 'light'", "dark", False),
        ("document.body.dataset.jpThemeLight = 'false'", "light", True),
        ("document.body.dataset.jpThemeLight = 'true'", "dark", False),
        ("document.body.className = 'vscode-dark'", "light", True),
        ("document.body.className = 'vscode-light'", "dark", False),
        ("", "dark", True),
        ("", "light", False),
    ):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(
            f"""() => {{ delete document.documentElement.dataset.theme;
            delete document.body.dataset.jpThemeLight; document.body.className = ''; {mark} }}"""
        )
        ink = page.locator(".lrx-root").first.evaluate("e => getComputedStyle(e).color")
        assert (ink == "rgb(230, 233, 237)") is dark, (mark, scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_leave_tracks_curves_and_pressed_buttons_in_sight(reader, scheme):
    page = reader()
    page.emulate_media(forced_colors="active", color_scheme=scheme)
    settle(page)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    style = "(e, name) => getComputedStyle(e)[name]"
    seen = {
        "track": page.locator(".lrx .noUi-connects").first.evaluate(style, "backgroundColor"),
        "curve": page.locator(".lrx .lrx-line").first.evaluate(style, "stroke"),
        "base": page.locator(".lrx .lrx-base").first.evaluate(style, "stroke"),
        "words": page.locator(".lrx .lrx-axes text").first.evaluate(style, "fill"),
    }
    assert [name for name, colour in seen.items() if colour in (paper, "none")] == []
    pressed = page.locator(".lrx-button[aria-pressed='true']").first
    released = page.locator(".lrx-button:not([aria-pressed='true'])").first
    assert pressed.evaluate(style, "backgroundColor") != released.evaluate(style, "backgroundColor")


def test_sliders_are_long_and_show_their_ends(reader):
    page = reader(width=1280)
    for track in page.locator(".lrx .slider-container").all():
        assert track.bounding_box()["width"] >= 240
        ends = [track.get_attribute(f"data-{end}") for end in ("low", "high")]
        assert all(ends)
        assert track.evaluate("e => getComputedStyle(e, '::after').content") == f'"{ends[1]}"'


def test_titles_are_numbered_in_the_order_of_the_page(reader):
    page = reader()
    style = "(all, name) => all.map(e => getComputedStyle(e)[name])"
    titles = page.locator(".lrx > .lrx-title:first-child")
    assert titles.count() == page.locator(".lrx").count() > 1
    assert set(titles.evaluate_all(style, "counterIncrement")) == {"lrx-figure 1"}
    assert page.locator("body").evaluate_all(style, "counterReset") == ["lrx-figure 0"]
    shown = "all => all.map(e => getComputedStyle(e, '::before').content)"
    number = '"Figure " counter(lrx-figure) ". "'
    assert set(page.locator(".lrx-title > div").evaluate_all(shown)) == {number}


def test_the_sentence_says_what_a_state_means_and_the_caption_stays(runs, visit, tmp_path):
    words = xr.DataArray(
        [[f"rate {i}, momentum {j}" for j in range(runs.sizes["momentum"])]
         for i in range(runs.sizes["lr"])],
        dims=["lr", "momentum"],
    )  # fmt: skip
    explorer = explore(runs.assign(words=words), y="loss", says="words", caption="Ten rates.")
    one = visit()
    page = one.open(write_page(tmp_path, explorer))
    for control in ("learning rate", "momentum"):
        handle(page, 0, control).focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
    settle(page)
    assert page.locator(".lrx-sentence").inner_text() == "rate 1, momentum 1"
    assert page.locator(".lrx-caption").inner_text() == "Ten rates."
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert page.locator(".lrx-sentence").inner_text() == "rate 1, momentum 0"
    assert one.complaints == []
