"""What the chapter on convergence needs and no other: measurements, words and exercises.

The recorded cube of the chapter is made from ``one_hot``.  The functions whose names begin with
``said`` put in words what the runs of a figure mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import count
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state, in_words

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

    from lrcourse.data import Data

Array = NDArray[np.float64]


def one_hot(data: Data, rows: int | None = None) -> Data:
    """Return a classification as a regression on 0s and 1s.

    The squared error of an output has a curvature that does not fade as the fit gets better, which
    that of cross-entropy does.

    Parameters
    ----------
    data : Data
        A classification.
    rows : int, optional
        Keep only the first so many training rows.

    Returns
    -------
    Data
        The same inputs, and targets of one column a class.

    Raises
    ------
    ValueError
        When `data` is a regression already.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> one_hot(digits(), rows=500)
    Data('digits', 500 training and 450 validation rows of 64, mse)
    """
    from torch.nn.functional import one_hot as encoded

    from lrcourse.data import Data

    if data.loss != "cross_entropy":
        raise ValueError(f"data must be a classification, was {data!r}")
    rows = len(data.x_train) if rows is None else count("rows", rows, low=1)
    classes = int(max(data.y_train.max(), data.y_val.max())) + 1
    train, val = (
        encoded(y, classes).to(data.x_train.dtype) for y in (data.y_train[:rows], data.y_val)
    )
    return Data(data.name, data.x_train[:rows], train, data.x_val, val, "mse")


def weights_of(model: nn.Module) -> Array:
    """Return all parameters of a model, one after the other.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    ndarray of float

    Examples
    --------
    >>> from lrcourse.models import linear
    >>> weights_of(linear(zero=True))
    array([0., 0.])
    """
    from torch.nn.utils import parameters_to_vector

    return parameters_to_vector(model.parameters()).detach().cpu().numpy().astype(float)


def pushed(
    model: nn.Module, data: Data, by: float = 1e-4, *, seed: int = 0
) -> tuple[nn.Module, Array, float]:
    """Return a copy of a model moved along its sharpest direction, that direction, its sharpness.

    Parameters
    ----------
    model : torch.nn.Module
        It is left as it is.
    data : Data
        Its training part and its loss decide the curvature.
    by : float, default 1e-4
        The length of the push.
    seed : int, default 0
        Decides the start vector of `lrcourse.curvature.lanczos`.

    Returns
    -------
    tuple of (Module, ndarray of length 1, float)

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> moved, direction, sharpness = pushed(linear(zero=True), line(), by=0.5)
    >>> abs(weights_of(moved)).round(3), round(sharpness, 2)
    (array([0.5, 0. ]), 68.01)
    """
    import torch
    from torch.nn.utils import vector_to_parameters

    from lrcourse.curvature import hessian_product, lanczos

    product, size = hessian_product(model, data)
    start = np.random.default_rng(seed).standard_normal(size)
    (value,), (direction,) = lanczos(product, start, tol=1e-6)
    moved = deepcopy(model)
    weights = torch.as_tensor(weights_of(model) + by * direction)
    vector_to_parameters(weights.to(next(moved.parameters())), moved.parameters())
    return moved, direction, float(value)


def limit_found(
    make: Callable[[], nn.Module],
    data: Data,
    predicted: float,
    *,
    momentum: float = 0.0,
    updates: int = 600,
) -> dict[str, float]:
    """Return a predicted limit of the rate, and the two rates between which it is found.

    It trains at 16 rates within 2 % of the prediction.  A run settles if its highest loss over the
    last ten updates is below that of ten updates in the middle.

    Parameters
    ----------
    make : callable
        Builds the model.
    data : Data
        All of it is one batch.
    predicted : float
        The rate to search around.
    momentum : float, default 0.0
    updates : int, default 600
        The length of each run.

    Returns
    -------
    dict of float
        ``predicted``; ``settles at``, the highest rate that does; ``grows at``, the lowest that
        does not.

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> found = limit_found(linear, line(), 2 / 68.01, updates=300)
    >>> 0.029 < found["settles at"] < found["grows at"] < 0.030
    True
    """
    from lrcourse.sweeps import sweep

    near = predicted * np.linspace(0.98, 1.02, 16)
    plan: dict[str, Any] = {"momentum": momentum, "steps": updates, "batch_size": None}
    loss = sweep(make, data, lr=near, progress=False, **plan).loss
    half = updates // 2
    before = loss.isel(step=slice(half - 10, half)).max("step")
    settles = (loss.isel(step=slice(-10, None)).max("step", skipna=False) < before).values
    return {
        "predicted": predicted,
        "settles at": float(near[settles].max()),
        "grows at": float(near[~settles].min()),
    }


def restarted(
    model: nn.Module,
    data: Data,
    ratios: Sequence[float],
    *,
    push: float = 1e-4,
    updates: int = 120,
    seed: int = 0,
) -> xr.Dataset:
    """Go on from a trained point by plain descent, at shares of the limit that is measured there.

    Parameters
    ----------
    model : torch.nn.Module
        It is left as it is.
    data : Data
        All of it is one batch.
    ratios : sequence of float
        The rates, in units of 2 over the sharpness.
    push : float, default 1e-4
        How far the start is moved along the sharpest direction.
    updates : int, default 120
        The length of each run.
    seed : int, default 0
        See `pushed`.

    Returns
    -------
    Dataset
        Over ``ratio``: ``factor``, by which an update multiplies the push, over the first four;
        ``highest`` and ``last``, the highest loss and the last one, over the first.

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> restarted(linear(zero=True).double(), line(), [0.75], updates=5).factor.values.round(3)
    array([0.5])
    """
    import xarray as xr

    from lrcourse.training import fit

    moved, direction, value = pushed(model, data, by=push, seed=seed)
    found: dict[str, list[float]] = {"factor": [], "highest": [], "last": []}
    for ratio in ratios:
        plan: dict[str, Any] = {"lr": ratio * 2 / value, "batch_size": None, "progress": False}
        ends = []
        for start in (deepcopy(model), deepcopy(moved)):
            fit(start, data, steps=4, **plan)
            ends.append(weights_of(start))
        loss = fit(deepcopy(moved), data, steps=updates, **plan).loss
        found["factor"].append(float((abs((ends[1] - ends[0]) @ direction) / push) ** 0.25))
        found["highest"].append(float(loss.max() / loss[0]))
        found["last"].append(float(loss[-1] / loss[0]))
    return xr.Dataset({name: ("ratio", v) for name, v in found.items()}, {"ratio": list(ratios)})


def least_loss(data: Data) -> float:
    """Return the least mean squared error that a linear model with a bias can have.

    Parameters
    ----------
    data : Data
        A regression; its training part counts.

    Returns
    -------
    float

    Examples
    --------
    >>> from lrcourse.data import line
    >>> least_loss(line()) < 0.02
    True
    """
    x, y = (part.double().numpy() for part in (data.x_train, data.y_train))
    inputs = np.column_stack([x, np.ones(len(x))])
    weights = np.linalg.lstsq(inputs, y, rcond=None)[0]
    return float(np.mean((inputs @ weights - y) ** 2))


def said_of_loops(walks: xr.DataArray, losses: xr.DataArray) -> xr.DataArray:
    """Return what each rate does to random walks and to training, in words.

    Parameters
    ----------
    walks, losses : DataArray
        Over ``lr``, ``seed`` and ``step``.

    Returns
    -------
    DataArray of str
        Over ``lr``.

    Examples
    --------
    >>> import xarray as xr
    >>> dims, at = ["lr", "seed", "step"], {"lr": [0.1]}
    >>> walks = xr.DataArray([[[2.0, 3.0], [2.0, 1.0]]], at, dims)
    >>> losses = xr.DataArray([[[2.0, 0.5], [2.0, 0.5]]], at, dims)
    >>> print(said_of_loops(walks, losses).item())
    The network's loss goes from 2 to 0.5; 0 of 2 runs and 1 of 2 loops end above their start.
    """
    from lrcourse.results import middle

    seeds = losses.sizes["seed"]
    above, lost = ((r.isel(step=-1) > r.isel(step=0)).sum("seed") for r in (walks, losses))
    first, last = (middle(losses.isel(step=i)) for i in (0, -1))

    def say(lr: float) -> str:
        began, ends, up, walked = (float(p.sel(lr=lr)) for p in (first, last, lost, above))
        return (
            f"The network's loss goes from {in_words(began, 2)} to {in_words(ends, 2)}; "
            f"{up:g} of {seeds} runs and {walked:g} of {seeds} loops end above their start."
        )

    return each_state(say, losses.lr)


def said_of_limits(runs: xr.Dataset, limits: xr.DataArray) -> xr.DataArray:
    """Return what a rate means on a bowl with a known limit, in words.

    Parameters
    ----------
    runs : Dataset
        ``loss`` and ``diverged_at`` over ``lr`` and ``momentum``.
    limits : DataArray
        The predicted limit over ``momentum``.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> at = {"lr": [0.2, 0.4], "momentum": [0]}
    >>> loss = [[[1.0, 0.5, 0.5]], [[1.0, 20.0, 400.0]]]
    >>> runs = xr.Dataset(
    ...     {"loss": (("lr", "momentum", "step"), loss),
    ...      "diverged_at": (("lr", "momentum"), [[-1], [2]])}, at)
    >>> for text in said_of_limits(runs, xr.DataArray([0.3], {"momentum": [0]})).values[:, 0]:
    ...     print(text)
    Below the limit of 0.300: after 3 updates the run has settled, at a loss of 0.5.
    Above the limit of 0.300: every update multiplies the loss by 20, until the run stops.
    """
    last = runs.loss.isel(step=-1)
    rest = last.min("lr")  # where a run with this momentum settles
    updates = runs.sizes["step"]

    def say(lr: float, momentum: float) -> str:
        at = {"lr": lr, "momentum": momentum}
        limit, end = limits.sel(momentum=momentum).item(), last.sel(at).item()
        side = "Below" if lr < limit else "Above"
        head = f"{side} the limit of {limit:.3f}: "
        if (gone := int(runs.diverged_at.sel(at))) >= 0:
            tail = runs.loss.sel(at).values[gone - min(4, gone) : gone + 1]
            grows = (tail[-1] / tail[0]) ** (1 / (len(tail) - 1))
            return f"{head}every update multiplies the loss by {grows:.3g}, until the run stops."
        if end > 1.1 * rest.sel(momentum=momentum):
            return f"{head}so close to it that the swing has not died down after {updates} updates."
        return f"{head}after {updates} updates the run has settled, at a loss of {end:.2g}."

    return each_state(say, runs.loss.lr, runs.loss.momentum)


def said_of_plans(total: xr.DataArray, still: xr.DataArray, ends: xr.DataArray) -> xr.DataArray:
    """Return what keeps each schedule from the minimum, in words.

    Parameters
    ----------
    total, still, ends : DataArray
        Over ``schedule``: the sum of the rates, the distance that they leave without noise, and
        the one that is left with noise.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> at = {"schedule": ["held", "cut"]}
    >>> values = [1000.0, 2.5], [0.0, 0.51], [0.2, 0.5]
    >>> for text in said_of_plans(*(xr.DataArray(list(v), at) for v in values)).values:
    ...     print(text)
    Its rates add up to 1000, enough to arrive. The 0.2 that is left comes from noise.
    Its rates add up to 2.5, too little to arrive: without noise 0.51 would be left, with it 0.5.
    """

    def say(name: str) -> str:
        sums, alone, left = (float(part.sel(schedule=name)) for part in (total, still, ends))
        head = f"Its rates add up to {in_words(sums, 2)},"
        if alone > left / 2:
            return (
                f"{head} too little to arrive: without noise {in_words(alone, 2)} would be left, "
                f"with it {in_words(left, 2)}."
            )
        return f"{head} enough to arrive. The {in_words(left, 2)} that is left comes from noise."

    return each_state(say, total.schedule)


def said_of_edge(runs: xr.Dataset) -> xr.DataArray:
    """Return where the sharpness goes at each rate, in words.

    Parameters
    ----------
    runs : Dataset
        ``sharpness``, ``loss`` and ``diverged_at`` over ``lr`` and ``seed``.

    Returns
    -------
    DataArray of str
        Over ``lr``.

    Examples
    --------
    >>> import xarray as xr
    >>> runs = xr.Dataset(
    ...     {"loss": (("lr", "seed", "step"), [[[4.0, 1.0, 1.0]]]),
    ...      "sharpness": (("lr", "seed", "eval_step"), [[[1.0, 2.0]]]),
    ...      "diverged_at": (("lr", "seed"), [[-1]])}, {"lr": [0.2], "eval_step": [0, 2]})
    >>> print(said_of_edge(runs).item())
    The sharpness stays below its limit of 10. No update raises the loss, and it falls 4-fold.
    """
    from lrcourse.results import first_reached, middle

    share = runs.sharpness * runs.lr / 2
    seeds = runs.sizes["seed"]
    there = first_reached(share, 1.0, "eval_step", better="high")
    rises = (runs.loss.diff("step") > 0).mean(["step", "seed"])
    tail = middle(runs.loss.isel(step=slice(-25, None)), "step")
    fell = middle(runs.loss.isel(step=0, drop=True) / tail, better="high")
    first = middle(share.isel(eval_step=0))

    def say(lr: float) -> str:
        limit = f"its limit of {in_words(2 / lr)}"
        lost = int((runs.diverged_at.sel(lr=lr) >= 0).sum())
        if lost == seeds:
            last = int(runs.diverged_at.sel(lr=lr).max())
            return f"The start is far above {limit}. All {seeds} seeds diverge by update {last}."
        raised = f"{100 * float(rises.sel(lr=lr)):.0f} % of all updates raise the loss"
        more = f"{raised}, and yet it falls {in_words(fell.sel(lr=lr).item(), 2)}-fold."
        if lost:
            more = f"{lost} of {seeds} seeds diverge{'s' if lost == 1 else ''} on the way."
        if first.sel(lr=lr) >= 1:
            return f"The sharpness starts above {limit} and comes down to it. {more}"
        met = there.sel(lr=lr)
        if bool(met.isnull().all()):
            return (
                f"The sharpness stays below {limit}. No update raises the loss, and it falls "
                f"{in_words(fell.sel(lr=lr).item(), 2)}-fold."
            )
        if (n := int(met.notnull().sum())) < seeds:
            return f"The sharpness of {n} of the {seeds} seeds reaches {limit}."
        when = f"by update {middle(met).item():.0f}"
        over = 100 * (float(middle(share).sel(lr=lr).max()) - 1)
        past = (
            f", goes {over:.0f} % above it, and comes back to it"
            if over > 10
            else " and stays there"
        )
        return f"The sharpness reaches {limit} {when}{past}. {more}"

    return each_state(say, runs.sharpness.lr)


def said_of_shares(shares: xr.DataArray) -> xr.DataArray:
    """Return how the sharpness stands to its limit at a rate and a moment, in words.

    Parameters
    ----------
    shares : DataArray
        The median sharpness over its limit, over ``lr`` and ``eval_step``; infinite after
        divergence.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> shares = xr.DataArray([[0.5, 0.8, 1.0]], {"lr": [1.0], "eval_step": [0, 100, 200]})
    >>> for text in said_of_shares(shares).values[0]:
    ...     print(text)
    At rate 1, before the first update: the sharpness is 50 % of 2/η, and about to rise.
    At rate 1, after 100 updates: the sharpness is 80 % of 2/η, and rising.
    At rate 1, after 200 updates: the sharpness is at 2/η, within 3 %.
    """
    times = shares.eval_step.values

    def say(lr: float, time: float) -> str:
        row = shares.sel(lr=lr)
        here, ends = float(row.sel(eval_step=time)), float(row[-1])
        moment = f"after {time:g} updates" if time > 0 else "before the first update"
        head = f"At rate {lr:g}, {moment}"
        if not np.isfinite(here):
            return f"{head}: all seeds have diverged."
        if abs(round(100 * here) - 100) <= 3:
            return f"{head}: the sharpness is at 2/η, within 3 %."
        head = f"{head}: the sharpness is {100 * here:.0f} % of 2/η"
        if not np.isfinite(ends):
            return f"{head}, and the runs are about to diverge."
        later = row.values[min(list(times).index(time) + 1, len(times) - 1)]
        if later > here + 0.005:
            return f"{head}, and {'rising' if time > 0 else 'about to rise'}."
        falls = later < here - 0.005
        return f"{head}, and {'falling' if time > 0 else 'about to fall'}." if falls else f"{head}."

    return each_state(say, shares.lr, shares.eval_step)


@exercise(
    cases=[
        {"matrix": np.array([[3.0, 1.0], [1.0, 2.0]]), "start": np.ones(2), "products": 3},
        {
            "matrix": np.array([[5.0, -1.0, 0.5], [-1.0, 2.0, 0.3], [0.5, 0.3, -1.0]]),
            "start": np.ones(3),
            "products": 5,
        },
        {"matrix": np.diag([1.0, 2.0, 9.0, 10.0]), "start": np.ones(4), "products": 8},
    ]
)
def power_iteration(matrix: Any, start: Any, products: int) -> float:
    """The eigenvalue of largest size, after so many products with the matrix.

    >>> round(power_iteration(np.diag([1.0, 3.0]), np.ones(2), products=50), 6)
    3.0
    """
    v = np.asarray(start) / np.linalg.norm(start)
    for _ in range(products - 1):
        v = matrix @ v
        v = v / np.linalg.norm(v)
    return float(v @ matrix @ v)


@power_iteration.mistake("The vector must be scaled back to length 1 before v·Hv is an eigenvalue.")
def _unnormalised(matrix: Any, start: Any, products: int) -> float:
    v = np.asarray(start)
    for _ in range(products - 1):
        v = matrix @ v
    return float(v @ matrix @ v)


@power_iteration.mistake("One product too many: the v·Hv at the end needs one as well.")
def _one_more(matrix: Any, start: Any, products: int) -> float:
    return power_iteration(matrix, start, products + 1)


@power_iteration.mistake(
    "The length of Hv is an estimate too, but a coarser one and without a sign. Take v·Hv."
)
def _length(matrix: Any, start: Any, products: int) -> float:
    v = np.asarray(start) / np.linalg.norm(start)
    for _ in range(products - 1):
        v = matrix @ v
        v = v / np.linalg.norm(v)
    return float(np.linalg.norm(matrix @ v))


@power_iteration.mistake(
    "That is the exact eigenvalue. A network has no matrix written down: give the estimate that "
    "the products alone lead to."
)
def _exact(matrix: Any, start: Any, products: int) -> float:
    return float(np.linalg.eigvalsh(matrix)[-1])
