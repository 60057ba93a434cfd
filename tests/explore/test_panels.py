"""What panels say and draw."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from explorer_cubes import Ravine, Wavy

from lrcourse.explore import Descent, HeatMap, Lines, explore
from lrcourse.explore.words import in_words

PNG = b"\x89PNG"


def test_the_sentence_has_the_numbers_of_the_dataset(runs):
    explorer = explore(runs, y="loss", start={"lr": 0.01, "momentum": 0.5})
    last = runs.loss.sel(lr=0.01, momentum=0.5, method="nearest").isel(step=-1)
    low, mid, high = (in_words(float(last.quantile(q))) for q in (0.25, 0.5, 0.75))
    assert explorer.sentence() == (
        f"Learning rate 0.01, momentum 0.5: loss {mid} at step 59, "
        f"median of 5 seeds (quartiles {low} to {high}). None of the 5 runs diverged."
    )


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


def test_paths_have_contours_or_a_curve_below_them(descent):
    flat = explore(descent, Descent("x0", "x1", surface=Ravine(), equal=True, faint="lr"))
    below = flat.view.spec["panels"][0]["contours"]["sets"][0]
    assert len(below["levels"]) == 12
    assert below["size"] == sum(map(sum, below["levels"]))
    curve = explore(descent, Descent("x0", "loss", surface=Wavy()))
    assert curve.view.spec["panels"][0]["domain"]["x"] == (-4.0, 4.0)
    beta = descent.momentum.values
    varied = Descent("x0", "x1", surface=("momentum", [Ravine(10 + b) for b in beta]))
    assert len(explore(descent, varied).view.spec["panels"][0]["contours"]["sets"]) == 3
    for explorer in (flat, curve):
        assert explorer.still().startswith(PNG)
    free = explore(descent, Descent("x0", "x1"), start={"lr": 0.4, "momentum": 0})
    assert "the path leaves the picture at step" in free.sentence()


def test_a_cell_without_runs_is_missing_and_not_diverged(runs, holed):
    heat = HeatMap("final_loss", "lr", "momentum")
    before, after = (explore(ds, heat).sentence() for ds in (runs, holed))
    lost = [text for text in before.split("; ") if "cells diverged" in text]
    assert lost[0].split(". ")[0] in after
    assert "1 of 30 cells missing" in after
    assert explore(holed, heat).still() != explore(runs, heat).still()


def test_a_variable_that_all_seeds_share_is_drawn_beside_those_that_differ(runs):
    cube = runs.copy()
    cube["used"] = cube.loss.isel(seed=0, drop=True) * 0 + cube.lr
    assert "seed" in cube.diverged_at.dims
    assert explore(cube, Lines("loss"), Lines("used")).still().startswith(PNG)


def test_colours_end_where_limits_say_and_values_stay_true(runs):
    heat = HeatMap("final_loss", "lr", "momentum", log=True, limits=(0.1, 0.2))
    shown, free = (
        explore(runs, panel) for panel in (heat, HeatMap("final_loss", "lr", "momentum", log=True))
    )
    assert shown.view.spec["panels"][0]["domain"] == (0.1, 0.2)
    assert free.view.spec["panels"][0]["domain"] != (0.1, 0.2)
    assert shown.sentence() == free.sentence()  # no value was cut
    assert shown.still() != free.still()
    with pytest.raises(ValueError, match="limits must be two rising finite numbers"):
        explore(runs, HeatMap("final_loss", "lr", "momentum", limits=(2, 1)))


def test_colours_that_part_at_a_value_reach_as_far_on_both_sides(runs):
    for log, middle in ((True, lambda a, b: (a * b) ** 0.5), (False, lambda a, b: (a + b) / 2)):
        shown = explore(runs, HeatMap("final_loss", "lr", "momentum", log=log, centre=0.5))
        low, high = shown.view.spec["panels"][0]["domain"]
        np.testing.assert_allclose(middle(low, high), 0.5)
        assert shown.still().startswith(PNG)
