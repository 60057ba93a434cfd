"""How runs travel: as float32 or in 16 bits, each once; medians and axes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from explorer_cubes import regression, unpacked
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lrcourse.explore import Lines, explore
from lrcourse.explore.pack import Packed, extent, quantised
from lrcourse.results import quartiles


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


def test_equal_arrays_travel_once_and_constant_dimensions_not_at_all(runs):
    twice = runs.assign(again=runs.loss, rate=runs.loss * 0 + runs.lr)
    one = explore(runs, y="loss", x="step").view
    two = explore(twice, Lines("loss"), Lines("again")).view
    assert len(two.data) == len(one.data)
    rate = explore(twice.fillna(0), y="rate").view.spec["arrays"]["rate"]
    assert rate["dims"] == ["lr", "momentum", "seed", "step"] or rate["size"] < runs.loss.size
    flat = explore(runs.assign(rate=xr.zeros_like(runs.loss) + runs.lr), y="rate")
    assert flat.view.spec["arrays"]["rate"]["dims"] == ["lr"]


def test_a_diverged_run_counts_as_the_worst():
    rows = np.array([[0.9, 0.9], [0.8, np.nan], [0.7, np.inf]])
    assert quartiles(rows)[1].tolist() == [0.8, np.inf]
    assert quartiles(rows, worst=-1)[1].tolist() == [0.8, -np.inf]
    ds = xr.Dataset({"val_accuracy": (("seed", "step"), rows), "loss": (("seed", "step"), rows)})
    assert (Packed(ds, "seed").worst("val_accuracy"), Packed(ds, "seed").worst("loss")) == (-1, 1)
    ds.val_accuracy.attrs["better"] = "low"
    assert Packed(ds, "seed").worst("val_accuracy") == 1


def test_axes_ignore_runs_that_ran_away():
    rows = np.array([[2.0, 1.0], [2.0, 1.5], [2.0, 1e30], [2.0, np.nan]])
    low, high = extent(rows, log=False)
    assert low < 1
    assert 2 < high < 2.2
    assert extent(rows - 5, log=True) is None
    assert extent(np.full((2, 3), np.nan), log=False) == (0.0, 1.0)
