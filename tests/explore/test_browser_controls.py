"""Every control of an explorer by keyboard and mouse, in a page without a kernel."""

from __future__ import annotations

import numpy as np
import pytest
from reading import (
    DRAWN,
    assert_shows,
    drawn,
    explorer_label,
    handle,
    median,
    numbers,
    selection,
    settle,
)
from static_page import write_page

from lrcourse.explore import explore

pytestmark = pytest.mark.browser


def test_the_keyboard_moves_each_slider_to_the_right_run(reader, runs):
    page = reader()
    for dim, name in (("lr", "learning rate"), ("momentum", "momentum")):
        slider = handle(page, 0, name)
        slider.focus()
        for key in ("ArrowRight", "ArrowLeft", "Home", "End"):
            page.keyboard.press(key)
            chosen = selection(page, 0)
            assert slider.get_attribute("aria-valuetext") == chosen[dim]
            lr, beta = float(chosen["lr"]), float(chosen["momentum"])
            assert_shows(drawn(page, 0), median(runs, lr=lr, momentum=beta))
        page.keyboard.press("Home")
    assert selection(page, 0) == {"lr": "0.001", "momentum": "0"}


def test_the_mouse_drags_a_slider_to_the_right_run(reader, runs):
    page = reader()
    slider = handle(page, 0, "learning rate")
    track = page.locator(".lrx").nth(0).locator(".noUi-target").first.bounding_box()
    grip = slider.bounding_box()
    y = track["y"] + track["height"] / 2
    page.mouse.move(grip["x"] + grip["width"] / 2, y)
    page.mouse.down()
    for part in (0.5, 0.65, 0.78):
        page.mouse.move(track["x"] + part * track["width"], y)
    page.mouse.up()
    chosen = selection(page, 0)
    assert chosen["lr"] == explorer_label(runs, 7)
    assert_shows(drawn(page, 0), median(runs, lr=runs.lr.values[7], momentum=0.5))


def test_a_menu_and_a_toggle_change_the_curve(reader, runs):
    page = reader()
    box = page.locator(".lrx").nth(2)
    before = numbers(drawn(page, 2)["y"])
    box.get_by_label("optimizer").select_option("slow sgd")
    np.testing.assert_allclose(numbers(drawn(page, 2)["y"]), 2 * before, rtol=1e-5)
    group = box.get_by_role("group", name="show")
    assert group.get_by_role("button", name="loss").get_attribute("aria-pressed") == "true"
    group.get_by_role("button", name="used rate").focus()
    page.keyboard.press("Enter")
    assert numbers(drawn(page, 2, "used")["y"]) == pytest.approx(np.full(60, 0.01))
    assert group.get_by_role("button", name="loss").get_attribute("aria-pressed") == "false"
    assert "used rate 0.01" in box.locator(".lrx-sentence").inner_text()


def test_a_click_on_a_cell_moves_the_sliders_and_the_curve(reader, runs):
    page = reader()
    plot = page.locator(".lrx-heat .lrx-plot").first
    plot.scroll_into_view_if_needed()
    cells = plot.locator("svg svg").bounding_box()
    page.mouse.click(cells["x"] + cells["width"] * (2 + 0.5) / 10, cells["y"] + cells["height"] / 6)
    chosen = selection(page, 0)
    assert chosen == {"lr": explorer_label(runs, 2), "momentum": "0.9"}
    assert handle(page, 0, "learning rate").get_attribute("aria-valuetext") == chosen["lr"]
    assert handle(page, 0, "momentum").get_attribute("aria-valuenow") == "2.0"
    assert_shows(drawn(page, 0), median(runs, lr=runs.lr.values[2], momentum=0.9))


