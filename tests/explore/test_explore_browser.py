"""The explorer in a page without a kernel: every control by keyboard and mouse, on real runs."""

from __future__ import annotations

import json
from pathlib import Path as File

import axe_playwright_python
import numpy as np
import pytest
from conftest import skip_or_fail
from explorer_cubes import Ravine, ravine_descent, regression
from static_page import scripts, write_page

from lrcourse.explore import HeatMap, Lines, Path, explore
from lrcourse.explore.cube import summary

pytestmark = pytest.mark.browser

AXE = next(File(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
DRAWN = "k => document.querySelectorAll('.lrx-root')[k].lrx.series()"


@pytest.fixture(scope="module")
def runs():
    ds = regression(lrs=np.geomspace(0.001, 1, 10), steps=60)
    rate = ds.loss * 0 + ds.lr
    return ds.assign(rate=rate.fillna(0).where(ds.loss.notnull(), ds.lr))


@pytest.fixture(scope="module")
def explorers(runs):
    """Four explorers: runs beside a map, a path, a choice of curves, a chosen axis."""
    descent = ravine_descent(steps=40)
    named = runs.expand_dims(optimizer=["sgd", "slow sgd"]).copy(deep=True)
    named["loss"] = named.loss * [[[[[1.0]]]], [[[[2.0]]]]]
    return [
        explore(
            runs,
            Lines("loss", log="y", faint="lr"),
            HeatMap("final_loss", "lr", "momentum", log=True),
            title="Runs beside a map",
            start={"lr": 0.01, "momentum": 0.5},
        ),
        explore(
            descent,
            Path("x0", "x1", surface=Ravine(), faint="lr"),
            Lines("loss", log="y"),
            title="A path",
            start={"lr": 0.15, "momentum": 0.5},
        ),
        explore(
            named.isel(momentum=0, drop=True),
            Lines(["loss", "rate"], choose=True),
            title="A choice",
            start={"optimizer": "sgd", "lr": 0.01},
        ),
        explore(
            runs,
            Lines("final_loss", "lr", log="xy"),
            Lines(["loss", "rate"], spread="runs", title="Two curves"),
            title="A chosen axis",
            start={"lr": 0.01, "momentum": 0.9},
        ),
    ]


@pytest.fixture(scope="module")
def page_path(explorers, tmp_path_factory):
    for source in scripts().values():
        if not source.exists():
            skip_or_fail(f"{source.name} is missing: run `make book`")
    return write_page(tmp_path_factory.mktemp("explorers"), *explorers)


@pytest.fixture
def reader(visit, page_path):
    """A visit to the page, once all explorers are drawn; it must end without a complaint."""

    def start(theme="light", **options):
        one = visit(**options)
        one.open(page_path)
        one.page.wait_for_function(
            "document.querySelectorAll('.lrx-root[data-selection]').length === 4"
        )
        one.page.evaluate("t => { document.documentElement.dataset.theme = t }", theme)
        visits.append(one)
        return one.page

    visits = []
    yield start
    for one in visits:
        assert one.complaints == []


def settle(page):
    """Wait for the frame that draws what has changed."""
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def drawn(page, k, name="loss", pin=0):
    """The curve of a variable that explorer `k` shows now."""
    settle(page)
    return next(s for s in page.evaluate(DRAWN, k) if s["name"] == name and s["pin"] == pin)


def numbers(values):
    values = np.array([np.nan if v is None else v for v in values], dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def median(runs, name="loss", **selection):
    """The curve as the dataset has it, a diverged run counted as the worst."""
    cut = runs[name].sel(selection, method="nearest").transpose("seed", ...).values
    low, mid, high = summary(cut)
    return [np.where(np.isfinite(q), q, np.nan) for q in (low, mid, high)]


def assert_shows(series, expected):
    for key, values in zip(("low", "y", "high"), expected, strict=True):
        np.testing.assert_allclose(numbers(series[key]), values, rtol=1e-5)


def handle(page, k, name):
    return page.locator(".lrx").nth(k).get_by_role("slider", name=name, exact=True)


def selection(page, k):
    settle(page)
    return json.loads(page.locator(".lrx-root").nth(k).get_attribute("data-selection"))


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


def explorer_label(runs, i):
    return explore(runs, y="loss").controls["lr"].options[i]


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
    assert numbers(drawn(page, 2, "rate")["y"]) == pytest.approx(np.full(60, 0.01))
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


def test_the_map_holds_the_medians_of_the_dataset(reader, runs):
    page = reader()
    cells = np.array([numbers(row) for row in drawn(page, 0, "final_loss")["values"]])
    truth = summary(runs.final_loss.transpose("seed", "momentum", "lr").values)[1]
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
    shown = page.locator(".lrx-root").nth(1)
    assert shown.locator(".lrx-path .lrx-marks .lrx-cross").first.get_attribute("d")
    assert not shown.locator(".lrx-path .lrx-marks .lrx-end").first.get_attribute("d")


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
