"""What panels draw and say in a page, against the dataset."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from explorer_cubes import Ravine, ravine_descent
from reading import drawn, handle, numbers, settle
from static_page import write_page

from lrcourse.explore import Descent, HeatMap, Lines, explore
from lrcourse.results import quartiles

pytestmark = pytest.mark.browser


def test_the_map_holds_the_medians_of_the_dataset(reader, runs):
    page = reader()
    cells = np.array([numbers(row) for row in drawn(page, 0, "final_loss")["values"]])
    truth = quartiles(runs.final_loss.transpose("seed", "momentum", "lr").values)[1]
    np.testing.assert_allclose(cells, np.where(np.isfinite(truth), truth, np.nan), rtol=1e-5)
    lost = int((~np.isfinite(truth)).sum())
    sentence = page.locator(".lrx-sentence").first.inner_text()
    assert lost > 0
    assert f"{lost} of 30 cells diverged" in sentence
    assert page.locator(".lrx-heat .lrx-hatch").first.get_attribute("d")


def test_a_path_is_the_recorded_descent(reader):
    page = reader()
    descent = ravine_descent(steps=40)
    handle(page, 1, "learning rate").focus()
    page.keyboard.press("End")
    handle(page, 1, "momentum").focus()
    page.keyboard.press("Home")
    [path] = drawn(page, 1, "x0 x1")["paths"]
    run = descent.isel(lr=-1, momentum=0)
    np.testing.assert_allclose(path, np.stack([run.x0, run.x1], axis=-1), rtol=1e-6)
    assert "leaves the picture at step" in page.locator(".lrx-sentence").nth(1).inner_text()
    shown = page.locator(".lrx-root").nth(1).locator(".lrx-descent .lrx-marks")
    assert not shown.locator(".lrx-end").first.get_attribute("d")
    assert not shown.locator(".lrx-cross").first.get_attribute("d")  # the run went on


def test_a_path_ends_in_a_cross_where_its_run_was_given_up(visit, tmp_path):
    descent = ravine_descent(steps=40)
    cut = descent.where(descent.loss < 1e4)
    given_up = explore(cut, Descent("x0", "x1", surface=Ravine()), start={"lr": 0.4, "momentum": 0})
    page = visit().open(write_page(tmp_path, given_up))
    page.wait_for_selector(".lrx-root[data-selection]")
    marks = page.locator(".lrx-descent .lrx-marks").first
    assert marks.locator(".lrx-cross").first.get_attribute("d").count("M") == 1
    handle(page, 0, "learning rate").focus()
    page.keyboard.press("Home")
    settle(page)
    assert not marks.locator(".lrx-cross").first.get_attribute("d")


def test_values_are_read_by_keyboard_and_by_mouse(reader, runs):
    page = reader()
    root = page.locator(".lrx-root").nth(1)
    path, lines = root.locator(".lrx-plot").all()
    lines.focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert lines.get_attribute("aria-valuenow") == "3"
    value = ravine_descent(steps=40).loss.sel(lr=0.15, momentum=0.5, method="nearest")
    assert lines.get_attribute("aria-valuetext") == f"step 3: loss {float(value[3]):.3g}"
    assert path.get_attribute("aria-valuetext").startswith("step 3: (")
    page.keyboard.press("Escape")
    settle(page)
    assert lines.get_attribute("aria-valuetext").startswith("step 40")
    lines.scroll_into_view_if_needed()
    area = lines.locator("svg svg").bounding_box()
    page.mouse.move(area["x"] + area["width"] / 4, area["y"] + 20)
    settle(page)
    assert "step 10" in root.locator(".lrx-readout").nth(1).inner_text()


def test_an_axis_switches_between_linear_and_logarithmic(reader):
    page = reader()
    root = page.locator(".lrx-root").first
    toggle = root.get_by_role("button", name="logarithmic y axis")
    assert toggle.get_attribute("aria-pressed") == "true"
    before = root.locator(".lrx-line").first.get_attribute("d")
    toggle.click()
    settle(page)
    assert toggle.get_attribute("aria-pressed") == "false"
    assert root.locator(".lrx-line").first.get_attribute("d") != before


def test_diverged_runs_end_in_crosses_and_are_counted(reader, runs):
    page = reader()
    slider = handle(page, 0, "learning rate")
    slider.focus()
    seen = set()
    for i in range(10):
        page.keyboard.press("Home" if i == 0 else "ArrowRight")
        settle(page)
        at = runs.diverged_at.isel(lr=i).sel(momentum=0.5).values
        lost = int((at >= 0).sum())
        seen.add(lost)
        crosses = page.locator(".lrx-lines .lrx-marks .lrx-cross").first.get_attribute("d")
        sentence = page.locator(".lrx-sentence").first.inner_text()
        assert crosses.count("M") == lost
        if lost:
            assert f"runs diverged, the first at step {at[at >= 0].min()}." in sentence
    assert 5 in seen
    assert 0 in seen
    assert "All 5 runs diverged" in page.locator(".lrx-sentence").first.inner_text()


def test_the_page_says_what_python_says(reader, explorers):
    page = reader()
    for k, explorer in enumerate(explorers):
        assert page.locator(".lrx-sentence").nth(k).inner_text() == explorer.sentence()
        assert page.locator(".lrx-sentence").nth(k).get_attribute("aria-live") == "polite"


def test_missing_runs_have_no_cross_and_are_said(visit, holed, tmp_path):
    explorer = explore(
        holed,
        Lines("loss", log="y"),
        HeatMap("final_loss", "lr", "momentum"),
        start={"lr": 0.001, "momentum": 0},
    )
    assert "All 5 runs are missing." in explorer.sentence()
    assert "1 of 30 cells missing" in explorer.sentence()
    one = visit()
    page = one.open(write_page(tmp_path, explorer))
    page.wait_for_selector(".lrx-root[data-selection]")
    crosses = page.locator(".lrx-lines .lrx-marks .lrx-cross").first
    assert not crosses.get_attribute("d")
    assert page.locator(".lrx-sentence").inner_text() == explorer.sentence()
    told = page.locator(".lrx-heat .lrx-plot").get_attribute("aria-valuetext")
    assert told == "learning rate 0.001, momentum 0: missing"
    handle(page, 0, "learning rate").focus()
    page.keyboard.press("End")
    settle(page)
    lost = int((holed.diverged_at.isel(lr=-1, momentum=0) >= 0).sum())
    assert lost > 0
    assert crosses.get_attribute("d").count("M") == lost
    assert one.complaints == []


def test_what_never_happened_is_a_gap_and_is_said_in_words(visit, tmp_path):
    needed = xr.DataArray(
        [8.0, 4.0, np.nan], dims="size", coords={"size": [1, 2, 4]}, name="needed"
    )
    explorer = explore(needed.to_dataset(), Lines("needed", "size", missing="never reached"))
    assert explorer.sentence() == "Needed at size 4: never reached."
    reader = visit()
    page = reader.open(write_page(tmp_path, explorer))
    page.wait_for_selector(".lrx-root[data-selection]")
    settle(page)
    assert page.locator(".lrx-sentence").inner_text() == explorer.sentence()
    assert "never reached" in page.locator(".lrx-readout").first.inner_text()
    assert reader.complaints == []
