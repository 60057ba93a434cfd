"""What the front page says of its runs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lrcourse.explore.words import each_state
from lrcourse.results import best

CHANCE = 10.0  # percent of ten digits that guessing reads


def said_of_accuracy(accuracy: xr.DataArray) -> xr.DataArray:
    """Say in words what each learning rate has led to.

    Parameters
    ----------
    accuracy : DataArray
        Median accuracy in percent over ``lr``, and further dimensions of which each is compared by
        itself; NaN where the median run diverged.

    Returns
    -------
    DataArray of str
        A sentence for each place.

    Examples
    --------
    >>> rates = {"lr": [0.01, 0.1, 1, 5, 10]}
    >>> accuracy = xr.DataArray([20.0, 95, 96, 60, 11], dims="lr", coords=rates)
    >>> print(*said_of_accuracy(accuracy).values, sep="\\n")
    Too slow: when the run ends, the network reads 20 % of the digits; the best rate reads 96 %.
    As good as the best, give or take one in fifty: 95 % of the digits are read.
    The best of the 5 rates: 96 % of the digits are read.
    Too high: the network reads 60 % of the digits; the best rate reads 96 %.
    Beyond the cliff: 11 % of the digits are read, hardly more than by guessing.
    """
    top = best(accuracy, better="high").value
    highest = accuracy.lr.where(accuracy == top).min("lr")

    def words(rate: float, read: float, most: float, first: float) -> str:
        digits = f"{read:.0f} % of the digits"
        instead = f"the best rate reads {most:.0f} %"
        if read == most:
            return f"The best of the {accuracy.lr.size} rates: {digits} are read."
        if read >= most - 2:
            return f"As good as the best, give or take one in fifty: {digits} are read."
        if rate < first:
            return f"Too slow: when the run ends, the network reads {digits}; {instead}."
        if read > 2 * CHANCE:
            return f"Too high: the network reads {digits}; {instead}."
        if np.isnan(read):
            return "Beyond the cliff: most of the runs diverge."
        return f"Beyond the cliff: {digits} are read, hardly more than by guessing."

    return each_state(words, accuracy.lr, accuracy, top, highest)
