"""What the chapter on schedules computes for its pictures, and what it says about them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lrcourse.chapters.schedules import (
    FAULTS,
    PEAK,
    PLANS,
    UPDATES,
    faulty,
    mean_square,
    said_of_cuts,
    said_of_digits,
    said_of_noise,
    shapes,
)
from lrcourse.cubes import load
from lrcourse.results import final, middle

OFF_PLAN = {
    "cosine drawn first": 839,
    "steps drawn first": 840,
    "stepped before each epoch": 168,
    "stepped per batch not per epoch": 836,
    "stepped per epoch not per batch": 839,
    "cosine of half the length": 838,
    "warmup and cosine both stepped": 838,
}


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.5])
def test_a_constant_rate_comes_down_to_its_floor(rate):
    values, left = mean_square(np.full(400, rate), start=3.0)
    assert values[0] == 9
    assert values[-1] == pytest.approx(rate / (2 - rate))
    assert left[0] == 1
    assert left[-1] < 1e-9


def test_without_a_step_all_is_left_of_the_start():
    values, left = mean_square(np.zeros(5), start=2.0)
    assert values.tolist() == [4.0] * 6
    assert left.tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("left", "schedule", "start"),
    [
        (0.9, "linear", "It has not arrived: 90 %"),
        (0.3, "linear", "It has nearly arrived: 30 %"),
        (0.0, "constant", "It has arrived"),
        (0.0, "linear", "It ends 8.8 times lower"),
    ],
)
def test_a_state_of_the_parabola_is_said_by_where_its_error_comes_from(left, schedule, start):
    end = xr.DataArray([[0.02]], {"schedule": [schedule], "lr": [0.3]})
    words = said_of_noise(end, 0 * end + left, end.lr / (2 - end.lr))
    assert words.item().startswith(start)


def test_every_state_of_the_digits_has_a_true_sentence():
    typical = middle(final(load("schedules")))
    words = said_of_digits(typical)
    bar = typical.sel(schedule="constant", drop=True).min("lr")
    least = typical.min("lr")
    assert words.dims == typical.dims
    for state in np.ndindex(words.shape):
        at = {d: words[d].values[i] for d, i in zip(words.dims, state, strict=True)}
        text, value = str(words.values[state]), float(typical.sel(at))
        here = {d: at[d] for d in bar.dims}
        below = value < float(bar.sel(here))
        assert ("below" in text) <= below, text
        assert ("above" in text or "times" in text) <= (not below), text
        if "too " in text:
            assert value > 1.03 * float(least.sel(here | {"schedule": at["schedule"]})), text


def test_the_recorded_halves_make_the_whole():
    cube = load("schedules")
    whole = cube.isel(eval_step=-1, drop=True)
    np.testing.assert_allclose(cube.half_loss.mean("half"), whole.val_loss, rtol=1e-4)
    wrong = cube.half_mistakes.mean("half")
    np.testing.assert_allclose(wrong, 1 - whole.val_accuracy, atol=1e-6)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_loop_leaves_its_plan_at_so_many_updates(fault):
    _, used = faulty(fault, seed=0)["used"]
    planned = PLANS[FAULTS[fault].plan](np.arange(UPDATES))
    assert used.shape == planned.shape
    assert planned.max() <= PEAK
    assert int((~np.isclose(used, planned, rtol=1e-9, atol=0)).sum()) == OFF_PLAN[fault]


def test_a_rule_that_never_cuts_in_some_run_is_said_so():
    used = [[[1.0, 1.0, 1.0], [1.0, 1.0, 0.3]]]
    runs = xr.Dataset(
        {
            "used": (("lr", "seed", "step"), used),
            "val_loss": (("lr", "seed", "eval_step"), [[[0.5], [0.5]]]),
        },
        {"step": range(3)},
    )
    assert said_of_cuts(runs).item() == (
        "2 seeds, 2 different staircases: the first cut comes at update 2 in one run and not at "
        "all in another. The median loss ends at 0.50."
    )


def test_equal_mean_rates_mean_equal_sums():
    steps = np.arange(1400)
    for schedule in shapes(1400).values():
        scaled = schedule * (1 / schedule(steps).mean())
        assert scaled(steps).sum() == pytest.approx(1400)
