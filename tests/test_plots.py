"""The house style leaves nothing behind; a band shows what the medians say."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lrcourse import plots
from lrcourse.results import middle, quartiles

NAN = np.nan
RUNS = xr.DataArray(
    [[4.0, 2.0, 1.0], [4.0, 3.0, NAN], [4.0, 5.0, NAN]],
    {"seed": range(3), "step": [0, 10, 20]},
    name="loss",
)


def drawn(runs, **options):
    ax = Figure().subplots()
    return plots.band(ax, runs, **options), ax


def test_the_style_is_gone_after_its_block():
    before = dict(mpl.rcParams)
    with plots.style():
        assert mpl.rcParams["figure.figsize"] == [6.4, 3.6]
    assert dict(mpl.rcParams) == before


def test_every_colour_stands_three_to_one_against_white():
    def luminance(colour):
        rgb = np.array(to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    assert all(1.05 / (luminance(c) + 0.05) >= 3 for c in [*plots.PALETTE, plots.MUTED, plots.INK])


def test_a_band_draws_the_middle_run_and_ends_where_half_have_diverged():
    line, ax = drawn(RUNS, label="three runs", color="k")
    np.testing.assert_array_equal(line.get_xdata(), [0, 10, 20])
    np.testing.assert_array_equal(line.get_ydata(), [4, 3, NAN])
    np.testing.assert_array_equal(middle(RUNS), [4, 3, np.inf])
    assert (line.get_label(), line.get_color()) == ("three runs", "k")
    corners = ax.collections[0].get_paths()[0].vertices
    low, _, high = quartiles(RUNS.values)
    assert {tuple(v) for v in corners} >= {(10, low[1]), (10, high[1])}


def test_the_order_of_dimensions_does_not_matter():
    np.testing.assert_array_equal(drawn(RUNS.T)[0].get_ydata(), drawn(RUNS)[0].get_ydata())


def test_one_run_has_no_band():
    line, ax = drawn(RUNS.isel(seed=0, drop=True))
    np.testing.assert_array_equal(line.get_ydata(), [4, 2, 1])
    assert not ax.collections


def test_a_diverged_accuracy_is_the_lowest():
    accuracy = xr.DataArray(
        [[0.9, 0.9], [0.8, NAN], [0.7, NAN]], dims=["seed", "step"], name="val_accuracy"
    )
    line, _ = drawn(accuracy[:, :1], better="high")
    np.testing.assert_array_equal(line.get_ydata(), [0.8])
    assert np.isnan(drawn(accuracy, better="high")[0].get_ydata()[1])
    with pytest.raises(ValueError, match="better must be 'low' or 'high' for 'val_accuracy'"):
        drawn(accuracy)


def test_other_dimensions_are_refused_in_words():
    with pytest.raises(ValueError, match="runs must have dimensions step and seed, had"):
        drawn(RUNS.expand_dims(lr=[0.1, 0.2]))
    with pytest.raises(ValueError, match="runs must have dimensions epoch and seed, had"):
        drawn(RUNS, x="epoch")
    with pytest.raises(TypeError, match="runs must be a DataArray"):
        drawn(RUNS.values)
