"""What the chapter on adaptive methods needs and no other: tasks, measurements, words, exercises.

The recorded cubes of the chapter are made from ``METHODS``, ``TASKS``, ``task`` and ``few``.  The
functions whose names begin with ``said`` put in words what the runs of a figure mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import choice, count, number
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state, in_words

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

    from lrcourse.data import Data

Array = NDArray[np.float64]

METHODS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "Nesterov": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "AdaGrad": {"optimizer": "adagrad"},
    "RMSprop": {"optimizer": "rmsprop"},
    "Adam": {"optimizer": "adam"},
    "AdamW": {"optimizer": "adamw", "weight_decay": 0.01},
}
TEXTS = {f"words, Zipf {zipf:g}": zipf for zipf in (0, 0.5, 1, 1.5)}
TASKS = [
    "digits",
    "digits, six layers",
    "digits, raw pixels",
    "tumours, standardised",
    "tumours, own units",
    *TEXTS,
]
SHORT = [  # what figures and tables call them, in the same order
    "digits",
    "deep network",
    "raw pixels",
    "scaled tumours",
    "raw tumours",
    *(f"texts, z={zipf:g}" for zipf in TEXTS.values()),
]


def words(
    zipf: float = 1.0,
    *,
    rows: int = 4000,
    vocabulary: int = 500,
    length: int = 30,
    classes: int = 4,
    tilt: float = 0.6,
    seed: int = 0,
) -> Data:
    r"""Return generated word counts of short texts of a few classes; most counts are 0.

    The word of rank r is used in proportion to :math:`r^{-\mathrm{zipf}}`, so 0 makes all words
    equally frequent and 1 is Zipf's law, which natural languages obey roughly.  A class multiplies
    the use of each word by :math:`e^{\mathrm{tilt} \cdot \varepsilon}` with a normal
    :math:`\varepsilon`: a rare word says as much about the class as a frequent one.

    Parameters
    ----------
    zipf : float
        How unequal the frequencies are, >= 0.
    rows, vocabulary, length, classes : int
        Texts, a quarter of them held out; words to choose from; words in a text; classes of texts.
    tilt : float
        How much classes differ.
    seed : int
        Of the words' meanings and of the texts.

    Returns
    -------
    Data
        Counts of shape (texts, vocabulary), and the class of each text.

    Examples
    --------
    >>> words()
    Data('words, Zipf 1', 3000 training and 1000 validation rows of 500, cross_entropy)
    """
    from lrcourse.data import split

    number("zipf", zipf, low=0)
    rng = np.random.default_rng(count("seed", seed))
    frequency = np.arange(1, count("vocabulary", vocabulary, low=2) + 1) ** -float(zipf)
    use = frequency * np.exp(
        tilt * rng.standard_normal((count("classes", classes, low=2), vocabulary))
    )
    labels = rng.integers(0, classes, count("rows", rows, low=8))
    texts = rng.multinomial(
        count("length", length, low=1), (use / use.sum(1, keepdims=True))[labels]
    )
    return split(f"words, Zipf {zipf:g}", texts, labels, seed=seed, scale=False)


def task(name: str) -> tuple[Callable[[], nn.Module], Data]:
    """Return the model and the data of a task; nothing is downloaded.

    Parameters
    ----------
    name : str
        One of ``TASKS``.

    Returns
    -------
    model : callable
        A factory of fresh networks.
    data : Data
        What they are trained on.

    Examples
    --------
    >>> model, data = task("tumours, own units")
    >>> data
    Data('tumours, own units', 426 training and 143 validation rows of 30, cross_entropy)
    >>> model()(data.x_val).shape
    torch.Size([143, 2])
    """
    from functools import partial

    from sklearn.datasets import load_breast_cancer, load_digits

    from lrcourse.data import Data, digits, split
    from lrcourse.models import mlp

    choice("name", name, TASKS)
    if name in TEXTS:
        return partial(mlp, (500, 4)), words(TEXTS[name])
    if name.startswith("digits"):
        raw = split(name, *load_digits(return_X_y=True), scale=False)
        deep = partial(mlp, (64, 32, 32, 32, 32, 32, 10), "relu")
        return deep if "six" in name else mlp, raw if "raw" in name else digits()
    data = split(name, *load_breast_cancer(return_X_y=True), scale=False)
    if "standardised" in name:
        size, mean = data.x_train.std(0), data.x_train.mean(0)
        x_train, x_val = ((part - mean) / size for part in (data.x_train, data.x_val))
        data = Data(name, x_train, data.y_train, x_val, data.y_val)
    return partial(mlp, (30, 16, 2), "relu"), data


def few(rows: int = 200, wrong: float = 0.2, seed: int = 0) -> Data:
    """Return the first digits, a part of them with labels drawn at random.

    Without regularisation a network learns those labels too.

    Parameters
    ----------
    rows : int
        Training images.
    wrong : float
        Share of them whose label is drawn, from 0 to 1.
    seed : int
        Of the choice of images and of their labels.

    Returns
    -------
    Data
        The validation part is that of all digits.

    Examples
    --------
    >>> few()
    Data('digits', 200 training and 450 validation rows of 64, cross_entropy)
    """
    from dataclasses import replace

    from lrcourse.data import digits, mislabelled

    data, rows = digits(), count("rows", rows, low=1)
    first = replace(data, x_train=data.x_train[:rows], y_train=data.y_train[:rows])
    return mislabelled(first, number("wrong", wrong, low=0, high=1), seed)


def first_layer_rates(
    name: str, *, seed: int = 0, lr: float = 0.1, at: Sequence[int] = (1, 10, 100, 1000)
) -> xr.Dataset:
    r"""Return AdaGrad's rate for each weight of the first layer, at moments of real training.

    That is :math:`\mathrm{lr} / \sqrt{G}`, with G the sum of the weight's squared gradients so far.

    Parameters
    ----------
    name : str
        One of ``TASKS``.
    seed : int
        Of the start and of the batches of 32.
    lr : float
        The rate.
    at : sequence of int
        After how many updates to look, rising; the run ends with the last.

    Returns
    -------
    Dataset
        ``rate`` over ``updates``, ``unit`` and ``input``; infinite for a weight that has not yet
        had a gradient.

    Examples
    --------
    >>> rates = first_layer_rates("digits", at=(1, 3, 10)).rate
    >>> rates.sizes["unit"], rates.sizes["input"], rates.updates.values.tolist()
    (32, 64, [1, 3, 10])
    >>> bool((rates.sel(updates=10) <= rates.sel(updates=1)).all())
    True
    """
    import torch
    import xarray as xr

    from lrcourse.training import fit

    looks, steps = set(at), max(at)
    made: list[torch.optim.Adagrad] = []
    seen: list[Array] = []

    def build(parameters: Any) -> torch.optim.Optimizer:
        made.append(torch.optim.Adagrad(parameters, lr=lr))
        return made[0]

    def note(t: int, model: Any, loss: float) -> None:
        if t + 1 in looks:
            squares = made[0].state[model[1].weight]["sum"]
            seen.append((lr / squares.sqrt()).detach().double().numpy())

    model, data = task(name)
    run: dict[str, Any] = {"lr": lr, "steps": steps, "seed": seed, "batch_size": 32}
    fit(model, data, optimizer=build, callbacks=[note], eval_every=steps, progress=False, **run)
    return xr.Dataset({"rate": (("updates", "unit", "input"), seen)}, {"updates": sorted(looks)})


def word_rates(zipf: float, *, seed: int = 0, at: Sequence[int] = (100, 1000)) -> xr.Dataset:
    """Return AdaGrad's rate for words of each frequency, at moments of training on texts.

    Parameters
    ----------
    zipf : float
        One of the values of ``TEXTS``.
    seed, at
        As in `first_layer_rates`.

    Returns
    -------
    Dataset
        ``rate`` over ``updates`` and ``rank``, the first of the neighbouring ranks over whose
        weights the median is taken; a word that no batch has held yet is left out of it.

    Examples
    --------
    >>> rate = word_rates(1.0, at=(50,)).rate
    >>> bool(rate.sel(rank=1) < rate.isel(rank=-1))
    True
    """
    import xarray as xr

    name = next(name for name, value in TEXTS.items() if value == zipf)
    rate = first_layer_rates(name, seed=seed, at=at).rate
    met = rate.where(np.isfinite(rate))
    edges = [1, 3, 10, 30, 100, 300, 501]
    parts = [met.isel(input=slice(a - 1, b - 1)) for a, b in pairwise(edges)]
    each: xr.DataArray = xr.concat([part.median(["unit", "input"]) for part in parts], "rank")
    return each.assign_coords(rank=edges[:-1]).transpose("updates", "rank").to_dataset(name="rate")


def against(ends: xr.DataArray, rates: xr.DataArray, other: str) -> xr.DataArray:
    """Return each method's final loss over that of another, seed by seed, each at its own rate.

    Parameters
    ----------
    ends : DataArray
        Final losses over ``optimizer``, ``lr``, ``seed`` and other dimensions.
    rates : DataArray
        The rate of each method, without ``lr`` and ``seed``.
    other : str
        The method to divide by.

    Returns
    -------
    DataArray
        Over the dimensions of `ends` but ``lr``; runs of a seed share their start and batches.

    Examples
    --------
    >>> import xarray as xr
    >>> coords = {"optimizer": ["SGD", "Adam"], "lr": [0.1, 1.0], "seed": [0]}
    >>> ends = xr.DataArray([[[4.0], [2.0]], [[1.0], [3.0]]], coords)
    >>> rates = xr.DataArray([1.0, 0.1], {"optimizer": ["SGD", "Adam"]})
    >>> against(ends, rates, "Adam").sel(optimizer="SGD").values
    array([2.])
    """
    own = ends.sel(lr=rates).drop_vars("lr")
    return own / own.sel(optimizer=other, drop=True)


def spread(values: Any, middle: float | None = None, decimals: int = 2) -> str:
    """Return the middle, the least and the largest of some numbers, as a table shows them.

    Parameters
    ----------
    values : array_like
        The numbers.
    middle : float, optional
        What to call the middle; else it is the median.
    decimals : int
        Digits after the point.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0], decimals=1).replace(chr(160), " ")
    '2.0 (1.0 to 3.0)'
    """
    mid = np.median(values) if middle is None else middle
    texts = [f"{v:.{decimals}f}".replace("-", "−") for v in (mid, np.min(values), np.max(values))]
    return "{} ({} to {})".format(*texts).replace(" ", "\N{NO-BREAK SPACE}")


def valley(losses: xr.DataArray) -> float:
    """Return how the valley of good pairs is tilted in a picture over rate and weight decay.

    At each rate the valley's middle is that of the good range of weight decays, within 5 % of the
    rate's best.  A rate counts if weight decay does something there, so that the smallest is at
    least 15 % worse than the best, and if its best is at most 1.5 times the best of all.

    Parameters
    ----------
    losses : DataArray
        Medians over ``lr`` and ``weight_decay``, infinite where runs diverged.

    Returns
    -------
    float
        The slope of a line through the middles on logarithmic axes; NaN for fewer than four rates.

    Examples
    --------
    >>> import xarray as xr
    >>> lr, decay = (xr.DataArray(v, {n: v}) for n, v in [
    ...     ("lr", np.geomspace(0.01, 1, 5)), ("weight_decay", np.geomspace(1e-3, 10, 17))])
    >>> round(valley(1 + np.log10(decay / lr) ** 2), 3)
    1.0
    """
    from lrcourse.results import best, good_range

    floor = best(losses, along="weight_decay").value
    use = (losses.isel(weight_decay=0) >= 1.15 * floor) & (floor <= 1.5 * floor.min())
    good = good_range(losses, within=1.05, along="weight_decay").sel(lr=use.values)
    if good.sizes["lr"] < 4:
        return float("nan")
    middle = (np.log10(good.low) + np.log10(good.high)) / 2
    return float(np.polyfit(np.log10(good.lr), middle, 1)[0])


def said_of_rates(losses: xr.DataArray, start: float) -> xr.DataArray:
    """Return what each rate means for its method, in words.

    Parameters
    ----------
    losses : DataArray
        Median final losses over ``optimizer`` and ``lr``, infinite where runs diverged.
    start : float
        The loss before training.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> losses = xr.DataArray(
    ...     [[0.8, 0.2, 0.6, np.inf]], {"optimizer": ["Adam"], "lr": [0.001, 0.01, 0.1, 1]})
    >>> for text in said_of_rates(losses, start=2.3).values[0]:
    ...     print(text)
    Too low for Adam: the loss ends at 4 times that of its best rate, 0.01.
    The best rate for Adam: the loss ends at 0.2.
    Too high for Adam: the loss ends at 3 times that of its best rate, 0.01.
    Too high for Adam: most runs diverge. Its best rate is 0.01.
    """
    from lrcourse.results import best, good_range

    own, good = best(losses), good_range(losses, within=1.5)

    def say(method: str, rate: float, loss: float) -> str:
        of = {"optimizer": method}
        top, floor = own.lr.sel(of).item(), own.value.sel(of).item()
        if rate == top:
            return f"The best rate for {method}: the loss ends at {in_words(floor, 2)}."
        if not np.isfinite(loss):
            return f"Too high for {method}: most runs diverge. Its best rate is {in_words(top, 2)}."
        side = "low" if rate < top else "high"
        head = f"Too {side} for {method}"
        if good.low.sel(of) <= rate <= good.high.sel(of):
            head = f"In the good range of {method}"
        if loss > start:
            return (
                f"{head}: the loss ends higher than it began. Its best rate is {in_words(top, 2)}."
            )
        times = loss / floor
        many = "about the same as at" if times < 1.05 else f"at {in_words(times, 2)} times that of"
        return f"{head}: the loss ends {many} its best rate, {in_words(top, 2)}."

    return each_state(say, losses.optimizer, losses.lr, losses)


def said_of_tasks(losses: xr.DataArray) -> xr.DataArray:
    """Return what each rate means for a method on a task, in words.

    Parameters
    ----------
    losses : DataArray
        Median final losses over ``optimizer``, ``task`` and ``lr``, infinite where runs diverged.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> losses = xr.DataArray([[[0.8, 0.2], [0.2, 0.8]]], {
    ...     "optimizer": ["SGD"], "task": ["digits", "texts"], "lr": [0.01, 1]})
    >>> print(said_of_tasks(losses).values[0, 1, 1])
    Texts: too high for SGD, whose best rate here is 0.01. Its best rates span 2 decades.
    """
    from lrcourse.results import best, good_range

    own, good = best(losses), good_range(losses, within=1.5)
    span = np.log10(own.lr.max("task") / own.lr.min("task"))

    def say(method: str, name: str, rate: float, loss: float) -> str:
        of = {"optimizer": method, "task": name}
        top, wide = own.lr.sel(of).item(), span.sel(optimizer=method).item()
        state = f"too {'low' if rate < top else 'high'} for"
        if good.low.sel(of) <= rate <= good.high.sel(of):
            state = "in the good range of"
        return (
            f"{name[0].upper()}{name[1:]}: {state} {method}, whose best rate here is "
            f"{in_words(top, 2)}. Its best rates span {in_words(wide, 2)} decades."
        )

    return each_state(say, losses.optimizer, losses.task, losses.lr, losses)


def said_of_scales(updates: xr.DataArray) -> xr.DataArray:
    """Return what a rate means for a rule when the loss is multiplied by a factor, in words.

    Parameters
    ----------
    updates : DataArray
        Updates until a thousandth of the loss is left, over ``rule``, ``factor`` and ``lr``; NaN
        for never.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> updates = xr.DataArray([[[40.0, 9.0]], [[9.0, np.nan]]], {
    ...     "rule": ["GD", "Adam"], "factor": [10], "lr": [0.1, 1]})
    >>> for text in said_of_scales(updates).values[:, 0].ravel():
    ...     print(text)
    Loss times 10: reaches 1/1000 after 40 updates. The fastest rate, 1, takes 9.
    Loss times 10: reaches 1/1000 after 9 updates. No rate is faster.
    Loss times 10: reaches 1/1000 after 9 updates. No rate is faster.
    Loss times 10: this rate is too high to arrive. The fastest is 0.1.
    """
    from lrcourse.results import best

    first = best(updates)

    def say(rule: str, factor: float, rate: float, needed: float) -> str:
        of = {"rule": rule, "factor": factor}
        top, least = first.lr.sel(of).item(), first.value.sel(of).item()
        head = f"Loss times {in_words(factor, 2)}: "
        if not np.isfinite(needed):
            why = "too low to arrive in time" if rate < top else "too high to arrive"
            return f"{head}this rate is {why}. The fastest is {in_words(top, 2)}."
        end = "No rate is faster." if needed == least else (
            f"The fastest rate, {in_words(top, 2)}, takes {least:g}.")  # fmt: skip
        return f"{head}reaches 1/1000 after {needed:g} updates. {end}"

    return each_state(say, updates.rule, updates.factor, updates.lr, updates)


def said_of_words(rates: xr.DataArray) -> xr.DataArray:
    """Return how far the rates of frequent and rare words have parted, in words.

    Parameters
    ----------
    rates : DataArray
        Median effective rates over ``zipf``, ``updates`` and ``rank``.

    Returns
    -------
    DataArray of str
        Over ``zipf`` and ``updates``.

    Examples
    --------
    >>> import xarray as xr
    >>> rates = xr.DataArray(
    ...     [[[0.1, 0.1]], [[0.01, 0.3]]], {"zipf": [0, 1], "updates": [50], "rank": [1, 400]})
    >>> for text in said_of_words(rates).values.ravel():
    ...     print(text)
    After 50 updates the rarest words have nearly the rate of the two most frequent ones.
    After 50 updates the rarest words have about 30 times the rate of the two most frequent ones.
    """

    def say(zipf: float, updates: int, times: float) -> str:
        near = float(f"{times:.1g}") if times > 20 else times
        parted = f"about {in_words(near, 2)} times the" if times > 2 else "nearly the"
        rare = f"the rarest words have {parted} rate of the two most frequent ones"
        return f"After {updates} updates {rare}."

    parted = rates.isel(rank=-1, drop=True) / rates.isel(rank=0, drop=True)
    return each_state(say, parted.zipf, parted.updates, parted)


def said_of_decays(losses: xr.DataArray) -> xr.DataArray:
    """Return what a weight decay means at its rate, in words.

    Parameters
    ----------
    losses : DataArray
        Median losses over ``kind``, ``lr`` and ``weight_decay``, infinite where runs diverged.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> losses = xr.DataArray([[[0.8, 0.5, 0.7], [0.5, 0.5, 0.7]]], {
    ...     "kind": ["AdamW"], "lr": [0.1, 0.01], "weight_decay": [0.001, 0.1, 10]})
    >>> for text in said_of_decays(losses).values[0, :, 0]:
    ...     print(text)
    Too little: the loss ends at 1.6 times that of the best weight decay for this rate, 0.1.
    At this rate the run is too short for weight decay to matter: a smaller one would do as well.
    """
    from lrcourse.results import best

    first = best(losses, along="weight_decay")
    useless = losses.isel(weight_decay=0, drop=True) < 1.15 * first.value

    def say(kind: str, rate: float, decay: float, loss: float) -> str:
        of = {"kind": kind, "lr": rate}
        top, times = first.weight_decay.sel(of).item(), loss / first.value.sel(of).item()
        if useless.sel(of) and times < 1.15:
            return (
                "At this rate the run is too short for weight decay to matter: a smaller one would "
                "do as well."
            )
        if useless.sel(of):
            return "Too much: at this rate the run is too short to need any weight decay."
        best_one = f"the best weight decay for this rate, {in_words(top, 2)}"
        if times < 1.05:
            near = f"The loss is within 5 % of that of {best_one}."
            return f"This is {best_one}." if decay == top else near
        head = "Too little" if decay < top else "Too much"
        if not np.isfinite(times):
            return f"{head}: most runs diverge. The best at this rate is {in_words(top, 2)}."
        return f"{head}: the loss ends at {in_words(times, 2)} times that of {best_one}."

    return each_state(say, losses.kind, losses.lr, losses.weight_decay, losses)


_GRADIENTS = [
    np.array([1.0, 1.0, 1.0, 1.0]),
    np.array([3.0, -4.0, 0.5]),
    np.array([0.001, 0.002, 0.1, 0.0, 0.3]),
]


def _adam(
    lr: float,
    gradients: Array,
    beta1: float,
    beta2: float,
    *,
    correct: str = "mean and square",
    updates: int = 1,
    root: bool = True,
) -> Array:
    """Adam's moves, or a version with a mistake; `updates` is what the first correction counts."""
    moves, mean, square = [], 0.0, 0.0
    for t, gradient in enumerate(gradients):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        m = mean / (1 - beta1 ** (t + updates)) if "mean" in correct else mean
        s = square / (1 - beta2 ** (t + updates)) if "square" in correct else square
        moves.append(-lr * m / (np.sqrt(s) if root else s))
    return np.array(moves)


