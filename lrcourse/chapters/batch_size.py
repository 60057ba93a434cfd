"""What the chapter on the batch size needs and no other: data, budgets, readings, exercises.

The recorded cubes of the chapter are made from ``METHODS``, ``BUDGETS``, ``updates`` and
``images``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import choice, count, number
from lrcourse.exercises.checking import exercise

if TYPE_CHECKING:
    import xarray as xr

    from lrcourse.data import Data

Array = NDArray[np.float64]

METHODS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "Adam": {"optimizer": "adam"},
}
EPOCHS = {"4 epochs": 4, "16 epochs": 16}
BUDGETS = [*EPOCHS, "128 updates"]
ROWS = 1024  # a multiple of every batch size of the chapter, so that no row is left over


def images(wrong: float = 0.0) -> Data:
    """Return the first 1,024 training digits, a part of them with labels drawn at random.

    Parameters
    ----------
    wrong : float
        Share of the training images whose label is drawn, from 0 to 1.

    Returns
    -------
    Data
        The validation part is that of all digits, with its true labels.

    Examples
    --------
    >>> images()
    Data('digits', 1024 training and 450 validation rows of 64, cross_entropy)
    """
    from dataclasses import replace

    from lrcourse.data import digits, mislabelled

    data = digits()
    first = replace(data, x_train=data.x_train[:ROWS], y_train=data.y_train[:ROWS])
    return mislabelled(first, number("wrong", wrong, low=0, high=1))


def updates(budget: str, batch_size: int) -> int:
    """Return the updates of a run under a budget.

    Parameters
    ----------
    budget : str
        One of ``BUDGETS``.
    batch_size : int
        Rows of a batch.

    Examples
    --------
    >>> updates("4 epochs", 64), updates("4 epochs", 128), updates("128 updates", 128)
    (64, 32, 128)
    """
    choice("budget", budget, BUDGETS)
    return EPOCHS[budget] * ROWS // count("batch_size", batch_size) if budget in EPOCHS else 128


def leftover(lr: float, keep: bool, seed: int, *, momentum: float = 0.9, epochs: int = 16) -> float:
    """Return the final validation loss where the last, short batch of an epoch is kept or dropped.

    1,347 digits in batches of 448 are three batches and three images.  A torch ``DataLoader`` keeps
    such a batch unless it is told ``drop_last=True``.

    Parameters
    ----------
    lr : float
        The rate of the first update; it falls linearly to 0.
    keep : bool
        Whether the three images are a batch.
    seed : int
        Of the start and of the order of the images.
    momentum : float
        Of SGD.
    epochs : int
        Passes through the data.

    Returns
    -------
    float
        NaN for a run that diverged.

    Examples
    --------
    >>> 0 < leftover(0.1, keep=False, seed=0, epochs=2) < 3
    True
    """
    import torch

    from lrcourse.models import mlp
    from lrcourse.randomness import seeded
    from lrcourse.training import evaluate

    data, model = _digits(), seeded(mlp, seed)
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    steps = epochs * (3 + keep)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / steps, steps - 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network is slower with more
    try:
        for _ in range(epochs):
            order = torch.randperm(len(data.x_train), generator=draw)
            for rows in torch.split(order, 448)[: 3 + keep]:
                optimizer.zero_grad()
                loss = data.loss_of(model(data.x_train[rows]), data.y_train[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                falling.step()
    finally:
        torch.set_num_threads(threads)
    end = evaluate(model, data)[1]
    return end if np.isfinite(end) else float("nan")


@cache
def _digits() -> Data:
    """All training digits, read once."""
    from lrcourse.data import digits

    return digits()


def good_middle(losses: xr.DataArray) -> xr.DataArray:
    """Return the middle of the good rates, on a logarithmic scale.

    Good is a rate whose loss is within a tenth of the lowest; the ends lie between rates of the
    grid.  It moves less from seed to seed than the best rate of a grid does.

    Parameters
    ----------
    losses : DataArray
        Medians, or updates needed, over ``lr`` and other dimensions.

    Returns
    -------
    DataArray
        Over the other dimensions.

    Examples
    --------
    >>> import xarray as xr
    >>> good_middle(xr.DataArray([9.0, 1.0, 1.0, 9.0], {"lr": [0.001, 0.01, 1.0, 10.0]})).round(2)
    <xarray.DataArray ()> Size: 8B
    array(0.1)
    """
    from lrcourse.results import good_range

    good = good_range(losses, within=1.1, interpolate=True)
    middle: xr.DataArray = (good.low * good.high) ** 0.5
    return middle


def without_each(ends: xr.DataArray, read: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """Return what is read from the median of all seeds but one, for each of them.

    How far these values lie apart says how much a result hangs on one seed.

    Parameters
    ----------
    ends : DataArray
        Over ``seed`` and other dimensions.
    read : callable
        Of the medians over the remaining seeds.

    Returns
    -------
    DataArray
        Over ``seed``, the one that was left out, and what `read` returns.

    Examples
    --------
    >>> import xarray as xr
    >>> ends = xr.DataArray([1.0, 2.0, 6.0], {"seed": [0, 1, 2]})
    >>> without_each(ends, lambda median: median).values
    array([4. , 3.5, 1.5])
    """
    import xarray as xr

    from lrcourse.results import middle

    parts = [read(middle(ends.drop_sel(seed=seed))) for seed in ends.seed.values]
    made: xr.DataArray = xr.concat(parts, ends.seed)
    return made


def growth(rates: xr.DataArray, left_out: xr.DataArray) -> dict[str, tuple[float, float, float]]:
    """Return by how much the rate grows for eight times the batch, three times in a row.

    Parameters
    ----------
    rates : DataArray
        Over ``batch_size``.
    left_out : DataArray
        The same over ``seed`` too, with one left out.

    Returns
    -------
    dict
        From the span to the factor, its least and its largest value with a seed left out.

    Examples
    --------
    >>> import xarray as xr
    >>> rates = xr.DataArray([1.0, 4.0, 8.0, 8.0], {"batch_size": [2, 16, 128, 1024]})
    >>> growth(rates, rates.expand_dims(seed=2))["16 to 128"]
    (2.0, 2.0, 2.0)
    """
    factors = {}
    for small in (2, 16, 128):
        each, all_ = (
            (part.sel(batch_size=8 * small) / part.sel(batch_size=small))
            for part in (left_out, rates)
        )
        span = f"{small} to {8 * small:,}"
        hull = [float(all_), *each.values.tolist()]
        factors[span] = hull[0], min(hull), max(hull)
    return factors


def loss_at(losses: xr.DataArray, rate: float) -> float:
    """Return the loss at a rate between those of a grid, on straight lines in log-log axes.

    Parameters
    ----------
    losses : DataArray
        Medians over ``lr``, infinite where runs diverged.
    rate : float
        Within the grid.

    Examples
    --------
    >>> import xarray as xr
    >>> round(loss_at(xr.DataArray([1.0, 4.0, np.inf], {"lr": [0.1, 0.4, 1.6]}), 0.2), 3)
    2.0
    """
    x, y = np.log(losses.lr.values), np.log(losses.values)
    return float(np.exp(np.interp(np.log(number("rate", rate, low=0, open_low=True)), x, y)))


def critical_batch(needed: xr.DataArray) -> tuple[float, float]:
    r"""Return the least number of updates, and the batch size at which twice as many are needed.

    They are fitted to :math:`S = S_{\min} (1 + B_{\text{crit}} / B)` by least squares of the
    logarithms.

    Parameters
    ----------
    needed : DataArray
        Updates S over ``batch_size``.

    Returns
    -------
    tuple of two floats

    Examples
    --------
    >>> import xarray as xr
    >>> sizes = xr.DataArray([2.0, 8.0, 32.0, 128.0], dims="batch_size")
    >>> needed = (50 * (1 + 20 / sizes)).assign_coords(batch_size=sizes.values)
    >>> [round(found, 1) for found in critical_batch(needed)]
    [50.0, 20.0]
    """
    sizes, updates = needed.batch_size.values.astype(float), needed.values
    trial = np.geomspace(0.5, 5000, 4001)
    rest = np.log(updates)[:, None] - np.log1p(trial / sizes[:, None])
    k = int(rest.var(axis=0).argmin())
    return float(np.exp(rest[:, k].mean())), float(trial[k])


def said_of_batches(rates: xr.DataArray) -> xr.DataArray:
    """Return how the good rates of each batch size stand to the two rules, in words.

    Parameters
    ----------
    rates : DataArray
        Middle of the good rates over ``optimizer``, ``budget`` and ``batch_size``, rising.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> rates = xr.DataArray([[[0.1, 0.8, 0.6]]], {
    ...     "optimizer": ["SGD"], "budget": ["4 epochs"], "batch_size": [2, 16, 128]})
    >>> for text in said_of_batches(rates).values.ravel():
    ...     print(text)
    Batch 2: the good rates lie around 0.1. Both rules start here.
    Batch 16: the good rates lie around 0.8, 8 times those of batch 2. That is close to the linear rule, 8.
    Batch 128: the good rates lie around 0.6, 6 times those of batch 2. They have hardly risen since batch 16, or fallen.
    """  # noqa: E501
    from lrcourse.explore.words import each_state, in_words

    sizes = rates.batch_size.values.tolist()
    least = sizes[0]

    def say(method: str, budget: str, size: int, rate: float) -> str:
        own = rates.sel(optimizer=method, budget=budget)
        head = f"Batch {size:,}: the good rates lie around {in_words(rate, 2)}"
        if size == least:
            return f"{head}. Both rules start here."
        times, times_batch = rate / own.sel(batch_size=least).item(), size / least
        head += f", {in_words(times, 2)} times those of batch {least}."
        before = sizes[sizes.index(size) - 1]
        if rate < 1.02 * own.sel(batch_size=before).item():
            return f"{head} They have hardly risen since batch {before:,}, or fallen."
        root = times_batch**0.5
        if times > 0.8 * times_batch:
            return f"{head} That is close to the linear rule, {in_words(times_batch)}."
        if root / 1.2 < times < 1.2 * root:
            return f"{head} That is close to the square root, {in_words(root, 2)}."
        of = f"the square root, {in_words(root, 2)}"
        if times > root:
            return f"{head} That is between {of}, and the linear rule, {in_words(times_batch)}."
        return f"{head} That is less than {of}."

    return each_state(say, rates.optimizer, rates.budget, rates.batch_size, rates)


def critical_of(needed: xr.DataArray) -> xr.DataArray:
    """Return the critical batch size of each case and goal; NaN where a goal is not reached.

    Parameters
    ----------
    needed : DataArray
        Updates over ``case``, ``goal`` and ``batch_size``; not finite for never.

    Returns
    -------
    DataArray
        Over ``case`` and ``goal``.

    Examples
    --------
    >>> import xarray as xr
    >>> needed = xr.DataArray([[[60.0, 33.0], [np.inf, np.inf]]], {
    ...     "case": ["SGD"], "goal": [0.3, 0.1], "batch_size": [10, 100]})
    >>> critical_of(needed).values.round()
    array([[10., nan]])
    """
    import xarray as xr

    of = needed.transpose("case", "goal", "batch_size")
    found = [
        [critical_batch(row)[1] if np.isfinite(row).all() else np.nan for row in part]
        for part in of
    ]
    return xr.DataArray(found, {name: of[name] for name in ("case", "goal")})


def said_of_goals(needed: xr.DataArray) -> xr.DataArray:
    """Return where a larger batch stops to save updates on the way to a goal, in words.

    Parameters
    ----------
    needed : DataArray
        As in `critical_of`.

    Returns
    -------
    DataArray of str
        Over ``case`` and ``goal``.

    Examples
    --------
    >>> import xarray as xr
    >>> needed = xr.DataArray([[[60.0, 33.0], [np.inf, np.inf]]], {
    ...     "case": ["SGD"], "goal": [0.3, 0.1], "batch_size": [10, 100]})
    >>> for text in said_of_goals(needed).values.ravel():
    ...     print(text)
    SGD: 10 times the batch takes 1.8 times fewer updates. The critical batch size is about 10.
    SGD: this goal is not reached within these runs.
    """
    from lrcourse.explore.words import each_state, in_words

    sizes = needed.batch_size.values.tolist()
    saved = needed.isel(batch_size=0, drop=True) / needed.isel(batch_size=-1, drop=True)

    def say(case: str, goal: float, fewer: float, critical: float) -> str:
        name = f"{case[0].upper()}{case[1:]}"
        if not np.isfinite(critical):
            return f"{name}: this goal is not reached within these runs."
        more = f"{name}: {in_words(sizes[-1] / sizes[0])} times the batch takes"
        where = f"The critical batch size is about {in_words(critical, 2)}"
        return f"{more} {in_words(fewer, 2)} times fewer updates. {where}."

    return each_state(say, needed.case, needed.goal, saved, critical_of(needed))


def said_of_noise(scale: xr.DataArray) -> xr.DataArray:
    """Return how the noise scale of each training moves, in words.

    Parameters
    ----------
    scale : DataArray
        Over ``data`` and ``eval_step``.

    Returns
    -------
    DataArray of str
        Over ``data``.

    Examples
    --------
    >>> import xarray as xr
    >>> scale = xr.DataArray([[40.0, 100.0, 316.0, 324.0]], {
    ...     "data": ["true labels"], "eval_step": [0, 16, 32, 48]})
    >>> said_of_noise(scale).item().split(",")[0]
    'With true labels the noise scale rises from about 40 examples to about 300'
    """
    from lrcourse.explore.words import each_state, in_words

    def say(name: str, first: float, last: float) -> str:
        ends = [in_words(float(f"{value:.1g}")) for value in (first, last)]
        return (
            f"With {name} the noise scale rises from about {ends[0]} examples to about {ends[1]}, "
            "the mean of its last points."
        )

    tail = scale.isel(eval_step=slice(-max(2, scale.sizes["eval_step"] // 8), None))
    return each_state(
        say, scale["data"], scale.isel(eval_step=0, drop=True), tail.mean("eval_step")
    )


def noise_until(
    small: xr.DataArray, large: xr.DataArray, needed: float, *, sizes: tuple[int, int]
) -> tuple[float, float]:
    """Return the noise scale over a run up to a number of updates, and around its end.

    Parameters
    ----------
    small, large : DataArray
        Squared norms over ``seed`` and ``eval_step``.
    needed : float
        Updates until the end.
    sizes : tuple of two int
        Of the batches.

    Returns
    -------
    tuple of two floats
        The ratio of averages over all moments up to the end, and over the three moments nearest to
        it.

    Examples
    --------
    >>> import xarray as xr
    >>> squares = xr.DataArray([[10.0, 10.0, 3.0]], {"seed": [0], "eval_step": [0, 5, 10]})
    >>> noise_until(squares, squares / 2, 5, sizes=(1, 4))
    (2.0, 2.0)
    """
    from lrcourse.noise import noise_scale

    order = np.argsort(np.abs(small.eval_step.values - needed), kind="stable")[:3]
    found = []
    for where in (small.eval_step.values <= needed, np.sort(order)):
        pair = (part.isel(eval_step=where).values for part in (small, large))
        found.append(round(float(noise_scale(*pair, sizes=sizes)), 9))
    return found[0], found[1]


def said_of_half_lives(losses: xr.DataArray) -> xr.DataArray:
    """Return what a half-life means at its batch size and at a rate, in words.

    Parameters
    ----------
    losses : DataArray
        Median losses over ``half_life`` in updates, ``batch_size`` and ``lr``.

    Returns
    -------
    DataArray of str
        Over ``half_life`` and ``batch_size``.

    Examples
    --------
    >>> import xarray as xr
    >>> losses = xr.DataArray([[[0.9, 0.6]], [[0.3, 0.4]]], {
    ...     "half_life": [1, 16], "batch_size": [4], "lr": [0.01, 0.1]})
    >>> for text in said_of_half_lives(losses).values.ravel():
    ...     print(text)
    β₂ = 0.5 forgets half in 1 update, 4 examples. At its best rate, 0.1, the loss ends at 2 times the lowest of batch 4.
    β₂ = 0.958 forgets half in 16 updates, 64 examples. At its best rate, 0.01, the loss ends lowest for batch 4.
    """  # noqa: E501
    from lrcourse.explore.words import each_state, in_words
    from lrcourse.results import best

    own = best(losses)

    def say(life: int, size: int, loss: float, rate: float) -> str:
        beta2, floor = 2 ** (-1 / life), own.value.sel(batch_size=size).min().item()
        many = life * size
        forgets = f"{life:,} update{'s' * (life > 1)}, {many:,} example{'s' * (many > 1)}"
        head = f"β₂ = {in_words(beta2, 3 if beta2 < 0.99 else 4)} forgets half in {forgets}."
        times = loss / floor
        end = f"at {in_words(times, 3)} times the lowest of"
        if times < 1.015:
            end = "lowest for" if times == 1 else "about as low as the lowest of"
        return f"{head} At its best rate, {in_words(rate, 2)}, the loss ends {end} batch {size:,}."

    return each_state(say, own.half_life, own.batch_size, own.value, own.lr)


@exercise(
    cases=[
        {"beta2": 0.999, "batch_size": 64, "new_batch_size": 512},
        {"beta2": 0.95, "batch_size": 512, "new_batch_size": 8},
        {"beta2": 0.9, "batch_size": 32, "new_batch_size": 128},
    ]
)
def kept_half_life(beta2: float, batch_size: int, new_batch_size: int) -> float:
    """The β₂ that forgets a gradient after as many examples at another batch size.

    >>> kept_half_life(beta2=0.9, batch_size=32, new_batch_size=64)
    0.81
    """
    return float(beta2 ** (new_batch_size / batch_size))


@kept_half_life.mistake(
    "Then the half-life stays the same in updates, so in examples it grows with the batch."
)
def _kept(beta2: float, batch_size: int, new_batch_size: int) -> float:
    return beta2


@kept_half_life.mistake(
    "Turned round: at a larger batch, fewer updates see as many examples, so each must forget more."
)
def _inverse(beta2: float, batch_size: int, new_batch_size: int) -> float:
    return float(beta2 ** (batch_size / new_batch_size))


@kept_half_life.mistake(
    "That scales 1 − β₂ and is only close where the result is near 1. Ask what k updates forget "
    "together."
)
def _linear(beta2: float, batch_size: int, new_batch_size: int) -> float:
    return 1 - (1 - beta2) * new_batch_size / batch_size


@kept_half_life.mistake("The square root is a rule for Adam's rate. A half-life scales with k.")
def _root(beta2: float, batch_size: int, new_batch_size: int) -> float:
    return float(beta2 ** (new_batch_size / batch_size) ** 0.5)
