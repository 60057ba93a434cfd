"""What becomes a control, what travels, what is said and refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import xarray as xr
from explorer_cubes import unpacked
from ipywidgets.embed import dependency_state

from lrcourse.explore import Descent, HeatMap, Lines, explore


def test_dimensions_become_controls_seeds_a_band(runs):
    explorer = explore(runs, y="loss", x="step")
    assert list(explorer.controls) == ["lr", "momentum"]
    assert explorer.controls["lr"].options[0] == "0.001"
    assert explorer.controls["momentum"].description == "momentum"
    assert explorer.view.spec["band"] == "seed"
    assert list(explore(runs, y="loss", x="step", band=None).controls) == ["lr", "momentum", "seed"]


def test_labels_become_a_menu_and_a_choice_of_curves_buttons(runs):
    both = xr.concat([runs, runs], xr.DataArray(["sgd", "adam"], dims="optimizer"))
    both = both.assign(used=both.loss * 0 + both.lr)
    explorer = explore(both, Lines(["loss", "used"], choose=True), start={"optimizer": "adam"})
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


def test_start_and_select_take_the_nearest_number(runs):
    explorer = explore(runs, y="loss", start={"lr": 0.011, "momentum": 0.9})
    assert explorer.selection == {"lr": pytest.approx(0.01), "momentum": 0.9}
    explorer.select(lr=1)
    assert explorer.controls["lr"].index == explorer.view.i_lr == 9


def test_thinning_keeps_the_last_step(runs):
    explorer = explore(runs, y="loss", thin={"step": 7})
    assert explorer.packed.values("step")[-1] == 59
    assert unpacked(explorer, "loss").shape[-1] == 10
    bare = explore(runs.drop_vars("step"), y="loss", thin={"step": 7})  # places keep their numbers
    assert bare.packed.values("step").tolist() == explorer.packed.values("step").tolist()


def test_a_cube_too_large_says_how_large_and_its_advice_helps(runs):
    with pytest.raises(ValueError, match=r"the cube adds 0\.\d MB.*loss has lr 10.*thin=") as why:
        explore(runs, y="loss", max_bytes=20_000)
    dim, every = re.search(r"thin=\{'(\w+)': (\d+)\}", str(why.value)).groups()
    assert dim == "step"
    explorer = explore(runs, y="loss", max_bytes=20_000, thin={dim: int(every)})
    assert len(explorer.view.data) * 4 / 3 < 20_000


def test_a_thousand_runs_of_200_steps_add_less_than_a_megabyte():
    rng = np.random.default_rng(0)
    loss = np.exp(rng.normal(size=(40, 5, 5, 200)).cumsum(-1) / 9)
    ds = xr.Dataset({"loss": (("lr", "momentum", "seed", "step"), loss)})
    explorer = explore(ds, y="loss", x="step")
    state = json.dumps(dependency_state([explorer]))
    assert len(state) < 1_000_000


def test_a_dimension_drawn_in_one_panel_can_be_chosen_in_another(runs):
    explorer = explore(runs, Lines("final_loss", "lr"), Lines("loss"))
    assert list(explorer.controls) == ["momentum", "lr"]
    assert explorer.view.spec["panels"][0]["selects"]
    alone = explore(runs, Lines("final_loss", "lr"))
    assert list(alone.controls) == ["momentum"]
    assert not alone.view.spec["panels"][0]["selects"]


def test_divergence_is_counted_and_dated_as_recorded(runs):
    at = runs.diverged_at.sel(lr=1, momentum=0.9).values
    assert (at >= 0).any()
    said = explore(runs, y="loss", start={"lr": 1, "momentum": 0.9}).sentence()
    assert f"the first at step {at[at >= 0].min()}." in said
    derived = explore(runs[["loss"]], y="loss", start={"lr": 1, "momentum": 0.9}).sentence()
    assert derived == said


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
            lambda r: explore(r, HeatMap("final_loss", "lr", "momentum", log=True, centre=0)),
            "centre must be a positive finite number, was 0",
        ),
        (lambda r: explore(r, y="loss", play="lr"), r"play must be .* axis \(step\), was 'lr'"),
        (lambda r: explore(r, y="loss", guess="?"), r"guess must be only along a control \(lr"),
        (
            lambda r: explore(r, Descent("loss", "loss", start="seed")),
            r"start must name a control \(lr, momentum\), was 'seed'",
        ),
        (
            lambda r: explore(r, Descent("loss", "loss", surface=lambda p: p)),
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
        (lambda r: explore({"loss": [1]}, y="loss"), "ds must be an xarray.Dataset, was a dict"),
        (lambda r: explore(r.loss, y="loss"), "ds must be an xarray.Dataset, was a DataArray"),
        (lambda r: explore(r, y=5), "y must be a variable or a list of variables, was 5"),
        (lambda r: explore(r, y="loss", start=0.1), "start must be a mapping .* was 0.1"),
        (lambda r: explore(r, y="loss", start=[0.1]), r"start must be a mapping .* was \[0.1\]"),
        (lambda r: explore(r, y="loss", pins={"lr": 1}), "pins must be a list of selections"),
        (lambda r: explore(r, y="loss", pins=3), "pins must be a list of selections .* was 3"),
        (lambda r: explore(r, y="loss", pins=["lr"]), r"pins\[0\] must be a mapping .* was 'lr'"),
        (lambda r: explore(r, y="loss", controls="lr"), "controls must be a list .* was 'lr'"),
        (lambda r: explore(r, y="loss", controls=2), "controls must be a list .* was 2"),
        (lambda r: explore(r, y="loss", thin=10), "thin must be a mapping .* was 10"),
        (lambda r: explore(r, y="loss", play=3), "play must be a string, was 3"),
        (lambda r: explore(r, y="loss", title=3), "title must be a string, was 3"),
        (lambda r: explore(r, y="loss", band=["seed"]), "band must be a string, was"),
        (lambda r: explore(r, [Lines("loss")]), r"panel must be a Lines.*was \[Lines"),
        (lambda r: explore(r, "loss"), "panel must be a Lines, Descent or HeatMap, was 'loss'"),
        (lambda r: explore(r, Lines("loss"), log="y"), "log must go to a panel, or with y"),
        (lambda r: explore(r, y="loss", start={"lr": "big"}), "lr must be a number, was 'big'"),
        (lambda r: explore(r, y="loss", thin={"step": 2.5}), r"thin\['step'\] must be an integer"),
        (lambda r: explore(r.assign(loss=r.loss.astype(str)), y="loss"), "must hold numbers"),
    ],
)
def test_wrong_kinds_are_named(runs, arguments, words):
    with pytest.raises(TypeError, match=words):
        arguments(runs)


def test_one_value_in_an_array_can_be_chosen(runs):
    explorer = explore(runs, y="loss", start={"lr": runs.lr[3], "momentum": np.float32(0.5)})
    assert explorer.selection == {"lr": float(runs.lr[3]), "momentum": 0.5}


def test_a_missing_run_is_unknown_and_did_not_diverge(holed):
    start = {"lr": 0.01, "momentum": 0.5}
    one = explore(holed, y="loss", start=start).sentence()
    assert one.endswith("None of the 5 runs diverged; 1 is missing.")
    all_gone = explore(holed, y="loss", start={"lr": 0.001, "momentum": 0}).sentence()
    assert all_gone.endswith("All 5 runs are missing.")
    alone = explore(holed.isel(seed=0), y="loss", start=start).sentence()
    assert alone.endswith("The run is missing.")


def test_bools_of_which_some_are_missing_are_numbers(runs):
    stable = (runs.diverged_at < 0).where(runs.seed > 0)
    mixed = runs.assign(stable=stable, kept=stable.astype(object))
    for name in ("stable", "kept"):
        said = explore(mixed.isel(seed=1), y=name, x="lr", start={"momentum": 0}).sentence()
        assert f"{name} 0" in said or f"{name} 1" in said
        unknown = explore(mixed.isel(seed=0), y=name, x="lr").sentence()
        assert f"no finite {name}" in unknown


def meaning(runs):
    text = np.where(runs.lr > 0.1, "too high", "it learns")
    return xr.DataArray(text, dims="lr", coords={"lr": runs.lr})


def test_a_variable_of_texts_says_what_each_state_means(runs):
    explorer = explore(runs.assign(meaning=meaning(runs)), y="loss", says="meaning")
    assert explorer.select(lr=0.001).sentence() == "it learns"
    assert explorer.select(lr=1).sentence() == "too high"
    says = explorer.view.spec["says"]
    assert sorted(says["texts"]) == ["it learns", "too high"]
    assert len(says["at"]) == runs.sizes["lr"]


def test_texts_that_cannot_be_said_are_refused(runs):
    with pytest.raises(ValueError, match="says must be a variable of the dataset"):
        explore(runs, y="loss", says="meaning")
    with pytest.raises(TypeError, match="says must hold a text for every state"):
        explore(runs, y="loss", says="final_loss")
    over_seeds = meaning(runs).expand_dims(seed=runs.seed)
    with pytest.raises(ValueError, match=r"says must vary over dimensions .* has seed"):
        explore(runs.assign(meaning=over_seeds), y="loss", says="meaning")


def test_a_title_stands_above_the_controls_and_a_caption_travels(runs):
    explorer = explore(runs, y="loss", title="a < b", caption="Ten rates.")
    heading = explorer.children[0]
    assert heading.value == "a &lt; b"
    assert "lrx-title" in heading._dom_classes
    assert explorer.view.spec["caption"] == "Ten rates."
    assert len(explore(runs, y="loss").children) == 2
