"""Reading a cube: from labelled runs to the numbers that a sentence needs.

Each function takes labelled arrays and returns labelled arrays, so that one call serves a whole
grid.  Two rules hold in all of them.  A run without a value has diverged and counts as the worst;
it is never left out.  What is better, low or high, is said and not guessed: losses need no word,
an accuracy or a return needs ``better="high"`` or the attribute ``better`` of its variable.

Nothing here trains or draws; `lrcourse.plots` and `lrcourse.explore` do.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lrcourse._checks import choice, count, instance, number
from lrcourse._tables import WORDS, Better, Table, table

__all__ = [
    "Table", "best", "final", "first_reached", "good_range", "judged_elsewhere", "middle",
    "off_plan", "quartiles", "table", "updates_until", "worst_of",
]  # fmt: skip

Array = NDArray[np.float64]

TIMES = ("step", "eval_step", "updates", "episode", "epoch")  # what dimensions of time are called


def quartiles(rows: ArrayLike, worst: float = 1.0) -> tuple[Array, Array, Array]:
    r"""Return the lower quartile, the median and the upper quartile over the first axis.

    With the n values sorted, :math:`v_0 \le \dots \le v_{n-1}`, the quantile q stands at
    :math:`(n - 1)\,q` and is interpolated between its two neighbours.  A value that is not finite
    is one of a diverged run: it is sorted behind the worst.  A median is therefore infinite if half
    of the runs or more have diverged.

    Parameters
    ----------
    rows : array_like of float, shape (n, ...)
        One run in each row.
    worst : float, default 1.0
        1 where high values are bad, as losses are; -1 where low ones are, as accuracies.

    Returns
    -------
    tuple of three arrays of float, shape (...)

    Raises
    ------
    ValueError
        If there is no row.

    Examples
    --------
    >>> [q.tolist() for q in quartiles([[1.0, 1.0], [2.0, 2.0], [3.0, np.nan]])]
    [[1.5, 1.5], [2.0, 2.0], [2.5, inf]]
    """
    values = np.asarray(rows, dtype=float)
    if values.ndim == 0 or len(values) == 0:
        raise ValueError(f"rows must hold at least one run, had shape {values.shape}")
    ranked = np.sort(np.where(np.isfinite(values), values, worst * np.inf), axis=0)
    if len(ranked) == 1:
        return ranked[0], ranked[0], ranked[0]

    def quantile(q: float) -> Array:
        at = (len(ranked) - 1) * q
        a, b = ranked[math.floor(at)], ranked[math.ceil(at)]
        if at % 1 == 0:
            return np.asarray(a)
        with np.errstate(invalid="ignore", over="ignore"):
            between = a + (b - a) * (at % 1)
        beyond = np.where(np.isfinite(a), b, a)  # between a value and no value there is none
        return np.asarray(np.where(np.isfinite(a) & np.isfinite(b), between, beyond))

    return quantile(0.25), quantile(0.5), quantile(0.75)


def worst_of(values: xr.DataArray, better: Better | None = None) -> int:
    """Return 1 where high values are bad, as losses are, and -1 where low ones are.

    Parameters
    ----------
    values : DataArray
        What is judged; its attribute ``better`` is read if `better` is not given.
    better : {"low", "high"}, optional
        Which values are good.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If nothing says what is better for a variable whose name speaks of an accuracy, a return or
        a reward.

    Examples
    --------
    >>> accuracy = xr.DataArray([0.9, 0.8], dims="seed", name="val_accuracy")
    >>> worst_of(accuracy, better="high"), worst_of(1 - accuracy, better="low")
    (-1, 1)
    >>> worst_of(accuracy)
    Traceback (most recent call last):
        ...
    ValueError: better must be 'low' or 'high' for 'val_accuracy', was not said
    """
    said = values.attrs.get("better") if better is None else better
    if said is None:
        name = str(values.name)
        if any(word in name for word in ("accuracy", "return", "reward")):
            raise ValueError(f"better must be 'low' or 'high' for {name!r}, was not said")
        return 1
    return -1 if choice("better", said, ["low", "high"]) == "high" else 1


def middle(
    runs: xr.DataArray, over: str | Sequence[str] = "seed", better: Better | None = None
) -> xr.DataArray:
    """Return the median run at every place of a grid; a diverged run counts as the worst.

    The median is that of `quartiles`: infinite where the middle run has diverged, minus infinity
    where high values are good.

    Parameters
    ----------
    runs : DataArray
        Any variable of a cube.
    over : str or sequence of str, default "seed"
        The dimensions that hold repetitions; they are gone afterwards.
    better : {"low", "high"}, optional
        Which values are good, see `worst_of`.

    Returns
    -------
    DataArray
        Over the other dimensions, with the name and attributes of `runs`.

    Raises
    ------
    ValueError
        If a dimension is missing.

    Examples
    --------
    >>> loss = xr.DataArray([[1.0, 3.0, np.nan], [2.0, np.nan, np.nan]], dims=["lr", "seed"])
    >>> middle(loss).values
    array([ 3., inf])
    """
    dims = [over] if isinstance(over, str) else list(over)
    _labelled("runs", runs, dims)
    rest = [d for d in runs.dims if d not in dims]
    array = runs.transpose(*dims, *rest)
    rows = array.values.reshape(-1, *(runs.sizes[d] for d in rest))
    mid = quartiles(rows, worst_of(runs, better))[1]
    coords = {name: c for name, c in runs.coords.items() if not set(dims) & set(c.dims)}
    return xr.DataArray(mid, coords, rest, runs.name, runs.attrs)


def final(runs: xr.Dataset, name: str = "val_loss", last: int = 1) -> xr.DataArray:
    """Return what a variable ends at: the mean of its last records, NaN for a diverged run.

    Parameters
    ----------
    runs : Dataset
        A cube, as `lrcourse.sweep` returns it.
    name : str, default "val_loss"
        The variable, which must have a dimension of time such as ``step`` or ``eval_step``.
    last : int, default 1
        The number of records at the end over which to take the mean.

    Returns
    -------
    DataArray
        Over the other dimensions, with the attributes of the variable.

    Raises
    ------
    ValueError
        If there is no such variable, or it has no dimension of time, or fewer than `last` records.

    Examples
    --------
    >>> loss = [[4.0, 2.0, 1.0], [4.0, 9.0, np.nan]]
    >>> runs = xr.Dataset({"loss": (("lr", "step"), loss), "diverged_at": ("lr", [-1, 2])})
    >>> final(runs, "loss").values, final(runs, "loss", last=2).values
    (array([ 1., nan]), array([1.5, nan]))
    """
    instance("runs", runs, xr.Dataset, "a Dataset such as a sweep returns")
    if name not in runs.data_vars:
        has = ", ".join(map(str, runs.data_vars))
        raise ValueError(f"name must be a variable of runs ({has}), was {name!r}")
    array = runs[name]
    along = _time(name, array)
    last = count("last", last, low=1)
    if last > array.sizes[along]:
        raise ValueError(f"last must be at most {array.sizes[along]}, the records, was {last}")
    tail = array.isel({along: slice(-last, None)}).astype(float)
    ends = tail.where(np.isfinite(tail)).mean(along, skipna=False)
    if "diverged_at" in runs and set(runs.diverged_at.dims) <= set(ends.dims):
        ends = ends.where(runs.diverged_at < 0)
    return ends.rename(name).assign_attrs(array.attrs)


def best(values: xr.DataArray, along: str = "lr", better: Better | None = None) -> xr.Dataset:
    """Return the best value along a dimension, where it stands, and whether that is the edge.

    A best rate at the edge of its grid says that the grid is too narrow: widen it.  Of equal values
    the first is taken; a value that is not finite counts as the worst.

    Parameters
    ----------
    values : DataArray
        For example ``middle(final(runs))``.
    along : str, default "lr"
        The dimension to choose from.
    better : {"low", "high"}, optional
        Which values are good, see `worst_of`.

    Returns
    -------
    Dataset
        ``value``; a variable named like `along`, which holds its label there; ``at_edge``, True at
        the lowest or highest number of a grid.  Where no run has a value, ``value`` is infinite,
        the number NaN (or the label empty) and ``at_edge`` False.

    Raises
    ------
    ValueError
        If the dimension is missing.

    Examples
    --------
    >>> loss = xr.DataArray([3.0, 1.0, np.inf], {"lr": [0.1, 0.3, 1.0]})
    >>> found = best(loss)
    >>> found.value.item(), found.lr.item(), found.at_edge.item()
    (1.0, 0.3, False)
    """
    _labelled("values", values, [along])
    worst = worst_of(values, better)
    rest = [d for d in values.dims if d != along]
    cost, label = _costs(values, along, worst), np.asarray(values[along].values)
    at = cost.argmin(axis=-1)
    found = np.isfinite(cost.min(axis=-1))
    if np.issubdtype(label.dtype, np.number):
        place = np.where(found, label[at], np.nan) if not found.all() else label[at]
        edge = found & np.isin(label[at], [label.min(), label.max()])
    else:
        place = np.where(found, label[at], "") if label.dtype.kind == "U" else label[at]
        edge = np.zeros(at.shape, dtype=bool)
    top = worst * cost.min(axis=-1)
    coords = {name: c for name, c in values.coords.items() if along not in (name, *c.dims)}
    attrs = values[along].attrs
    return xr.Dataset(
        {"value": (rest, top, values.attrs), along: (rest, place, attrs), "at_edge": (rest, edge)},
        coords,
    )


def judged_elsewhere(
    values: xr.DataArray,
    losses: xr.DataArray | None = None,
    *,
    along: str | Sequence[str] = "lr",
) -> xr.DataArray:
    """Return what runs come to at their best settings, on data that did not choose the settings.

    Each half of the validation data chooses the settings with the lowest median loss of the seeds,
    and the other half judges the runs there.  The two results are averaged.

    Parameters
    ----------
    values : DataArray over half (of size 2), seed, the dimensions in `along`, and others
        What is judged.
    losses : DataArray over the same dimensions, optional
        What chooses; `values` themselves if not given.
    along : str or sequence of str, default "lr"
        The dimensions of the settings.

    Returns
    -------
    DataArray
        Over seed and the rest; NaN where one of the chosen runs has no value.

    Raises
    ------
    ValueError
        If ``half`` has not two places, or a dimension of `along` is missing.

    Examples
    --------
    >>> dims = {"lr": [0.1, 0.2], "seed": [0], "half": [0, 1]}
    >>> losses = xr.DataArray([[[1.0, 4.0]], [[2.0, 3.0]]], dims)
    >>> judged_elsewhere(losses).values  # half 0 chooses 0.1: 4 on half 1; half 1 chooses 0.2: 2
    array([3.])
    """
    losses = values if losses is None else losses
    settings = [along] if isinstance(along, str) else list(along)
    if missing := [d for d in ("half", *settings) if d not in losses.dims or d not in values.dims]:
        raise ValueError(f"values and losses must have the dimension {missing[0]}")
    if losses.sizes["half"] != 2:
        raise ValueError(f"half must have two places, had {losses.sizes['half']}")
    ends = []
    for chooses, judges in ((0, 1), (1, 0)):
        medians = middle(losses.isel(half=chooses, drop=True), better="low")
        there = values.isel(half=judges, drop=True).isel(medians.argmin(settings))
        ends.append(there.drop_vars(settings, errors="ignore"))
    mean: xr.DataArray = (ends[0] + ends[1]) / 2
    return mean


def good_range(
    values: xr.DataArray,
    within: float = 1.1,
    along: str = "lr",
    better: Better | None = None,
    *,
    level: float | xr.DataArray | None = None,
    interpolate: bool = False,
) -> xr.Dataset:
    r"""Return the rates around the best one that are nearly as good, and their span in decades.

    The range is the largest run of neighbours that holds the best rate and in which every value is
    good: at most `within` times the best, or at least the best divided by `within` where high is
    better.  Its width is :math:`\log_{10}(\text{high} / \text{low})` decades.

    Parameters
    ----------
    values : DataArray
        For example ``middle(final(runs))``.
    within : float, default 1.1
        The factor, at least 1.
    along : str, default "lr"
        The dimension of the rates.
    better : {"low", "high"}, optional
        Which values are good, see `worst_of`.
    level : float or DataArray, optional
        A fixed bar in place of `within`, for example 1.1 times the best of another method.
    interpolate : bool, default False
        Whether the ends lie where the values cross the bar, on straight lines between neighbours
        in log-log axes, and not on the last good rate of the grid.  No line leads to a diverged
        run.

    Returns
    -------
    Dataset
        ``low``, ``high``, ``decades``, and ``at_edge``: True if the range reaches an end of the
        grid and may go on beyond it.  NaN and False where even the best misses the bar.

    Raises
    ------
    ValueError
        If the dimension is missing, or if a factor or a logarithm is asked of values below 0.

    Examples
    --------
    >>> loss = xr.DataArray([1.5, 1.0, 1.05, 4.0], {"lr": [0.01, 0.1, 1.0, 10.0]})
    >>> found = good_range(loss)
    >>> found.low.item(), found.high.item(), found.decades.item(), found.at_edge.item()
    (0.1, 1.0, 1.0, False)
    >>> good_range(loss, level=1.5, interpolate=True).high.item().__round__(2)
    1.85
    """
    _labelled("values", values, [along])
    within = number("within", within, low=1)
    worst = worst_of(values, better)
    x = np.asarray(values[along].values)
    if not np.issubdtype(x.dtype, np.number):
        raise ValueError(f"along must be a dimension of numbers, {along} has {x.dtype}")
    order = np.argsort(x)
    x, cost = x[order].astype(float), _costs(values, along, worst)[..., order]
    if level is None:
        top = worst * cost.min(axis=-1)
        if (least := top[np.isfinite(top)].min(initial=0)) < 0:
            raise ValueError(f"within needs values >= 0, the best was {least:g}: give level")
        bar = np.asarray(worst * top * (within if worst > 0 else 1 / within))
    else:
        rest = values.isel({along: 0}, drop=True)
        wide = level if isinstance(level, xr.DataArray) else xr.DataArray(number("level", level))
        if extra := [str(dim) for dim in wide.dims if dim not in rest.dims]:
            raise ValueError(f"level must have no dimension but those of values, had {extra[0]!r}")
        bar = worst * np.asarray(wide.broadcast_like(rest).transpose(*rest.dims).values, float)
    if interpolate and (x.min() <= 0 or (worst * cost[np.isfinite(cost)] <= 0).any()):
        raise ValueError(f"interpolate needs values and {along} > 0, some were not")
    ends = np.array(
        [
            _ends(x, row, top, worst if interpolate else 0)
            for row, top in zip(cost.reshape(-1, len(x)), bar.ravel(), strict=True)
        ]
    ).reshape(*bar.shape, 2)
    low, high = ends[..., 0], ends[..., 1]
    with np.errstate(all="ignore"):
        decades = np.where(low > 0, np.log10(high / low), np.nan)
    dims = [d for d in values.dims if d != along]
    coords = {name: c for name, c in values.coords.items() if along not in (name, *c.dims)}
    attrs = values[along].attrs
    return xr.Dataset(
        {
            "low": (dims, low, attrs),
            "high": (dims, high, attrs),
            "decades": (dims, decades),
            "at_edge": (dims, (low == x[0]) | (high == x[-1])),
        },
        coords,
    )


def _ends(x: Array, cost: Array, bar: float, interpolate: int) -> tuple[float, float]:
    """The first and last place around the least cost up to which no cost is above the bar."""
    k = int(cost.argmin())
    if not (np.isfinite(cost[k]) and cost[k] <= bar):
        return math.nan, math.nan
    bad = np.flatnonzero(~((cost <= bar) & np.isfinite(cost)))
    low, high = bad[bad < k].max(initial=-1) + 1, bad[bad > k].min(initial=len(x)) - 1

    def crossing(i: int, j: int) -> float:
        if not interpolate or not 0 <= j < len(x) or not np.isfinite(cost[j]):
            return float(x[i])
        y0, y1, y = (math.log(interpolate * v) for v in (cost[i], cost[j], bar))
        return float(x[i] * (x[j] / x[i]) ** ((y - y0) / (y1 - y0)))

    return crossing(low, low - 1), crossing(high, high + 1)


def first_reached(
    values: xr.DataArray,
    level: float | xr.DataArray,
    along: str | None = None,
    better: Better | None = None,
) -> xr.DataArray:
    """Return the first place along a dimension at which values reach a level; NaN if they never do.

    Parameters
    ----------
    values : DataArray
        For example the loss of many runs.
    level : float or DataArray
        Reached by a value at most as high, or at least as high where high is better.
    along : str, optional
        The dimension; without it, the one of time, such as ``step`` or ``eval_step``.
    better : {"low", "high"}, optional
        Which values are good, see `worst_of`.

    Returns
    -------
    DataArray of float
        The coordinate, over the other dimensions.

    Raises
    ------
    ValueError
        If the dimension is missing, or is not one of numbers.

    Examples
    --------
    >>> loss = xr.DataArray([[4.0, 2.0, 1.0], [4.0, 4.0, np.nan]], dims=["lr", "step"])
    >>> first_reached(loss, 2.0).values
    array([ 1., nan])
    """
    instance("values", values, xr.DataArray, "a DataArray such as runs.val_loss")
    dim = _time("values", values) if along is None else along
    _labelled("values", values, [dim])
    place = values[dim]
    if not np.issubdtype(place.dtype, np.number):
        raise ValueError(f"along must be a dimension of numbers, {dim} has {place.dtype}")
    if not isinstance(level, xr.DataArray):
        level = xr.DataArray(number("level", level))
    there = values <= level if worst_of(values, better) > 0 else values >= level
    at = place.astype(float).isel({dim: there.argmax(dim)}).reset_coords(drop=True)
    kept = at.assign_coords({name: c for name, c in there.coords.items() if dim not in c.dims})
    words = place.attrs.get("long_name", WORDS.get(dim, dim.replace("_", " ")))
    return kept.where(there.any(dim)).rename("first").assign_attrs(long_name=f"first {words}")


def off_plan(runs: xr.Dataset, over: str = "seed") -> xr.DataArray:
    r"""Return how many updates used another rate than planned, or another momentum.

    Two rates are another where they differ by more than :math:`10^{-9}` of the highest planned one.

    Parameters
    ----------
    runs : Dataset over step, and others
        With ``used`` and ``planned``, and ``used_momentum`` and ``planned_momentum`` where the
        momentum was planned too.
    over : str, default "seed"
        An update counts once if it left the plan in any place of this dimension.

    Returns
    -------
    DataArray of int
        Over the rest.

    Raises
    ------
    ValueError
        If ``used``, ``planned`` or ``step`` is missing.

    Examples
    --------
    >>> rates = {"used": ("step", [0.1, 0.0]), "planned": ("step", [0.1, 0.05])}
    >>> off_plan(xr.Dataset(rates)).item()
    1
    """
    if missing := {"used", "planned"} - set(runs):
        raise ValueError(f"runs must have used and planned, {sorted(missing)[0]} is missing")
    if "step" not in runs.used.dims:
        raise ValueError(f"used must have the dimension step, has {list(runs.used.dims)}")
    apart = abs(runs.used - runs.planned) > 1e-9 * runs.planned.max()
    if {"used_momentum", "planned_momentum"} <= set(runs):
        apart = apart | (abs(runs.used_momentum - runs.planned_momentum) > 1e-9)
    off: xr.DataArray = apart.any([over] if over in apart.dims else []).sum("step")
    return off


def updates_until(values: xr.DataArray, share: float, along: str = "step") -> xr.DataArray:
    """Return the number of updates after which at most a share of the first value is left.

    Parameters
    ----------
    values : DataArray
        Losses or distances, which start at 0 or above.
    share : float
        Above 0; half of it is left at 0.5.
    along : str, default "step"
        The dimension that counts updates.

    Returns
    -------
    DataArray of float
        NaN for a run that never gets there.

    Raises
    ------
    ValueError
        If the dimension is missing, or a first value is below 0.

    Examples
    --------
    >>> distance = xr.DataArray([8.0, 4.0, 2.0, 1.0], dims="step")
    >>> updates_until(distance, 0.25).item()
    2.0
    """
    _labelled("values", values, [along])
    share = number("share", share, low=0, open_low=True)
    first = values.isel({along: 0}, drop=True)
    if bool((first < 0).any()):
        raise ValueError(f"values must start at 0 or above, the least was {float(first.min()):g}")
    reached = first_reached(values, share * first, along, better="low")
    return reached.rename("updates").assign_attrs(long_name=f"updates until {share:g} is left")


def _labelled(name: str, values: Any, dims: Iterable[Hashable]) -> None:
    """Refuse what is no DataArray, or lacks one of the dimensions."""
    instance(name, values, xr.DataArray, "a DataArray such as runs.val_loss")
    for dim in dims:
        if dim not in values.dims:
            has = ", ".join(map(str, values.dims)) or "none"
            raise ValueError(f"{name} must have the dimension {dim!r}, had {has}")


def _time(name: str, values: xr.DataArray) -> str:
    """The one dimension of time, or an error that says which there are."""
    found = [dim for dim in TIMES if dim in values.dims]
    if len(found) != 1:
        has = ", ".join(map(str, values.dims)) or "none"
        raise ValueError(f"{name} must have one dimension of {', '.join(TIMES)}, had {has}")
    return found[0]


def _costs(values: xr.DataArray, along: str, worst: int) -> Array:
    """Values with `along` as last axis, turned so that low is good; a diverged run is infinite."""
    array = np.asarray(values.transpose(..., along).values, dtype=float)
    return np.where(np.isfinite(array), worst * array, np.inf)