def test_arrow_keys_walk_over_the_map(reader, runs):
    page = reader()
    plot = page.locator(".lrx-heat .lrx-plot").first
    plot.focus()
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    chosen = selection(page, 0)
    assert chosen == {"lr": explorer_label(runs, 2), "momentum": "0.9"}
    value = float(runs.final_loss.isel(lr=2).sel(momentum=0.9).median("seed"))
    assert f"final loss {value:.3g}" in plot.get_attribute("aria-valuetext")


def test_a_click_on_a_curve_over_a_control_chooses(reader, runs):
    page = reader()
    root = page.locator(".lrx-root").nth(3)
    plot = root.locator(".lrx-plot").first
    plot.scroll_into_view_if_needed()
    area = plot.locator("svg svg").bounding_box()
    page.mouse.click(area["x"] + area["width"] * 4 / 9, area["y"] + area["height"] / 2)
    assert selection(page, 3)["lr"] == explorer_label(runs, 4)
    plot.focus()
    page.keyboard.press("ArrowRight")
    assert selection(page, 3)["lr"] == explorer_label(runs, 5)
    assert_shows(drawn(page, 3), median(runs, lr=runs.lr.values[5], momentum=0.9))
    assert_shows(drawn(page, 3, "final_loss"), median(runs, "final_loss", momentum=0.9))


def test_pins_keep_runs_and_say_what_differs(reader, runs):
    page = reader()
    box = page.locator(".lrx").nth(0)
    pin, clear = (box.get_by_role("button", name=n) for n in ("Pin this run", "Clear pins"))
    assert not clear.is_visible()
    pin.click()
    slider = handle(page, 0, "learning rate")
    slider.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    lr = [explorer_label(runs, i) for i in range(10)]
    labels = box.locator(".lrx-pins li").all_inner_texts()
    assert [" ".join(t.replace("×", "").split()) for t in labels] == [
        f"learning rate {lr[3]}",
        f"learning rate {lr[4]} shown now",
    ]
    assert_shows(drawn(page, 0, pin=1), median(runs, lr=runs.lr.values[3], momentum=0.5))
    assert_shows(drawn(page, 0), median(runs, lr=runs.lr.values[4], momentum=0.5))
    for _ in range(4):
        pin.click(force=True)
        slider.focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
    settle(page)
    assert box.locator(".lrx-unpin").count() == 4
    assert pin.get_attribute("aria-disabled") == "true"
    colours = box.locator(".lrx-pins .lrx-swatch path").evaluate_all(
        "paths => paths.map(p => getComputedStyle(p).stroke)"
    )
    assert len(set(colours)) == 5
    box.get_by_role("button", name=f"Remove the pin at learning rate {lr[3]}", exact=True).click()
    settle(page)
    assert box.locator(".lrx-unpin").count() == 3
    clear.click()
    settle(page)
    assert {s["pin"] for s in page.evaluate(DRAWN, 0)} == {0}


def test_one_frame_draws_however_many_steps(reader):
    page = reader()
    count = "() => document.querySelector('.lrx-root').lrx.updates"
    before = page.evaluate(count)
    page.evaluate(
        """() => { const slider = document.querySelector('.noUi-target').noUiSlider;
        for (let i = 0; i < 10; i++) slider.set(i); }"""
    )
    settle(page)
    assert page.evaluate(count) - before == 1


def test_a_selection_made_in_python_is_where_the_page_starts(visit, runs, tmp_path):
    explorer = explore(runs, y="loss", pins=[{"lr": 1, "momentum": 0}]).select(lr=0.1, momentum=0.9)
    one = visit()
    page = one.open(write_page(tmp_path, explorer))
    page.wait_for_selector(".lrx-root[data-selection]")
    assert selection(page, 0) == {"lr": "0.1", "momentum": "0.9"}
    assert_shows(drawn(page, 0), median(runs, lr=0.1, momentum=0.9))
    assert_shows(drawn(page, 0, pin=1), median(runs, lr=1, momentum=0))
    assert page.locator(".lrx-sentence").inner_text() == explorer.sentence()
    assert one.complaints == []
