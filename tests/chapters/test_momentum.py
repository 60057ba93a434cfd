"""The searches and the words of the chapter on momentum, against closed forms."""

import numpy as np
import pytest
import torch
import xarray as xr

from lrcourse.chapters.momentum import (
    RULES,
    largest_product,
    moves_of_torch,
    polyak,
    said_of_ravine,
    settled_after,
)
from lrcourse.optimizers import descents
from lrcourse.surfaces import ravine


@pytest.mark.parametrize("momentum", [0.25, 0.9])
def test_runs_settle_up_to_the_limits_of_the_chapter(momentum):
    heavy, nesterov = 2 * (1 + momentum), 2 * (1 + momentum) / (1 + 2 * momentum)
    assert largest_product(momentum) == pytest.approx(heavy, abs=2e-3)
    assert largest_product(momentum, nesterov=True) == pytest.approx(nesterov, abs=2e-3)


@pytest.mark.parametrize("condition", [10, 1000])
def test_polyaks_pair_keeps_what_its_formula_says_of_both_ends(condition):
    rate, momentum = polyak(condition)
    kept = (np.sqrt(condition) - 1) / (np.sqrt(condition) + 1)
    for curvature in (1, condition):
        roots = np.roots([1, rate * curvature - 1 - momentum, momentum])
        assert abs(roots) == pytest.approx([kept, kept], rel=1e-6)


def test_a_ball_on_its_way_through_the_minimum_has_not_settled():
    distance = xr.DataArray([[4.0, 0.0, 3.0, 0.5], [4.0, 1.0, 2.0, 2.0]], dims=["run", "step"])
    np.testing.assert_array_equal(settled_after(distance, 0.25), [3, np.nan])
    assert settled_after(distance[0] / np.array([1, 1, np.nan, 1]), 0.25).item() == 3


def test_the_words_say_never_where_the_runs_do_not_settle_and_nowhere_else():
    momenta, rates = [0, 0.5, 0.67, 0.9], np.arange(1, 41) / 1000
    runs = descents(ravine(100), lr=rates, momentum=momenta, steps=7000, bound=1e4)
    updates = settled_after(np.hypot(runs.x0, runs.x1))
    said = said_of_ravine(updates, 100)
    never = np.char.startswith(said.values.astype(str), "Never")
    assert (never == updates.isnull().values).all()
    assert "the fewest of all rates" in said.sel(lr=0.019, momentum=0).item()
    assert said.sel(lr=0.03, momentum=0.5).item().endswith("at the limit 2(1 + β)/λ, here 0.03.")


def test_dampening_spares_the_first_gradient():
    assert moves_of_torch(momentum=0.9, dampening=0.9) == pytest.approx(np.ones(100))


def test_the_rules_are_what_they_are_called():
    for name, how in RULES.items():
        assert name == ("Nesterov " if how.get("nesterov") else "") + f"{how['momentum']:g}"
        torch.optim.SGD([torch.zeros(1)], lr=0.1, **how)
