"""What the chapter on the basics needs and no other: landscapes with wells, and its exercises."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from lrcourse._checks import count
from lrcourse.exercises.checking import exercise
from lrcourse.surfaces import Bumpy, Surface


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
    >>> runs = descents(bumpy, lr=[0.05, 0.3, 1.0, 3.0], start=4.0, steps=300)
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


_HESSIANS = (
    [[2.0, 0.0], [0.0, 68.0]],
    [[3.0, 2.0], [2.0, 3.0]],
    [[5.0, -1.0, 0.5], [-1.0, 2.0, 0.3], [0.5, 0.3, 1.0]],
)
_RNG = np.random.default_rng(0)
_X = np.linspace(-10, 10, 100)


@exercise(cases=[{"hessian": np.array(hessian)} for hessian in _HESSIANS])
def largest_stable_lr(hessian: Any) -> float:
    """Two over the largest eigenvalue: the steepest direction sets the limit for all.

    >>> largest_stable_lr(np.diag([1.0, 4.0]))
    0.5
    """
    return float(2 / np.linalg.eigvalsh(hessian)[-1])


@largest_stable_lr.mistake(
    "That rate lands exactly on the minimum of the steepest direction. How much further may a "
    "step go and still end closer than it began?"
)
def _onto_the_minimum(hessian: Any) -> Any:
    return 1 / np.linalg.eigvalsh(hessian)[-1]


@largest_stable_lr.mistake(
    "The diagonal holds the curvatures along the axes. A steeper direction can lie between them: "
    "eigenvalues see it."
)
def _along_the_axes(hessian: Any) -> Any:
    return 2 / np.max(np.diag(hessian))


@largest_stable_lr.mistake("The flattest direction allows that rate. The steepest one decides.")
def _flattest_decides(hessian: Any) -> Any:
    return 2 / np.linalg.eigvalsh(hessian)[0]


@largest_stable_lr.mistake(
    "The trace adds all curvatures up. Only the largest one limits the rate."
)
def _all_added_up(hessian: Any) -> Any:
    return 2 / np.trace(hessian)


@exercise(
    cases=[
        {"curvatures": np.array([2.0, 68.0])},
        {"curvatures": np.array([1.0, 9.0, 3.0])},
        {"curvatures": np.array([0.5, 0.1, 7.0, 2.0])},
    ]
)
def best_fixed_lr(curvatures: Any) -> float:
    """The rate at which the flattest and the steepest direction shrink equally fast.

    >>> best_fixed_lr([1.0, 9.0])
    0.2
    """
    return float(2 / (np.min(curvatures) + np.max(curvatures)))


@best_fixed_lr.mistake(
    "That is the edge of divergence. There the steepest direction makes no progress at all."
)
def _edge_of_divergence(curvatures: Any) -> Any:
    return 2 / np.max(curvatures)


@best_fixed_lr.mistake(
    "That solves the steepest direction in one step. The flattest one then waits longer than it "
    "must."
)
def _steepest_in_one_step(curvatures: Any) -> Any:
    return 1 / np.max(curvatures)


@best_fixed_lr.mistake(
    "Only the two extremes compete: every direction between them shrinks faster than the slower "
    "of the two."
)
def _mean_of_all(curvatures: Any) -> Any:
    return 1 / np.mean(curvatures)


@best_fixed_lr.mistake(
    "That is half of it. The two factors 1 - lr * curvature must be equal in size and opposite in "
    "sign."
)
def _half_of_it(curvatures: Any) -> Any:
    return 1 / (np.min(curvatures) + np.max(curvatures))


def _log_steps(condition: float, factor: float) -> float:
    return float(np.log(factor) / np.log((condition + 1) / (condition - 1)))


@exercise(
    cases=[
        {"condition": 3.0, "factor": 1000.0},
        {"condition": 34.0, "factor": 1000.0},
        {"condition": 100.0, "factor": 10.0},
    ]
)
def steps_needed(condition: float, factor: float) -> int:
    """The least n with ``((condition - 1) / (condition + 1)) ** n <= 1 / factor``.

    >>> steps_needed(condition=3, factor=1000)
    10
    """
    return int(np.ceil(_log_steps(condition, factor)))


@steps_needed.mistake("Updates come whole, and the last one must bring the error below the target.")
def _part_of_an_update(condition: float, factor: float) -> float:
    return _log_steps(condition, factor)


@steps_needed.mistake(
    "That many halve the task: the loss goes with the square of the error, so the error needs "
    "twice as many."
)
def _for_the_loss(condition: float, factor: float) -> int:
    return int(np.ceil(_log_steps(condition, factor) / 2))


@steps_needed.mistake(
    "That is for the rate 1 / (largest curvature), which leaves 1 - 1/condition of the error. The "
    "best rate leaves less."
)
def _at_half_the_limit(condition: float, factor: float) -> int:
    return int(np.ceil(-np.log(factor) / np.log(1 - 1 / condition)))


@exercise(
    cases=[
        {"x": _X, "y": 2 * _X + 1, "w": 0.0, "b": 0.0, "lr": 0.01},
        {"x": _X + 3, "y": _X, "w": -1.0, "b": 2.0, "lr": 0.02},
        {"x": _RNG.normal(size=7), "y": _RNG.normal(size=7), "w": 0.5, "b": -0.5, "lr": 0.1},
    ]
)
def gd_step(x: Any, y: Any, w: float, b: float, lr: float) -> tuple[float, float]:
    """One update of ``w * x + b`` on the mean squared error.

    >>> gd_step(np.array([-1.0, 1.0]), np.array([-1.0, 3.0]), w=0.0, b=0.0, lr=0.5)
    (2.0, 1.0)
    """
    error = w * x + b - y
    return float(w - lr * 2 * np.mean(error * x)), float(b - lr * 2 * np.mean(error))


@gd_step.mistake("The step goes uphill. Check the sign.")
def _uphill(x: Any, y: Any, w: float, b: float, lr: float) -> tuple[float, float]:
    return gd_step(x, y, w, b, -lr)


@gd_step.mistake("The derivative of a square brings a factor 2.")
def _without_the_two(x: Any, y: Any, w: float, b: float, lr: float) -> tuple[float, float]:
    return gd_step(x, y, w, b, lr / 2)


@gd_step.mistake(
    "The loss is the mean over the points, not their sum. With a sum, the limit of the rate falls "
    "with every point you add."
)
def _summed(x: Any, y: Any, w: float, b: float, lr: float) -> tuple[float, float]:
    return gd_step(x, y, w, b, lr * len(x))


@gd_step.mistake(
    "The bias was updated with the new weight. Both gradients belong to the point before the step."
)
def _in_turn(x: Any, y: Any, w: float, b: float, lr: float) -> tuple[float, float]:
    new_w, _ = gd_step(x, y, w, b, lr)
    return new_w, gd_step(x, y, new_w, b, lr)[1]
