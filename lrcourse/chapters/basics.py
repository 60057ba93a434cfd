"""What the chapter on the basics needs and no other: a line, landscapes, words and exercises.

The functions whose names begin with ``said`` put in words what the runs of a figure mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lrcourse._checks import count, number
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state
from lrcourse.optimizers import descents
from lrcourse.results import best, final, first_reached, middle, updates_until
from lrcourse.surfaces import Bumpy, Surface, least_squares

if TYPE_CHECKING:
    from lrcourse.training import History

Array = NDArray[np.float64]

NAMES = ["wide", "deep", "sharp"]  # the minima of `Bumpy`, from the left
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of a limit 2/curvature


def random_landscape(seed: int, wells: int = 5) -> Bumpy:
    """Return a loss with wells of random place, depth and width in a shallow bowl.

    The three draws know nothing of each other: a deep well is as likely to be narrow as to be wide.

    Parameters
    ----------
    seed : int
        Decides all three.
    wells : int, default 5
        How many, spread from -4 to 4; two that overlap may share a minimum.

    Returns
    -------
    Bumpy

    Examples
    --------
    >>> np.ravel(random_landscape(0).minima).round(1)
    array([-3.8, -2.2, -0.4,  1.6,  4.2])
    """
    rng, wells = np.random.default_rng(count("seed", seed)), count("wells", wells, low=1)
    place = np.linspace(-4, 4, wells) + rng.uniform(-0.4, 0.4, wells)
    depth = rng.uniform(0.5, 2, wells)
    width = np.exp(rng.uniform(np.log(0.15), np.log(0.8), wells))
    return Bumpy(list(zip(place, depth, width, strict=True)), curvature=0.1)


def minimum_reached(surface: Surface, runs: xr.Dataset) -> xr.DataArray:
    """Return the minimum that each descent in one dimension has settled in.

    It has settled if its last ten points lie within 0.001 of one minimum.

    Parameters
    ----------
    surface : Surface
        It lists its ``minima``.
    runs : Dataset
        What `lrcourse.descents` made on it.

    Returns
    -------
    DataArray of int
        The number of the minimum from the left, from 0; -1 for a descent that has settled in none.

    Examples
    --------
    >>> from lrcourse.optimizers import descents
    >>> bumpy = Bumpy()
    >>> runs = descents(bumpy, lr=[0.05, 0.3, 1.0, 2.0], start=4.0, steps=300)
    >>> minimum_reached(bumpy, runs).values
    array([ 2,  1, -1,  0])
    """
    minima = xr.DataArray(np.ravel(surface.minima), dims="minimum")
    tail = runs.x0.isel(step=slice(-10, None))
    nearest: xr.DataArray = abs(tail.isel(step=-1) - minima).fillna(np.inf).argmin("minimum")
    settled = abs(tail - minima[nearest]).max("step", skipna=False) < 1e-3
    reached: xr.DataArray = nearest.where(settled, -1)
    return reached


def basin_of(surface: Surface, x: ArrayLike) -> xr.DataArray:
    """Return in which basin of a loss in one dimension each start lies.

    Parameters
    ----------
    surface : Surface
        Its ridges are looked for within its bounds.
    x : array_like of float, shape (n,)
        The starts.

    Returns
    -------
    DataArray of int, dimension ``start``
        The number of ridges to the left of each, which is that of the minimum of its basin.

    Examples
    --------
    >>> basin_of(Bumpy(), [-4.0, 0.0, 4.0]).values
    array([0, 1, 2])
    """
    ground = surface.grid(4001)
    ridges = np.flatnonzero(np.diff(np.sign(np.diff(ground))) < 0) + 1
    return xr.DataArray(np.searchsorted(ground.x0.values[ridges], x), dims="start")


def train_line(lr: float, *, seed: int = 0, unit: float = 1.0, steps: int = 100) -> History:
    """Fit a line to `lrcourse.data.line` in PyTorch, on all points at once.

    Parameters
    ----------
    lr : float
        The rate.
    seed : int
        Of the noise in the points and of the start.
    unit : float
        What the inputs are divided by, above 0.
    steps : int
        The number of updates.

    Returns
    -------
    History
        With the measure ``errors``: how far the weight and the bias are from their best values.

    Examples
    --------
    >>> train_line(0.5, unit=5.83, steps=3).measures["errors"].round(2).tolist()[-1]
    [0.0, 0.0]
    """
    from dataclasses import replace

    from lrcourse.data import line
    from lrcourse.models import linear
    from lrcourse.training import fit

    unit, data = number("unit", unit, low=0, open_low=True), line(seed=seed)
    data = replace(data, x_train=data.x_train / unit, x_val=data.x_val / unit)
    target = least_squares(data.x_train[:, 0], data.y_train[:, 0]).centre

    def errors(model: Any, data: Any) -> list[float]:
        return [abs(p.item() - t) for p, t in zip(model.parameters(), target, strict=True)]

    plan: dict[str, Any] = {"steps": steps, "batch_size": None, "eval_every": 1, "progress": False}
    return fit(linear, data, lr=lr, seed=seed, measures={"errors": errors}, **plan)


def typical(losses: xr.DataArray) -> float | str:
    """Return the median of losses, or what a computer calls it where it has no number.

    Parameters
    ----------
    losses : DataArray
        One for each seed.

    Returns
    -------
    float or str

    Examples
    --------
    >>> typical(xr.DataArray([1.0, 3.0, 2.0])), typical(xr.DataArray([np.inf, np.inf, 2.0]))
    (2.0, 'infinite')
    """
    ranked = np.sort(losses.values.ravel())  # NaN last
    middle = float(ranked[len(ranked) // 2])
    return "NaN" if np.isnan(middle) else "infinite" if np.isinf(middle) else middle


def search(landscape: int, relative: ArrayLike = SHARES) -> xr.Dataset:
    """Return how often descents find the deepest minimum of a random landscape.

    They start at 41 places from -5 to 5 and make 600 updates.

    Parameters
    ----------
    landscape : int
        The seed of `random_landscape`.
    relative : array_like of float, default ``SHARES``
        The rates, in units of the limit 2/curvature of the deepest minimum.

    Returns
    -------
    Dataset
        ``found``, the share of starts at each rate; ``at_home``, the share that lies in the basin
        of the deepest minimum; ``flatter``, how many of the other minima are flatter than that one.

    Examples
    --------
    >>> found = search(17, [0.1, 0.3, 0.9, 1.5])
    >>> found.found.values.round(2), found.at_home.item().__round__(2), found.flatter.item()
    (array([0.12, 0.15, 0.15, 0.  ]), 0.15, 3)
    """
    world, starts = random_landscape(landscape), np.linspace(-5, 5, 41)
    sharp = xr.DataArray(world.sharpness(world.minima), dims="minimum")
    deepest = int(world.value(world.minima).argmin())
    rates = np.asarray(relative, float) * 2 / float(sharp[deepest])
    reached = minimum_reached(world, descents(world, lr=rates, start=starts, steps=600))
    found = (reached == deepest).mean("start").rename(lr="relative")
    return xr.Dataset(
        {
            "found": found.assign_coords(relative=np.asarray(relative, float)),
            "at_home": (basin_of(world, starts) == deepest).mean(),
            "flatter": (sharp < sharp[deepest]).sum(),
        }
    )


def gap_to_solver(columns: ArrayLike, target: ArrayLike) -> dict[str, float]:
    """Return how gradient descent does on a linear regression, at its best rate of ten.

    Parameters
    ----------
    columns : array_like of float, shape (n, features)
        The inputs, to which a bias is added.
    target : array_like of float, shape (n,)
        What is to be found.

    Returns
    -------
    dict from str to float
        ``2/λ`` and the condition of the loss; after 2,000 and 20,000 updates from 0, by how many
        percent the loss exceeds that of a solver; the updates until 1 % is left.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> {name: round(v, 2) for name, v in gap_to_solver(x, np.sign(x[:, 0])).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'2/λ': 1.0, 'condition': 2.88, 'gap after 2,000 updates': 0.0,
     'gap after 20,000 updates': 0.0, 'updates to within 1 %': 3.0}
    """
    bowl = least_squares(columns, target)
    curvature = np.linalg.eigvalsh(bowl.hessian(bowl.minima[0]))
    limit, start = 2 / curvature[-1], np.zeros(bowl.dim)
    short = descents(bowl, lr=limit * np.arange(0.5, 1, 0.05), start=start, steps=2000).loss
    top = best(final(short.to_dataset(), "loss"))
    longer = descents(bowl, lr=float(top.lr), start=start, steps=20_000).loss
    return {
        "2/λ": float(limit),
        "condition": float(curvature[-1] / curvature[0]),
        "gap after 2,000 updates": round(100 * float(top.value / bowl.least - 1), 1),
        "gap after 20,000 updates": round(100 * float(longer[-1] / bowl.least - 1), 1),
        "updates to within 1 %": float(first_reached(short.min("lr"), 1.01 * bowl.least)),
    }


def _fate(product: float) -> str:
    """What becomes of the error along one direction, by rate times curvature."""
    if np.isclose(product, 1):
        return "arrives in a single update"
    if np.isclose(product, 2):
        return "jumps to and fro for ever, always equally far from the minimum"
    if product > 2:
        return f"diverges: every update multiplies the error by {product - 1:.3g}"
    way = "slides down one side" if product < 1 else "jumps across at every update"
    end = "" if product < 1 else ", and arrives"
    return f"{way}{end}; each update keeps {_percent(abs(1 - product))} of the error"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.3g} %"


def _updates(n: float) -> str:
    return f"{n:,.0f} update" + ("" if n == 1 else "s")


def said_of_parabola(runs: xr.Dataset) -> xr.DataArray:
    """Say what becomes of descents on x², by how they began.

    Parameters
    ----------
    runs : Dataset
        With ``x0`` over ``lr`` and ``step``.

    Returns
    -------
    DataArray of str, dimension ``lr``

    Examples
    --------
    >>> from lrcourse.surfaces import parabola
    >>> for text in said_of_parabola(descents(parabola(), lr=[0.1, 0.7, 1.2], start=8.0)).values:
    ...     print(text)
    Slides down one side; each update keeps 80 % of the error. A thousandth is left after 31 updates.
    Jumps across at every update, and arrives; each update keeps 40 % of the error. A thousandth is left after 8 updates.
    Diverges: every update multiplies the error by 1.4.
    """  # noqa: E501
    product = 1 - runs.x0.sel(step=1, drop=True) / runs.x0.sel(step=0, drop=True)

    def text(product: float, updates: float) -> str:
        fate = _fate(product)
        slow = f" A thousandth is left after {_updates(updates)}." if updates > 1 else ""
        return f"{fate[0].upper()}{fate[1:]}.{slow}"

    return each_state(text, product, updates_until(abs(runs.x0), 0.001))


def said_of_bowls(updates: xr.DataArray) -> xr.DataArray:
    """Say what becomes of descents on parabolas, and how that compares with the best rate.

    Parameters
    ----------
    updates : DataArray
        Until a thousandth of the distance is left, over ``curvature`` and ``lr``; NaN for never.

    Returns
    -------
    DataArray of str, dimensions ``curvature`` and ``lr``

    Examples
    --------
    >>> updates = xr.DataArray([[16.0, 8.0]], {"curvature": [2.0], "lr": [0.2, 0.3]})
    >>> said_of_bowls(updates).values[0, 0]
    'η·λ = 0.4: slides down one side; each update keeps 60 % of the error. It needs 16 updates; the fastest rate here needs 8.'
    """  # noqa: E501
    quickest = updates.min("lr")

    def text(product: float, updates: float, least: float) -> str:
        if np.isclose(product, 1) or product > 2 or np.isclose(product, 2):
            return f"η·λ = {product:.3g}: {_fate(product)}."
        rest = f"the fastest rate here needs {least:g}"
        rest = "no rate here needs fewer" if updates == least else rest
        return f"η·λ = {product:.3g}: {_fate(product)}. It needs {_updates(updates)}; {rest}."

    texts = each_state(text, updates.lr * updates.curvature, updates, quickest)
    return texts.transpose(*updates.dims)


def said_of_ravines(updates: xr.DataArray) -> xr.DataArray:
    """Say what becomes of descents in ravines, across them and along their floor.

    Parameters
    ----------
    updates : DataArray
        Until a thousandth of the distance is left, over ``condition`` and ``lr``; NaN for never.

    Returns
    -------
    DataArray of str, dimensions ``condition`` and ``lr``

    Examples
    --------
    >>> updates = xr.DataArray([[135.0, np.nan]], {"condition": [10.0], "lr": [0.05, 0.22]})
    >>> for text in said_of_ravines(updates).values[0]:
    ...     print(text)
    Across, each update keeps 50 % of the error; along the floor, 95 %. It needs 135 updates; no rate here needs fewer.
    Across, every update multiplies the zigzag by 1.2: it diverges, although the error along the floor shrinks.
    """  # noqa: E501

    def text(rate: float, condition: float, updates: float, least: float) -> str:
        steep, flat = rate * condition, rate
        if np.isclose(steep, 2):
            return "Across, it zigzags for ever: the rate is exactly at the limit."
        if steep > 2:
            if flat >= 2:
                across = f"across, by the factor {steep - 1:.3g} at every update"
                return f"Diverges in both directions; {across}."
            return (
                f"Across, every update multiplies the zigzag by {steep - 1:.3g}: it diverges,"
                " although the error along the floor shrinks."
            )
        pace = (
            f"It needs {_updates(updates)}; "
            if np.isfinite(updates)
            else "It does not arrive in 2,000 updates; "
        )
        rest = f"the fastest rate here needs {least:g}."
        pace += "no rate here needs fewer." if updates == least else rest
        if np.isclose(steep, flat):
            return (
                f"A round bowl: each update keeps {_percent(abs(1 - flat))} of both errors. {pace}"
            )
        across = f"Across, each update keeps {_percent(abs(1 - steep))} of the error"
        if np.isclose(steep, 1):
            across = "Across, it arrives in one update"
        elif steep > 1:
            across = (
                f"Across, it zigzags and keeps {_percent(steep - 1)} of the error at each update"
            )
        return f"{across}; along the floor, {_percent(abs(1 - flat))}. {pace}"

    parts = updates.lr, updates.condition, updates, updates.min("lr")
    return each_state(text, *parts).transpose(*updates.dims)


def said_of_lines(weight: xr.DataArray, bias: xr.DataArray) -> xr.DataArray:
    """Say what the training of a line has come to, by the median of its seeds.

    Parameters
    ----------
    weight, bias : DataArray
        What is left of their first errors, over ``eval_step``, ``seed`` and what can be chosen.

    Returns
    -------
    DataArray of str
        Over what can be chosen.

    Examples
    --------
    >>> step = xr.DataArray(np.arange(101.0), dims="eval_step").assign_coords(
    ...     eval_step=np.arange(101)).expand_dims(seed=2)
    >>> said_of_lines(0.3**step, 0.98**step).item()
    'The weight has a thousandth of its error left after 6 updates. The bias still has 13 % of its error after 100.'
    """  # noqa: E501
    last = int(weight.eval_step[-1])
    step = middle(weight.sel(eval_step=1, drop=True))
    ends = [middle(part.isel(eval_step=-1, drop=True)) for part in (weight, bias)]
    there = [first_reached(middle(part), 0.001) for part in (weight, bias)]

    def text(step: float, w: float, b: float, w_there: float, b_there: float) -> str:
        if step > 1:
            end = "The runs are given up early."
            if np.isfinite(w):
                end = "The error of the bias shrinks all the same: one direction is enough."
            return f"Diverges: every update multiplies the error of the weight by {step:.3g}. {end}"
        if w_there == b_there:
            return f"Weight and bias arrive together, after {_updates(w_there)}."
        parts = []
        for name, left, when in (("weight", w, w_there), ("bias", b, b_there)):
            arrives = f"has a thousandth of its error left after {_updates(when)}"
            waits = f"still has {_percent(left)} of its error after {last}"
            parts.append(f"The {name} {arrives if np.isfinite(when) else waits}.")
        return " ".join(parts)

    return each_state(text, step, *ends, *there)


def at_rest_after(runs: xr.Dataset) -> xr.DataArray:
    """Return the updates after which each descent stays within 0.001 of where it ends.

    Parameters
    ----------
    runs : Dataset
        What `lrcourse.descents` made, in one dimension.

    Returns
    -------
    DataArray of int

    Examples
    --------
    >>> from lrcourse.surfaces import parabola
    >>> at_rest_after(descents(parabola(), lr=[0.3, 0.5], start=8.0)).values
    array([10,  1])
    """
    away = abs(runs.x0 - runs.x0.isel(step=-1, drop=True)) > 1e-3
    back = away.isel(step=slice(None, None, -1))
    last: xr.DataArray = runs.sizes["step"] - 1 - back.argmax("step")
    return (last + 1).where(away.any("step"), 0)


def said_of_hops(surface: Surface, runs: xr.Dataset) -> xr.DataArray:
    """Say in which minimum of `Bumpy` each descent settles, and how it got there.

    Parameters
    ----------
    surface : Surface
        With one minimum for each of ``NAMES``.
    runs : Dataset
        Descents on it, over ``start`` and ``lr``.

    Returns
    -------
    DataArray of str, dimensions ``lr`` and ``start``

    Examples
    --------
    >>> bumpy = Bumpy()
    >>> runs = descents(bumpy, lr=[0.1, 0.15, 0.3, 1.0], start=[4.0], steps=2000)
    >>> for text in said_of_hops(bumpy, runs).values[:, 0]:
    ...     print(text)
    Rolls into the sharp minimum, in whose basin it starts, and rests after 62 updates.
    Never settles: it rattles in the basin of the sharp minimum. The rate is above the limit there, 0.12.
    Jumps out of the basin of the sharp minimum and settles in the deep one, after 38 updates.
    Never settles: it rattles in the basin of the deep minimum. The rate is above the limit there, 0.43.
    """  # noqa: E501
    limits = 2 / surface.sharpness(surface.minima)
    late = runs.x0.isel(step=slice(-300, None))
    where = basin_of(surface, late.values.ravel()).values.reshape(late.shape)
    basin = xr.DataArray(where, late.coords, late.dims)
    home = basin_of(surface, runs.start.values).assign_coords(start=runs.start)

    def text(home: int, end: int, low: int, high: int, rest: float) -> str:
        if end == home:
            return (
                f"Rolls into the {NAMES[home]} minimum, in whose basin it starts, and rests after"
                f" {_updates(rest)}."
            )
        if end >= 0:
            return (
                f"Jumps out of the basin of the {NAMES[home]} minimum and settles in the"
                f" {NAMES[end]} one, after {_updates(rest)}."
            )
        if low == high:
            return (
                f"Never settles: it rattles in the basin of the {NAMES[low]} minimum. The rate is"
                f" above the limit there, {limits[low]:.2g}."
            )
        return "Never settles: it jumps about between the basins."

    ends = minimum_reached(surface, runs)
    parts = home, ends, basin.min("step"), basin.max("step"), at_rest_after(runs)
    return each_state(text, *parts).transpose("lr", "start")


def _log_steps(kept: float, factor: float) -> float:
    return float(np.log(factor) / -np.log(kept))


def _kept(curvatures: Any, rate: float) -> float:
    """What the slowest direction keeps of its error at every update."""
    return float(np.max(np.abs(1 - rate * np.asarray(curvatures))))


@exercise(
    cases=[
        {"curvatures": np.array([2.0, 68.0]), "factor": 1000.0},
        {"curvatures": np.array([1.0, 9.0, 3.0]), "factor": 1000.0},
        {"curvatures": np.array([0.5, 0.1, 7.0, 2.0]), "factor": 10.0},
    ]
)
def updates_needed(curvatures: Any, factor: float) -> int:
    """The least n with ``((κ - 1) / (κ + 1)) ** n <= 1 / factor``: the best fixed rate keeps that.

    >>> updates_needed(np.array([1.0, 3.0]), factor=1000)
    10
    """
    rate = 2 / (np.min(curvatures) + np.max(curvatures))
    return int(np.ceil(_log_steps(_kept(curvatures, rate), factor)))


@updates_needed.mistake(
    "Updates come whole, and the last one must bring the error below the target: round up."
)
def _part_of_an_update(curvatures: Any, factor: float) -> float:
    return _log_steps(_kept(curvatures, 2 / (np.min(curvatures) + np.max(curvatures))), factor)


@updates_needed.mistake(
    "After that many whole updates a little too much is left. One more is needed: round up, not "
    "down."
)
def _rounded_down(curvatures: Any, factor: float) -> int:
    return int(_part_of_an_update(curvatures, factor))


@updates_needed.mistake(
    "That many bring the loss down by the factor. The loss goes with the square of the error, so "
    "the error needs twice as many."
)
def _for_the_loss(curvatures: Any, factor: float) -> int:
    return int(np.ceil(_part_of_an_update(curvatures, factor) / 2))


@updates_needed.mistake(
    "That is for the rate 1 / (largest curvature), which is about half the best rate in a narrow "
    "ravine."
)
def _at_half_the_limit(curvatures: Any, factor: float) -> int:
    return int(np.ceil(_log_steps(_kept(curvatures, 1 / np.max(curvatures)), factor)))


@updates_needed.mistake(
    "κ · log(factor) is a rule of thumb for the rate 1 / (largest curvature). At the best rate it "
    "is about half of that, and the exact number follows from what each update keeps."
)
def _rule_of_thumb(curvatures: Any, factor: float) -> int:
    return int(np.ceil(np.max(curvatures) / np.min(curvatures) * np.log(factor)))


@updates_needed.mistake(
    "The rate 2 / (sum of all curvatures) is lower than it need be: only the least and the largest "
    "count."
)
def _all_added_up(curvatures: Any, factor: float) -> int:
    return int(np.ceil(_log_steps(_kept(curvatures, 2 / np.sum(curvatures)), factor)))
