"""The house style of the course's still figures, and the few plots that are used twice.

The palette is the explorer's (`explore.css` repeats it as custom properties): the Okabe–Ito hues,
darkened until each stands 3:1 against white.  Colour is never the only difference.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import xarray as xr
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lrcourse._checks import instance
from lrcourse.results import quartiles, worst_of

__all__ = ["band", "style", "use"]

PALETTE = ("#0072b2", "#d55e00", "#00805c", "#a5578b", "#8a6d00", "#3f8fc4")
INK = "#1f2328"
MUTED = "#5b6470"
RULE = "#d9dee4"

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.figsize": (6.4, 3.6),
    "font.size": 10,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.left": False,
}


def style() -> AbstractContextManager[None]:
    """Return the house style, for a ``with`` block; ``rcParams`` are as before afterwards.

    Returns
    -------
    context manager

    Examples
    --------
    >>> with style():
    ...     mpl.rcParams["axes.spines.top"]
    False
    """
    return mpl.rc_context(STYLE)


def use() -> None:
    """Put on the house style for a whole notebook.

    Examples
    --------
    >>> with mpl.rc_context():
    ...     use()
    ...     mpl.rcParams["axes.titleweight"]
    'bold'
    """
    mpl.rcParams.update(STYLE)


def band(
    ax: Axes,
    runs: xr.DataArray,
    x: str = "step",
    over: str = "seed",
    better: Literal["low", "high"] | None = None,
    **line: Any,
) -> Line2D:
    """Draw the median of runs, with a band between their quartiles.

    A run without a value counts as the worst one, as in `lrcourse.results.middle`, so a curve ends
    where half of its runs have diverged.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    runs : DataArray
        It has the dimension `x`, and `over` if there is more than one run.
    x : str, default "step"
        The dimension along the axis.
    over : str, default "seed"
        The dimension that holds repetitions.
    better : {"low", "high"}, optional
        Which values are good, as in `lrcourse.results.worst_of`.
    **line
        Passed on to ``ax.plot``.

    Returns
    -------
    matplotlib Line2D
        The line of the median.

    Raises
    ------
    TypeError
        If `runs` is no DataArray.
    ValueError
        If it lacks `x`, or has a dimension besides these two.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> runs = xr.DataArray(np.ones((3, 4)), dims=["seed", "step"])
    >>> band(Figure().subplots(), runs, label="loss").get_ydata().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    instance("runs", runs, xr.DataArray, "a DataArray such as runs.val_loss")
    if x not in runs.dims or set(runs.dims) - {x, over}:
        raise ValueError(f"runs must have dimensions {x} and {over}, had {runs.dims}")
    rows = runs.transpose(..., x).values.reshape(-1, runs.sizes[x])
    low, mid, high = quartiles(rows, worst_of(runs, better))
    place = runs[x].values
    (drawn,) = ax.plot(place, np.where(np.isfinite(mid), mid, np.nan), **line)
    if len(rows) > 1:
        seen = np.isfinite(low) & np.isfinite(high)
        ax.fill_between(place, low, high, where=seen, color=drawn.get_color(), alpha=0.18, lw=0)
    return drawn
