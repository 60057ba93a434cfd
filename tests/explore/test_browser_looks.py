"""An explorer for every reader: names, themes, phones, paper."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from reading import handle, settle

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
