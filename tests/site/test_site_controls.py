"""Every control of every explorer in the built book, by keyboard and by mouse.

What is drawn afterwards must be the run that the labels name, read from the page's own data by a
decoder that shares no code with the explorer.
"""

from __future__ import annotations

import json
from itertools import cycle
from urllib.parse import unquote

import numpy as np
import pytest
from conftest import NOTEBOOKS
from embedded import EmbeddedCube, explorers
from reading import settle

pytestmark = [pytest.mark.browser, pytest.mark.site]

each_page = pytest.mark.parametrize("name", [f"book/{path.stem}.html" for path in NOTEBOOKS])


def selection(root):
    return json.loads(root.get_attribute("data-selection"))


def stands_still(page, track):
    """Wait until the handle has glided to where its track was clicked."""
    gliding = "track => track.closest('.noUi-target').classList.contains('noUi-state-tap')"
    page.wait_for_function(f"track => !({gliding})(track)", arg=track.element_handle())
    settle(page)


def assert_draws_its_selection(root, cube):
    labels = selection(root)
    series = [s for s in root.evaluate("r => r.lrx.series()") if s["pin"] == 0]
    expected = cube.expected(labels)
    assert expected or any("values" in s for s in series)
    for (panel, key), values in expected.items():
        if key in ("x", "y"):
            paths = next(s["paths"] for s in series if s["panel"] == panel)
            side = "xy".index(key)
            drawn = [[np.nan if p is None else p[side] for p in path] for path in paths]
        else:
            drawn = [
                np.nan if v is None else v
                for v in next(s["y"] for s in series if (s["panel"], s["name"]) == (panel, key))
            ]
        compare(drawn, values, f"{labels}, panel {panel}, {key}")


def compare(drawn, values, where):
    drawn, values = np.array(drawn, float), np.array(values, float)
    assert drawn.shape == values.shape, where
    finite = np.isfinite(drawn)
    assert finite.any() or not np.isfinite(values).any(), where
    np.testing.assert_allclose(drawn[finite], values[finite], rtol=2e-3, atol=1e-37, err_msg=where)
    np.testing.assert_array_equal(finite, np.isfinite(values), err_msg=where)


def handles(explorer):
    return explorer.locator(".lrx-controls .noUi-handle").all()


@each_page
def test_every_control_shows_the_right_run(site, visit, name):
    reader = visit()
    page = reader.open(site / name)
    cubes = [EmbeddedCube(*pair) for pair in explorers(site / name)]
    by_title = {cube.spec["alt"]: cube for cube in cubes}
    shown = page.locator(".widget-subarea .lrx").all()
    assert len(shown) == len(by_title) == len(cubes), "titles tell explorers of a page apart"
    for explorer in shown:
        root = explorer.locator(".lrx-root")
        cube = by_title[root.get_attribute("aria-label")]
        root.scroll_into_view_if_needed()
        assert_draws_its_selection(root, cube)
        moved = (
            keyboard_on_sliders(page, explorer, root, cube)
            | mouse_on_sliders(page, explorer, root, cube)
            | menus_and_buttons(page, explorer, root, cube)
        )
        named = {d for d in cube.spec["named"] if cube.spec["dims"][d]["n"] > 1}
        offered = explorer.locator(".lrx-controls > *").count()
        assert len(moved) == offered, f"{moved} of {offered} controls answered"
        assert moved <= named | set(cube.spec["choices"])
    assert reader.complaints == []


def changed(before, after):
    return {key for key in after if after[key] != before[key]}


def keyboard_on_sliders(page, explorer, root, cube):
    moved = set()
    for handle in handles(explorer):
        assert handle.get_attribute("aria-label")
        before = selection(root)
        handle.focus()
        last = float(handle.get_attribute("aria-valuenow")) == float(
            handle.get_attribute("aria-valuemax")
        )
        page.keyboard.press("ArrowLeft" if last else "ArrowRight")
        settle(page)
        after = selection(root)
        (dim,) = changed(before, after)
        step = cube.selection(after)[dim] - cube.selection(before)[dim]
        assert step == (-1 if last else 1)
        assert handle.get_attribute("aria-valuetext") == after[dim]
        assert_draws_its_selection(root, cube)
        moved.add(dim)
    return moved


def mouse_on_sliders(page, explorer, root, cube):
    moved = set()
    for track in explorer.locator(".lrx-controls .noUi-base").all():
        for end, place in (("first", 0.02), ("last", 0.98)):
            box = track.bounding_box()
            before = selection(root)
            page.mouse.click(box["x"] + place * box["width"], box["y"] + box["height"] / 2)
            stands_still(page, track)
            after = selection(root)
            (dim,) = changed(before, after) or {None}
            if dim is None:
                continue  # it stood there already
            labels = cube.spec["dims"][dim]["labels"]
            near = labels.index(after[dim]) / (len(labels) - 1)
            assert abs(near - place) < 0.1 + 0.5 / (len(labels) - 1), f"{end} of {dim}"
            assert_draws_its_selection(root, cube)
            moved.add(dim)
    return moved


