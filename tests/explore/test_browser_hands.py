"""What a hand does in a plot: dragging, guessing, playing, and the address of a state."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from explorer_cubes import Wavy
from reading import selection, settle
from static_page import write_page

from lrcourse.explore import Descent, HeatMap, Lines, explore

pytestmark = pytest.mark.browser


@pytest.fixture
def open_page(visit, tmp_path):
    """Open a page with one explorer; its console must have stayed empty."""
    visits = []

    def start(explorer, address="", **options):
        one = visit(**options)
        path = write_page(tmp_path, explorer)
        one.page.goto(path.as_uri() + address)
        one.page.wait_for_selector(".lrx-root[data-selection]")
        visits.append(one)
        return one.page

    yield start
    for one in visits:
        assert one.complaints == []


def area(page, kind):
    """The drawing area of the first panel of a kind, in pixels of the page."""
    plot = page.locator(f".lrx-{kind} .lrx-plot").first
    plot.scroll_into_view_if_needed()
    return plot.locator("svg svg").bounding_box()


def move(page, box, across, up):
    page.mouse.move(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"], steps=4)


def test_a_drag_across_a_map_scrubs_and_the_cell_below_the_mouse_is_outlined(open_page, runs):
    page = open_page(explore(runs, HeatMap("final_loss", "lr", "momentum"), start={"lr": 0.01}))
    box, outline = area(page, "heat"), page.locator(".lrx-hovered")
    before = selection(page, 0)
    move(page, box, 0.05, 0.1)
    settle(page)
    assert outline.get_attribute("d")
    assert selection(page, 0) == before
    page.mouse.down()
    move(page, box, 0.95, 0.9)
    settle(page)
    assert not outline.get_attribute("d")
    assert selection(page, 0) == {"lr": "1", "momentum": "0.9"}
    page.mouse.up()
    move(page, box, 0.05, 0.1)
    settle(page)
    assert selection(page, 0) == {"lr": "1", "momentum": "0.9"}


def test_a_drag_along_a_curve_against_a_control_scrubs(open_page, runs):
    against = Lines("final_loss", "lr", log="xy")
    page = open_page(explore(runs, against, Lines("loss"), start={"lr": 0.001}))
    box, seen = area(page, "lines"), []
    move(page, box, 0.02, 0.5)
    page.mouse.down()
    for across in (0.3, 0.6, 0.99):
        move(page, box, across, 0.5)
        seen.append(float(selection(page, 0)["lr"]))
    page.mouse.up()
    assert seen == sorted(set(seen))
    assert seen[-1] == 1


def descents_from_starts():
    starts = np.linspace(-3, 3, 13)
    x = np.empty((13, 31))
    x[:, 0] = starts
    for t in range(30):
        x[:, t + 1] = x[:, t] - 0.1 * (x[:, t] / 4 - np.sin(2 * x[:, t]))
    return xr.Dataset(
        {"x": (("start", "step"), x), "loss": (("start", "step"), Wavy().value(x[..., None]))},
        {"start": starts, "step": np.arange(31)},
    )


def test_the_start_of_a_descent_can_be_dragged(open_page):
    runs = descents_from_starts()
    panel = Descent("x", "loss", surface=Wavy(), start="start")
    page = open_page(explore(runs, panel, start={"start": 0}))
    box = area(page, "descent")
    move(page, box, 0.5, 0.3)
    page.mouse.down()
    for across, start in ((0.8, 2.5), (0.25, -2)):
        height = float(Wavy().value(np.array([start])))
        move(page, box, across, height / 2)
        settle(page)
        chosen = float(selection(page, 0)["start"].replace("−", "-"))
        assert abs(chosen - start) <= 0.5
    page.mouse.up()


def test_play_draws_the_run_up_to_the_moment_and_then_whole(open_page, runs):
    shown = explore(runs, y="loss", log="y", play="step", start={"lr": 0.01})
    page = open_page(shown)
    length = "() => document.querySelector('.lrx-line').getAttribute('d').length"
    whole = page.evaluate(length)
    page.clock.install()
    play = page.get_by_role("button", name="Play")
    play.click()
    page.clock.run_for(2000)
    part = page.evaluate(length)
    assert 0 < part < whole / 2
    page.clock.run_for(3000)
    assert part < page.evaluate(length) < whole
    page.get_by_role("button", name="Stop").click()
    page.clock.run_for(200)
    assert page.evaluate(length) == whole
    play.click()
    page.clock.run_for(9000)
    assert page.evaluate(length) == whole
    assert play.is_visible()


def test_play_ends_where_the_runs_end(open_page, runs):
    half = runs[["loss"]].sel(lr=0.01, method="nearest", drop=True)
    half = half.where(half.step < half.sizes["step"] // 2)
    page = open_page(explore(half, y="loss", log="y", play="step"))
    length = "() => document.querySelector('.lrx-line').getAttribute('d').length"
    whole = page.evaluate(length)
    page.clock.install()
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(4000)  # half of the time
    assert 0.2 * whole < page.evaluate(length) < 0.8 * whole


def test_an_explorer_keeps_its_height_whatever_its_sentence_says(open_page, runs):
    told = runs.copy()
    texts = ["Short."] * runs.sizes["lr"]
    texts[3] = "A sentence that needs more than one line. " * 8
    told["says"] = ("lr", texts)
    page = open_page(explore(told, y="loss", says="says", start={"lr": runs.lr.values[2]}))
    height = "() => document.querySelector('.lrx').getBoundingClientRect().height"
    before, words = page.evaluate(height), page.locator(".lrx-sentence")
    assert words.inner_text().startswith("Short.")
    page.get_by_role("slider", name="learning rate", exact=True).first.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert words.inner_text().startswith("A sentence that needs")
    assert page.evaluate(height) == before


def test_a_pinned_run_is_read_at_its_own_rate(open_page, runs):
    one = runs.sel(momentum=0.5, drop=True)
    panels = Lines("loss", log="y"), Lines("final_loss", "lr", log="xy")
    page = open_page(explore(one, *panels, start={"lr": 0.01}))
    page.get_by_role("button", name="Pin this run").click()
    page.get_by_role("slider", name="learning rate", exact=True).first.focus()
    page.keyboard.press("Home")
    settle(page)
    pinned = page.locator(".lrx-readout").nth(1).locator("span").nth(1).inner_text()
    rate, ends = float(pinned.rsplit(" at ", 1)[1]), one.final_loss.median("seed")
    assert rate == pytest.approx(0.01, rel=0.3)
    truth = float(ends.sel(lr=rate, method="nearest"))
    assert float(pinned.split()[0]) == pytest.approx(truth, rel=0.01)


def test_nothing_plays_where_motion_is_not_wanted(open_page, runs):
    page = open_page(explore(runs, y="loss", play="step"))
    page.emulate_media(reduced_motion="reduce")
    assert not page.locator(".lrx-play").is_visible()


def test_a_state_has_an_address(open_page, runs):
    shown = explore(runs, y="loss", start={"lr": 0.01, "momentum": 0.5})
    page = open_page(shown, "#lrx-1:lr%3D0.1,momentum%3D0.9")
    assert selection(page, 0)["momentum"] == "0.9"
    assert float(selection(page, 0)["lr"]) == pytest.approx(0.1)
    page.get_by_role("slider", name="learning rate", exact=True).first.focus()
    page.keyboard.press("Home")
    settle(page)
    page.get_by_role("button", name="Copy a link").click()
    assert page.evaluate("decodeURIComponent(location.hash)") == "#lrx-1:lr=0.001,momentum=0.9"
    chosen = selection(page, 0)
    page.reload()
    page.wait_for_selector(".lrx-root[data-selection]")
    assert selection(page, 0) == chosen


def test_an_address_knows_which_curve_is_chosen(open_page, runs):
    page = open_page(explore(runs, Lines(["loss", "final_loss"], x="lr", choose=True)))
    page.get_by_role("button", name="final loss").click()
    settle(page)
    chosen = selection(page, 0)
    page.get_by_role("button", name="Copy a link").click()
    page.reload()
    page.wait_for_selector(".lrx-root[data-selection]")
    settle(page)
    assert selection(page, 0) == chosen
    assert "final loss" in chosen.values()


def guessing(runs):
    return explore(
        runs.sel(momentum=0.5),
        Lines("loss", log="y"),
        Lines("final_loss", "lr", log="xy", guess="Which rate ends lowest?"),
        start={"lr": 0.01},
    )


def test_the_result_is_hidden_until_a_guess_is_clicked(open_page, runs):
    page = open_page(guessing(runs))
    curves, words = page.locator(".lrx-line"), page.locator(".lrx-sentence")
    assert not any(curve.is_visible() for curve in curves.all())
    assert page.get_by_text("Which rate ends lowest?").is_visible()
    assert words.inner_text().startswith("Guess first")
    box = page.locator(".lrx-lines").nth(1).locator(".lrx-plot svg svg").bounding_box()
    page.mouse.click(box["x"] + 40, box["y"] + box["height"] + 12)  # below the axes: no guess
    settle(page)
    assert words.inner_text().startswith("Guess first")
    page.mouse.click(box["x"] + 1, box["y"] + 20)
    settle(page)
    assert all(curve.is_visible() for curve in curves.all())
    final = runs.final_loss.sel(momentum=0.5)
    best = final.fillna(np.inf).median("seed")
    rate = float(best.lr[int(best.argmin("lr"))])
    said = words.inner_text()
    assert said.startswith("Your guess, learning rate 0.001: ")
    told = float(re.search(r"The best of the 10 is ([\d.]+), with [\d.]+\.$", said).group(1))
    assert told == pytest.approx(rate, rel=0.01)
    assert page.get_by_text("your guess", exact=True).is_visible()
    assert not page.get_by_role("button", name="This is my guess").is_visible()
    page.get_by_role("slider", name="learning rate", exact=True).first.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert not words.inner_text().startswith("Your guess")


def test_a_guess_needs_no_mouse_and_is_not_forced(open_page, runs, visit, tmp_path):
    page = open_page(guessing(runs))
    page.get_by_role("slider", name="learning rate", exact=True).first.focus()
    page.keyboard.press("End")
    page.get_by_role("button", name="This is my guess").press("Enter")
    settle(page)
    said = page.locator(".lrx-sentence").inner_text()
    assert said.startswith("Your guess, learning rate 1: ")
    page.reload()
    page.wait_for_selector(".lrx-root[data-selection]")
    page.get_by_role("button", name="Show the result").click()
    settle(page)
    assert page.locator(".lrx-line").first.is_visible()
    assert page.locator(".lrx-sentence").inner_text() == guessing(runs).sentence()


def test_a_label_moves_out_of_the_way_of_a_curve(open_page):
    step = np.arange(50.0)
    flat = xr.Dataset({"loss": ("step", np.where(step > 25, 1.04, 3.0))}, {"step": step})
    page = open_page(explore(flat, y="loss", ylim=(0, 4), hlines={"the floor": 1.0}))
    label = page.locator(".lrx-reference text").bounding_box()
    box = area(page, "lines")
    right = label["x"] + label["width"] / 2 - box["x"]
    line = box["y"] + box["height"] * (1 - 1.04 / 4)
    covers = right > box["width"] / 2 and label["y"] < line < label["y"] + label["height"]
    assert not covers


def test_a_pin_is_compared_in_words_with_what_is_shown(open_page):
    loss = xr.DataArray(
        [[1.0, 0.8], [1.0, 0.2], [1.0, np.nan]],
        dims=["lr", "step"],
        coords={"lr": [0.1, 0.5, 2.0]},
        name="loss",
    )
    explorer = explore(loss.to_dataset(), y="loss", log="y", start={"lr": 0.1})
    page = open_page(explorer)
    said = page.locator(".lrx-compared")
    assert not said.is_visible()
    page.get_by_role("button", name="Pin this run").click()
    settle(page)
    assert said.inner_text() == "This is the pinned run."
    heights = []
    slider = page.locator(".lrx-controls [role=slider]").first
    for text in ("0.25 times the loss", "no finite loss here"):
        slider.focus()
        page.keyboard.press("ArrowRight")
        settle(page)
        assert said.inner_text() == f"Against the pin at learning rate 0.1: {text}."
        heights.append(page.locator(".lrx").first.bounding_box()["height"])
    assert heights[0] == heights[1]
    page.get_by_role("button", name="Clear pins").click()
    settle(page)
    assert not said.is_visible()