@exercise(
    cases=[
        {"lr": 0.1, "gradients": _GRADIENTS[0], "beta1": 0.9, "beta2": 0.999},
        {"lr": 0.1, "gradients": _GRADIENTS[1], "beta1": 0.9, "beta2": 0.99},
        {"lr": 0.1, "gradients": _GRADIENTS[2], "beta1": 0.9, "beta2": 0.999},
    ]
)
def adam_moves(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    """The moves of one parameter under Adam with eps = 0, both averages corrected.

    >>> adam_moves(0.1, np.array([5.0, 5.0]), beta1=0.9, beta2=0.999).round(6).tolist()
    [-0.1, -0.1]
    """
    return _adam(lr, gradients, beta1, beta2)


@adam_moves.mistake("A move goes against the gradient: mind the sign.")
def _uphill(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    return _adam(-lr, gradients, beta1, beta2)


@adam_moves.mistake("Uncorrected, the first move is (1 − β₁)/√(1 − β₂) times lr, not lr.")
def _uncorrected(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    return _adam(lr, gradients, beta1, beta2, correct="none")


@adam_moves.mistake("The square needs its correction too: it started at 0 as well.")
def _square_uncorrected(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    return _adam(lr, gradients, beta1, beta2, correct="mean")


@adam_moves.mistake("The mean needs its correction too: it started at 0 as well.")
def _mean_uncorrected(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    return _adam(lr, gradients, beta1, beta2, correct="square")


@adam_moves.mistake("After the update counted 0 one gradient is in, so the exponent is t + 1.")
def _exponent_t(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    return _adam(lr, gradients, beta1, beta2, updates=0)


@adam_moves.mistake("Divide by the root of the square, or the gradient's scale matters.")
def _by_the_square(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    return _adam(lr, gradients, beta1, beta2, root=False)


@adam_moves.mistake(
    "That is the first move only. After it, the averages weigh the gradients against each other."
)
def _signs(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    return np.asarray(-lr * np.sign(gradients))


_RATES = [1e-3, 1e-2, 1e-1, 1.0, 10.0]


@exercise(
    cases=[
        {"rates": _RATES, "losses": [2.0, 0.5, 0.4, 0.55, np.nan], "factor": 1.5},
        {"rates": _RATES, "losses": [0.1, 0.11, 0.5, np.nan, np.nan], "factor": 1.2},
        {"rates": _RATES, "losses": [0.30, 0.9, 0.25, 0.26, 0.9], "factor": 1.25},
        {"rates": [0.1, 0.2, 0.4, 0.8], "losses": [1.0, 1.0, 1.0, 1.0], "factor": 1.1},
    ]
)
def good_decades(rates: Sequence[float], losses: Sequence[float], factor: float) -> float:
    """Decades around the best rate in which the loss stays within `factor` of the best.

    >>> good_decades([0.01, 0.1, 1.0, 10.0], [0.9, 0.21, 0.2, float("nan")], factor=1.5)
    1.0
    """
    lr, loss = np.asarray(rates), np.where(np.isfinite(losses), losses, np.inf)
    good, low = loss <= factor * loss.min(), int(loss.argmin())
    high = low
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(lr) - 1 and good[high + 1]:
        high += 1
    return float(np.log10(lr[high] / lr[low]))


def _all_good(rates: Sequence[float], losses: Sequence[float], factor: float) -> Array:
    """Every good rate, in rising order, on whichever side of a bad one it lies."""
    loss = np.where(np.isfinite(losses), losses, np.inf)
    good: Array = np.asarray(rates)[loss <= factor * loss.min()]
    return good


@good_decades.mistake(
    "A good rate beyond a bad one does not count: go outwards from the best rate, and stop at the "
    "first bad one."
)
def _across_a_gap(rates: Sequence[float], losses: Sequence[float], factor: float) -> float:
    good = _all_good(rates, losses, factor)
    return float(np.log10(good[-1] / good[0]))


@good_decades.mistake("That counts rates. The width is log10(highest / lowest).")
def _counted(rates: Sequence[float], losses: Sequence[float], factor: float) -> float:
    return float(len(_all_good(rates, losses, factor)))


@good_decades.mistake("Use the base 10: a decade is a factor of ten.")
def _natural_logarithm(rates: Sequence[float], losses: Sequence[float], factor: float) -> float:
    return float(good_decades(rates, losses, factor) * np.log(10))


@good_decades.mistake("A ratio is wanted in decades, not the difference of two rates.")
def _difference(rates: Sequence[float], losses: Sequence[float], factor: float) -> float:
    good = _all_good(rates, losses, factor)
    return float(good[-1] - good[0])


@good_decades.mistake(
    "NaN is a run that diverged: it is bad, and min() of it poisons all. Make it infinite first."
)
def _poisoned(rates: Sequence[float], losses: Sequence[float], factor: float) -> float:
    return good_decades(rates, losses, factor) if np.isfinite(np.min(losses)) else float("nan")