def menus_and_buttons(page, explorer, root, cube):
    moved = set()
    for menu in explorer.locator(".lrx-controls select").all():
        for option in menu.locator("option").all_text_contents():
            before = selection(root)
            menu.select_option(label=option)
            settle(page)
            moved |= changed(before, selection(root))
            assert option.replace("\xa0", " ") in selection(root).values()
            assert_draws_its_selection(root, cube)
    for button in explorer.locator(".lrx-controls .widget-toggle-button").all():
        before = selection(root)
        button.click()
        settle(page)
        moved |= changed(before, selection(root))
        assert button.get_attribute("aria-pressed") == "true"
        assert_draws_its_selection(root, cube)
    return moved


@each_page
def test_a_cell_of_a_heat_map_chooses_its_run(site, visit, name):
    page = visit().open(site / name)
    cubes = {pair[0]["alt"]: EmbeddedCube(*pair) for pair in explorers(site / name)}
    for explorer in page.locator(".widget-subarea .lrx").all():
        root = explorer.locator(".lrx-root")
        cube = cubes[root.get_attribute("aria-label")]
        for heat in explorer.locator(".lrx-heat .lrx-plot").all():
            heat.scroll_into_view_if_needed()
            before = selection(root)
            heat.focus()
            for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"):
                page.keyboard.press(key)
                settle(page)
                assert_draws_its_selection(root, cube)
                if selection(root) != before:
                    break
            assert selection(root) != before
            before = selection(root)
            box = heat.bounding_box()
            for place in (0.3, 0.7):
                heat.click(position={"x": place * box["width"], "y": place * box["height"]})
                settle(page)
                assert_draws_its_selection(root, cube)
            assert selection(root) != before


@each_page
def test_a_pinned_run_stays_while_the_choice_moves_on(site, visit, name):
    page = visit().open(site / name)
    explorer = page.locator(".widget-subarea .lrx", has=page.locator(".noUi-handle")).first
    root = explorer.locator(".lrx-root")
    drawn = root.evaluate("r => r.lrx.series().find(s => s.pin === 0).y ?? null")
    reveal = explorer.get_by_role("button", name="Show the result")
    if reveal.count():
        reveal.click()
    explorer.get_by_role("button", name="Pin this run").click()
    handle = handles(explorer)[0]
    handle.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    pins = root.evaluate("r => r.lrx.series().filter(s => s.pin !== 0)")
    assert pins
    if drawn is not None:
        assert drawn in [pin["y"] for pin in pins]
    explorer.get_by_role("button", name="Clear pins").click()
    settle(page)
    assert root.evaluate("r => r.lrx.series().every(s => s.pin === 0)")


@each_page
def test_every_handle_puts_the_explorer_above_it_where_it_says(site, visit, name):
    reader = visit()
    page = reader.open(site / name)
    handles = page.locator("a.lrx-handle").all()
    for handle, key in zip(handles, cycle(["Enter", " "])):
        wanted = handle.get_attribute("href").removeprefix("#lrx:")
        asked = dict(unquote(pair).split("=", 1) for pair in wanted.split(","))
        handle.scroll_into_view_if_needed()
        handle.focus()
        page.keyboard.press(key)
        settle(page)
        shown = selection(page.locator(".lrx-moved").last)
        for dim, text in asked.items():
            assert shown[dim] == text or float(shown[dim]) == pytest.approx(float(text), rel=0.02)
        page.evaluate(
            "document.querySelectorAll('.lrx-moved').forEach(r => r.classList.remove('lrx-moved'))"
        )
    assert reader.complaints == []


def test_a_handle_moves_the_explorer_above_it_and_no_other(site, visit):
    page = visit().open(site / "book/basics.html")
    before = [selection(root) for root in page.locator(".lrx-root").all()]
    page.locator("a.lrx-handle").first.click()
    settle(page)
    after = [selection(root) for root in page.locator(".lrx-root").all()]
    moved = [now != then for now, then in zip(after, before, strict=True)]
    assert moved == [True] + [False] * (len(after) - 1)


def test_without_scripts_a_handle_is_plain_words(site, visit):
    reader = visit(java_script_enabled=False)
    reader.page.goto((site / "book/basics.html").as_uri())
    handle = reader.page.locator("a.lrx-handle").first
    assert handle.get_attribute("href") is None
    colours = "e => [e, e.parentElement].map(x => getComputedStyle(x).color)"
    assert len(set(handle.evaluate(colours))) == 1
