"""The explorer's Python side: what travels, what becomes a control, what is said and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path as File

import numpy as np
import pytest
import xarray as xr
from explorer_cubes import Ravine, Wavy, ravine_descent, regression
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ipywidgets.embed import dependency_state

from lrcourse import plots
from lrcourse.explore import Code, HeatMap, Lines, Path, explore
from lrcourse.explore.cube import Cube, extent, number, quantised, summary

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def runs():
    return regression(lrs=np.geomspace(0.001, 1, 10), seeds=5, steps=60)


@pytest.fixture(scope="module")
def descent():
    return ravine_descent()


def unpacked(explorer, name):
    """An array as the page decodes it."""
    meta = explorer.view.spec["arrays"][name]
    kind, start = {"f4": "<f4", "q2": "<u2"}[meta["type"]], meta["offset"]
    raw = np.frombuffer(explorer.view.data, kind, meta["size"], start).reshape(meta["shape"])
    if meta["type"] == "f4":
        return raw
    values = meta["scale"] * np.sinh(meta["low"] + raw * meta["step"])
    return np.where(raw == 65_535, np.nan, values)


def test_dimensions_become_controls_seeds_a_band(runs):
    explorer = explore(runs, y="loss", x="step")
    assert list(explorer.controls) == ["lr", "momentum"]
    assert explorer.controls["lr"].options[0] == "0.001"
    assert explorer.controls["momentum"].description == "momentum"
    assert explorer.view.spec["band"] == "seed"
    assert list(explore(runs, y="loss", x="step", band=None).controls) == ["lr", "momentum", "seed"]


def test_labels_become_a_menu_and_a_choice_of_curves_buttons(runs):
    both = xr.concat([runs, runs], xr.DataArray(["sgd", "adam"], dims="optimizer"))
    both = both.assign(rate=both.loss * 0 + both.lr)
    explorer = explore(both, Lines(["loss", "rate"], choose=True), start={"optimizer": "adam"})
    kinds = {key: type(control).__name__ for key, control in explorer.controls.items()}
    assert kinds["optimizer"] == "Dropdown"
    assert kinds["choice0"] == "ToggleButtons"
    assert explorer.selection["optimizer"] == "adam"
    assert "loss" in explorer.sentence()
    assert "used rate" not in explorer.sentence()


def test_controls_can_be_chosen_ordered_and_of_another_kind(runs):
    explorer = explore(runs, y="loss", controls={"momentum": "buttons"}, start={"lr": 0.01})
    assert list(explorer.controls) == ["momentum"]
    assert explorer.sentence().endswith("Held: learning rate 0.01.")
    assert list(explore(runs, y="loss", controls=["momentum", "lr"]).controls) == ["momentum", "lr"]


def test_a_dimension_with_one_value_has_no_control_and_is_said(runs):
    explorer = explore(runs.isel(momentum=[1]), y="loss", x="step")
    assert list(explorer.controls) == ["lr"]
    assert "Held: momentum 0.5." in explorer.sentence()


def test_small_cubes_travel_as_float32(descent):
    explorer = explore(descent, y="loss", x="step")
    assert explorer.view.spec["arrays"]["loss"]["type"] == "f4"
    shown = descent.loss.where(descent.loss < 1e38)
    np.testing.assert_array_equal(unpacked(explorer, "loss"), shown.values.astype("f4"))


def test_large_cubes_travel_in_16_bits_with_half_a_thousandth(runs):
    big = regression(lrs=np.geomspace(0.001, 1, 20), steps=100)
    explorer = explore(big, y="loss", x="step")
    assert explorer.view.spec["arrays"]["loss"]["type"] == "q2"
    np.testing.assert_allclose(unpacked(explorer, "loss"), big.loss.values, rtol=5e-4)


@given(
    hnp.arrays(
        float,
        st.integers(1, 60),
        elements=st.one_of(
            st.floats(-1e12, 1e12), st.floats(0, 1e-9), st.just(np.nan), st.just(0.0)
        ),
    )
)
def test_codes_are_fine_or_refused(values):
    coded = quantised(values)
    if coded is None:
        return
    codes, formula = coded
    decoded = formula["scale"] * np.sinh(formula["low"] + formula["step"] * codes.astype(float))
    finite = np.isfinite(values)
    np.testing.assert_array_equal(codes == 65_535, ~finite)
    room = 5.1e-4 * np.hypot(np.abs(values), formula["scale"])
    assert (np.abs(decoded - values)[finite] <= room[finite] + 1e-300).all()


def test_a_thousand_runs_of_200_steps_add_less_than_a_megabyte():
    rng = np.random.default_rng(0)
    loss = np.exp(rng.normal(size=(40, 5, 5, 200)).cumsum(-1) / 9)
    ds = xr.Dataset({"loss": (("lr", "momentum", "seed", "step"), loss)})
    explorer = explore(ds, y="loss", x="step")
    state = json.dumps(dependency_state([explorer]))
    assert len(state) < 1_000_000


def test_equal_arrays_travel_once_and_constant_dimensions_not_at_all(runs):
    twice = runs.assign(again=runs.loss, rate=runs.loss * 0 + runs.lr)
    one = explore(runs, y="loss", x="step").view
    two = explore(twice, Lines("loss"), Lines("again")).view
    assert len(two.data) == len(one.data)
    rate = explore(twice.fillna(0), y="rate").view.spec["arrays"]["rate"]
    assert rate["dims"] == ["lr", "momentum", "seed", "step"] or rate["size"] < runs.loss.size
    flat = explore(runs.assign(rate=xr.zeros_like(runs.loss) + runs.lr), y="rate")
    assert flat.view.spec["arrays"]["rate"]["dims"] == ["lr"]


def test_start_and_select_take_the_nearest_number(runs):
    explorer = explore(runs, y="loss", start={"lr": 0.011, "momentum": 0.9})
    assert explorer.selection == {"lr": pytest.approx(0.01), "momentum": 0.9}
    explorer.select(lr=1)
    assert explorer.controls["lr"].index == explorer.view.i_lr == 9


def test_thinning_keeps_the_last_step(runs):
    explorer = explore(runs, y="loss", thin={"step": 7})
    assert explorer.cube.values("step")[-1] == 59
    assert unpacked(explorer, "loss").shape[-1] == 10


def test_a_cube_too_large_says_how_large_and_its_advice_helps(runs):
    with pytest.raises(ValueError, match=r"the cube adds 0\.\d MB.*loss has lr 10.*thin=") as why:
        explore(runs, y="loss", max_bytes=20_000)
    dim, every = re.search(r"thin=\{'(\w+)': (\d+)\}", str(why.value)).groups()
    assert dim == "step"
    explorer = explore(runs, y="loss", max_bytes=20_000, thin={dim: int(every)})
    assert len(explorer.view.data) * 4 / 3 < 20_000


def test_the_sentence_has_the_numbers_of_the_dataset(runs):
    explorer = explore(runs, y="loss", start={"lr": 0.01, "momentum": 0.5})
    last = runs.loss.sel(lr=0.01, momentum=0.5, method="nearest").isel(step=-1)
    low, mid, high = (number(float(last.quantile(q))) for q in (0.25, 0.5, 0.75))
    assert explorer.sentence() == (
        f"Learning rate 0.01, momentum 0.5: loss {mid} at step 59, "
        f"median of 5 seeds (quartiles {low} to {high}). None of the 5 runs diverged."
    )


def test_divergence_is_counted_and_dated_as_recorded(runs):
    at = runs.diverged_at.sel(lr=1, momentum=0.9).values
    assert (at >= 0).any()
    said = explore(runs, y="loss", start={"lr": 1, "momentum": 0.9}).sentence()
    assert f"the first at step {at[at >= 0].min()}." in said
    derived = explore(runs[["loss"]], y="loss", start={"lr": 1, "momentum": 0.9}).sentence()
    assert derived == said


def test_an_all_diverged_cube_is_shown(runs):
    lost = runs.copy(deep=True)
    lost["loss"] = xr.full_like(lost.loss, np.inf)
    lost["final_loss"] = xr.full_like(lost.final_loss, np.nan)
    lost["diverged_at"] = xr.zeros_like(lost.diverged_at)
    heat = HeatMap("final_loss", "lr", "momentum", log=True)
    explorer = explore(lost, Lines("loss", log="y"), heat)
    assert "All 5 runs diverged, the first at step 0." in explorer.sentence()
    assert "30 of 30 cells diverged" in explorer.sentence()
    assert explorer.still().startswith(PNG)


def test_a_map_without_a_better_end_names_no_best_cell(runs):
    def said(mark):
        return explore(runs, HeatMap("final_loss", "lr", "momentum", mark=mark)).sentence()

    assert "the lowest" in said(True)
    assert "lowest" not in said(False)


def test_a_diverged_run_counts_as_the_worst():
    rows = np.array([[0.9, 0.9], [0.8, np.nan], [0.7, np.inf]])
    assert summary(rows)[1].tolist() == [0.8, np.inf]
    assert summary(rows, worst=-1)[1].tolist() == [0.8, -np.inf]
    ds = xr.Dataset({"val_accuracy": (("seed", "step"), rows), "loss": (("seed", "step"), rows)})
    assert (Cube(ds, "seed").worst("val_accuracy"), Cube(ds, "seed").worst("loss")) == (-1, 1)
    ds.val_accuracy.attrs["better"] = "low"
    assert Cube(ds, "seed").worst("val_accuracy") == 1


def test_axes_ignore_runs_that_ran_away():
    rows = np.array([[2.0, 1.0], [2.0, 1.5], [2.0, 1e30], [2.0, np.nan]])
    low, high = extent(rows, log=False)
    assert low < 1
    assert 2 < high < 2.2
    assert extent(rows - 5, log=True) is None
    assert extent(np.full((2, 3), np.nan), log=False) == (0.0, 1.0)


@pytest.mark.parametrize(
    "panels",
    [
        [Lines("loss", log="xy", faint="lr", hlines={"one": 1}), Lines("loss", spread="runs")],
        [Lines("final_loss", "lr", log="xy"), HeatMap("final_loss", "lr", "momentum")],
    ],
)
def test_a_still_picture_and_a_sentence_stand_beside_the_view(runs, panels):
    explorer = explore(runs, *panels, title="Descent", start={"lr": 1, "momentum": 0.9})
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/png"].startswith(PNG)
    assert bundle["text/plain"] == explorer.sentence()
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_paths_have_contours_or_a_curve_below_them(descent):
    flat = explore(descent, Path("x0", "x1", surface=Ravine(), equal=True, faint="lr"))
    below = flat.view.spec["panels"][0]["contours"]["sets"][0]
    assert len(below["levels"]) == 12
    assert below["size"] == sum(map(sum, below["levels"]))
    curve = explore(descent, Path("x0", "loss", surface=Wavy()))
    assert curve.view.spec["panels"][0]["domain"]["x"] == (-4.0, 4.0)
    beta = descent.momentum.values
    varied = Path("x0", "x1", surface=("momentum", [Ravine(10 + b) for b in beta]))
    assert len(explore(descent, varied).view.spec["panels"][0]["contours"]["sets"]) == 3
    for explorer in (flat, curve):
        assert explorer.still().startswith(PNG)
    free = explore(descent, Path("x0", "x1"), start={"lr": 0.4, "momentum": 0})
    assert "the path leaves the picture at step" in free.sentence()


def test_a_dimension_drawn_in_one_panel_can_be_chosen_in_another(runs):
    explorer = explore(runs, Lines("final_loss", "lr"), Lines("loss"))
    assert list(explorer.controls) == ["momentum", "lr"]
    assert explorer.view.spec["panels"][0]["selects"]
    alone = explore(runs, Lines("final_loss", "lr"))
    assert list(alone.controls) == ["momentum"]
    assert not alone.view.spec["panels"][0]["selects"]


def test_an_embedded_page_keeps_what_is_at_its_default(runs):
    explorer = explore(runs, y="loss")
    state = dependency_state([explorer], drop_defaults=True)[explorer.view.model_id]["state"]
    assert {"_esm", "code", "i_lr", "i_momentum"} <= set(state)


def test_a_page_holds_the_code_once(runs):
    both = [explore(runs, y="loss"), explore(runs, y="final_loss", x="lr")]
    states = [model["state"] for model in dependency_state(both).values()]
    assert sum("script" in state for state in states) == 1
    assert sum("spec" in state for state in states) == 2
    Code.get().close()
    assert Code.get().script
    assert explore(runs, y="loss").view.code is Code.get()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda r: explore(r, y="los"), r"must be a variable of the dataset \(loss, final_loss"),
        (lambda r: explore(r, y="loss", x="epoch"), "x must be a dimension of loss .*'epoch'"),
        (lambda r: explore(r, y="loss", x="seed"), "x must not be the band 'seed'"),
        (lambda r: explore(r), "needs panels, or y"),
        (lambda r: explore(r, Lines("loss"), y="loss"), "and not both"),
        (lambda r: explore(r, y="loss", start={"learning": 1}), "'learning' cannot be chosen.*lr"),
        (lambda r: explore(r, y="loss", start={"lr": 7}), "lr must be from 0.001 to 1, was 7"),
        (lambda r: explore(r, y="loss", controls=["seed"]), "controls must be among lr, momentum"),
        (lambda r: explore(r, y="loss", controls={"lr": "knob"}), "'slider', 'menu' or 'buttons'"),
        (lambda r: explore(r, y="loss", thin={"epoch": 2}), "thin names 'epoch'"),
        (lambda r: explore(r, y="loss", faint="step"), r"faint must be a control \(lr, momentum\)"),
        (lambda r: explore(r, y="loss", pins=[{"lr": 1}] * 5), "pins must be at most 4, were 5"),
        (lambda r: explore(r, y="loss", ylim=(1, 0)), "ylim must be two rising finite numbers"),
        (lambda r: explore(r, y="loss", log="z"), "log must be some of the letters 'xy', was 'z'"),
        (lambda r: Lines(["a", "b", "c", "d"]), "y must be one to 3 different variables"),
        (lambda r: explore(r, HeatMap("final_loss", "lr", "lr")), "x and y must be two dimensions"),
        (lambda r: explore(r, HeatMap("final_loss", "lr", "step")), "y must be a dimension of"),
        (
            lambda r: explore(r, HeatMap("final_loss", "lr", "momentum", boundary={"b": [1.0]})),
            "boundary must hold 3 finite numbers, one for each momentum",
        ),
        (
            lambda r: explore(r, Path("loss", "loss", surface=lambda p: p)),
            "surface must give a finite number for each",
        ),
        (
            lambda r: explore(r.assign_coords(lr=[0.1] * 10), y="loss"),
            "dimension lr must have distinct values, has 0.1 repeatedly",
        ),
    ],
)
def test_wrong_values_are_named(runs, arguments, words):
    with pytest.raises(ValueError, match=words):
        arguments(runs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda r: explore({"loss": [1]}, y="loss"), "ds must be an xarray.Dataset"),
        (lambda r: explore(r, "loss"), "panel must be a Lines, Path or HeatMap, was 'loss'"),
        (lambda r: explore(r, Lines("loss"), log="y"), "log must go to a panel, or with y"),
        (lambda r: explore(r, y="loss", start={"lr": "big"}), "lr must be a number, was 'big'"),
        (lambda r: explore(r, y="loss", thin={"step": 2.5}), r"thin\['step'\] must be an integer"),
        (lambda r: explore(r.assign(loss=r.loss.astype(str)), y="loss"), "must hold numbers"),
    ],
)
def test_wrong_kinds_are_named(runs, arguments, words):
    with pytest.raises(TypeError, match=words):
        arguments(runs)


def test_the_stylesheet_and_the_still_pictures_share_a_palette():
    css = File(explore.__globals__["__file__"]).with_name("explore.css").read_text()
    light = css[: css.index("html[data-theme")]
    accents = re.findall(r"--lrx-(?:accent|[1-4]): (#\w{6})", light)
    assert tuple(accents) == plots.PALETTE[:5]
    assert f"--lrx-ink: {plots.INK}" in light
    assert f"--lrx-muted: {plots.MUTED}" in light


def test_every_colour_of_the_palette_stands_out_from_paper():
    def luminance(colour):
        parts = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for colour in plots.PALETTE:
        assert 1.05 / (luminance(colour) + 0.05) >= 3


def test_the_house_style_is_taken_off_again():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with plots.style():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before


def test_a_band_refuses_dimensions_it_would_mix(runs):
    from matplotlib.figure import Figure

    with pytest.raises(ValueError, match="runs must have dimensions step and seed"):
        plots.band(Figure().subplots(), runs.loss)
    drawn = plots.band(Figure().subplots(), runs.loss.isel(lr=0, momentum=0))
    np.testing.assert_allclose(drawn.get_ydata(), runs.loss.isel(lr=0, momentum=0).median("seed"))
