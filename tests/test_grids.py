"""One grammar for every grid: what spans a dimension, its labels, and what is refused."""

from collections import OrderedDict
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from lrcourse.grids import Axis, axes_of, is_axis, known, round_rates, specs_of, stable_repr
from lrcourse.models import mlp
from lrcourse.schedules import Constant
from lrcourse.surfaces import parabola

RATES = [0.1, 0.2]


@pytest.mark.parametrize(
    "values",
    [
        RATES,
        tuple(RATES),
        np.array(RATES),
        torch.tensor(RATES, dtype=torch.float64),
        pd.Series(RATES, index=[7, 8]),
        pd.Index(RATES),
        xr.DataArray(RATES, dims="lr", coords={"lr": RATES}),
        [np.float64(0.1), torch.tensor(0.2, dtype=torch.float64)],
        [np.array(0.1), xr.DataArray(0.2)],
        {0.1: 0.1, 0.2: 0.2},
        OrderedDict([(np.float64(0.1), 0.1), (0.2, 0.2)]),
        dict.fromkeys(RATES).keys(),
        dict(enumerate(RATES)).values(),
    ],
    ids=lambda v: type(v).__name__,
)
def test_every_kind_of_sequence_is_the_same_dimension(values):
    (axis,) = axes_of({"lr": values, "steps": 3})
    assert axis.labels.tolist() == RATES
    assert axis.labels.dtype == float
    assert [float(v) for v in axis.values] == RATES


@pytest.mark.parametrize(
    "one", [0.1, "sgd", b"x", None, np.array(0.1), torch.tensor(0.1), xr.DataArray(0.1),
            Constant(0.1), mlp, partial(mlp, (3, 3)), parabola()],
)  # fmt: skip
def test_other_values_are_one_value(one):
    assert not is_axis("x", one)


def test_values_of_no_dimension_reach_a_run_in_their_plain_type():
    ((_, spec),) = specs_of({"lr": np.array(0.5), "steps": torch.tensor(3)}, [])
    assert spec == {"lr": 0.5, "steps": 3}
    assert type(spec["lr"]) is float
    assert type(spec["steps"]) is int


def test_a_pair_is_one_value_where_one_value_is_a_pair():
    assert not is_axis("betas", (0.9, 0.99))
    assert not is_axis("betas", np.array([0.9, 0.99]))
    assert not is_axis("start", [1.0, 2.0], {"start": 2})
    assert is_axis("start", [1.0, 2.0])
    assert is_axis("start", [1.0, 2.0, 3.0], {"start": 2})
    (axis,) = axes_of({"betas": [(0.9, 0.99), (0.8, 0.9)]})
    assert axis.labels.tolist() == ["(0.9, 0.99)", "(0.8, 0.9)"]
    (axis,) = axes_of({"betas": np.array([[0.9, 0.99], [0.8, 0.9], [0.1, 0.2]])})
    assert axis.values[2] == (0.1, 0.2)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (
            (x for x in RATES),
            TypeError,
            "lr must be one value, or a sequence such as a list: a gen",
        ),
        (iter(RATES), TypeError, "a generator can be read only once, was list_iterator"),
        ({0.1, 0.2}, TypeError, "a set has no order"),
        (np.ones((2, 2)), ValueError, r"lr must be one-dimensional, had shape \(2, 2\)"),
        (torch.ones(2, 2), ValueError, r"lr must be one-dimensional, had shape \(2, 2\)"),
        ([], ValueError, "lr must hold at least one value, was empty"),
        ({}, ValueError, "lr must hold at least one value, was empty"),
        ([0.1, 0.1], ValueError, "lr must hold each value once, 0.1 stands there twice"),
        ([0.1, "0.1"], ValueError, "lr must hold each value once, '0.1' stands there twice"),
        ([lambda: 0, lambda: 1], ValueError, "'<lambda>' stands there twice"),
        ({(1, 2): 0.1}, TypeError, r"lr must have text or numbers as labels, had \(1, 2\)"),
        (
            [2**63, 1],
            ValueError,
            "lr must have labels that a file can hold, had 9223372036854775808",
        ),
        ({float("nan"): 0.1}, ValueError, "lr must have labels that a file can hold, had nan"),
    ],
)
def test_what_cannot_be_a_dimension_is_refused_in_words(values, kind, message):
    with pytest.raises(kind, match=message):
        axes_of({"lr": values})


def test_labels_are_the_same_in_every_session():
    class Widget:
        pass

    assert Axis("model", [partial(mlp, (3, 3)), mlp]).labels.tolist() == [
        "partial(mlp, (3, 3))", "mlp",
    ]  # fmt: skip
    assert stable_repr(Widget()) == stable_repr(Widget())
    assert "0x" not in stable_repr([Widget(), partial(Widget, Widget())])


def test_missing_values_have_labels_of_their_own():
    assert Axis("clip", [None, 0.5]).labels.tolist() == [np.inf, 0.5]
    assert Axis("batch_size", [None, 8]).labels.tolist() == [-1, 8]
    assert Axis("eps", [None, 0.5]).labels.tolist() == ["none", "0.5"]


@given(sizes=st.lists(st.integers(1, 3), min_size=0, max_size=4))
def test_every_place_of_the_grid_is_visited_once_in_order(sizes):
    grid = {f"d{i}": list(range(size)) for i, size in enumerate(sizes)}
    runs = list(specs_of(grid, axes_of(grid)))
    assert [index for index, _ in runs] == list(np.ndindex(*sizes))
    assert all(tuple(spec.values()) == index for index, spec in runs)


def test_the_seed_comes_last():
    assert [a.name for a in axes_of({"seed": [0, 1], "b": [1, 2], "a": [1, 2]})] == [
        "b", "a", "seed",
    ]  # fmt: skip


def test_an_unknown_name_is_answered_with_a_guess_or_with_all_there_are():
    with pytest.raises(TypeError, match="'lrs' is no setting; did you mean 'lr'"):
        known(["lrs"], ["lr", "steps"])
    with pytest.raises(TypeError, match="'q' is no setting; there are lr, steps"):
        known(["q"], ["lr", "steps"])


@pytest.mark.parametrize("per_decade", [3, 6, 10, 20])
def test_round_rates_are_short_rising_and_about_evenly_spaced(per_decade):
    rates = round_rates(1e-4, 1, per_decade)
    assert len(rates) == 4 * per_decade + 1
    assert (rates[0], rates[-1]) == (1e-4, 1)
    ratios = rates[1:] / rates[:-1]
    assert ratios.min() > 1
    assert ratios.max() < (10 ** (1 / per_decade)) ** 2
    assert {1e-3, 2e-3, 5e-3} <= set(rates)
    assert all(len(f"{rate:.0e}".split("e")[0]) == 1 for rate in rates)
    assert all(float(f"{rate:.2g}") == rate for rate in rates)


def test_round_rates_that_cannot_be_are_refused():
    for arguments, message in (
        ((0, 1), "low and high must be rising numbers above 0, were 0 and 1"),
        ((1, 0.1), "low and high must be rising numbers above 0"),
        ((0.1, 1, 7), r"per_decade must be one of \[3, 6, 10, 20\], was 7"),
        ((0.21, 0.23, 3), "low and high must have a round number between"),
    ):
        with pytest.raises(ValueError, match=message):
            round_rates(*arguments)
