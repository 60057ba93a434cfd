"""What the chapter on adaptive methods needs and no other: tasks, measurements, its exercises.

The recorded cubes of the chapter are made from ``METHODS``, ``TASKS``, ``task`` and ``few``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import choice, count, number
from lrcourse.exercises.checking import exercise

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

    import torch

    from lrcourse.data import digits

    data, rng = digits(), np.random.default_rng(count("seed", seed))
    y = data.y_train[: count("rows", rows, low=1)].clone()
    lost = rng.permutation(len(y))[: round(number("wrong", wrong, low=0, high=1) * len(y))]
    y[lost] = torch.from_numpy(rng.integers(0, 10, len(lost)))
    return replace(data, x_train=data.x_train[:rows], y_train=y)


def first_layer_rates(
    name: str, *, seed: int = 0, lr: float = 0.1, steps: int = 1500, looks: int = 30
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
    steps : int
        Updates of the run.
    looks : int
        How often to look, evenly on a logarithmic axis; moments that coincide count once.

    Returns
    -------
    Dataset
        ``rate`` over ``updates``, ``unit`` and ``input``; infinite for a weight that has not yet
        had a gradient.

    Examples
    --------
    >>> rates = first_layer_rates("digits", steps=10, looks=3).rate
    >>> rates.sizes["unit"], rates.sizes["input"], rates.updates.values.tolist()
    (32, 64, [1, 3, 10])
    >>> bool((rates.sel(updates=10) <= rates.sel(updates=1)).all())
    True
    """
    import torch
    import xarray as xr

    from lrcourse.training import fit

    at = np.unique(np.geomspace(1, steps, looks).round(9).astype(int))
    made: list[torch.optim.Adagrad] = []
    seen: list[Array] = []

    def build(parameters: Any) -> torch.optim.Optimizer:
        made.append(torch.optim.Adagrad(parameters, lr=lr))
        return made[0]

    def note(t: int, model: Any, loss: float) -> None:
        if t + 1 in at:
            squares = made[0].state[model[1].weight]["sum"]
            seen.append((lr / squares.sqrt()).detach().double().numpy())

    model, data = task(name)
    run: dict[str, Any] = {"lr": lr, "steps": steps, "seed": seed, "batch_size": 32}
    fit(model, data, optimizer=build, callbacks=[note], progress=False, **run)
    return xr.Dataset({"rate": (("updates", "unit", "input"), seen)}, {"updates": at})


def valley(losses: xr.DataArray) -> dict[str, float]:
    """Return how the valley of good pairs lies in a picture over rate and decay.

    At each rate the valley's middle is that of the good range of decays, within 5 % of the rate's
    best.  A rate counts if decay does something there, so that the smallest decay is at least 15 %
    worse than the best, and if its best is at most 1.5 times the best of all.

    Parameters
    ----------
    losses : DataArray
        Medians over ``lr`` and ``decay``, infinite where runs diverged.

    Returns
    -------
    dict of str to float
        The ``slope`` of a line through the middles on logarithmic axes, their mean ``decay``, and
        the rates ``low`` and ``high`` between which they lie; all NaN for fewer than four rates.

    Examples
    --------
    >>> import xarray as xr
    >>> lr, decay = (xr.DataArray(v, {n: v}) for n, v in [
    ...     ("lr", np.geomspace(0.01, 1, 5)), ("decay", np.geomspace(1e-3, 10, 17))])
    >>> found = valley(1 + np.log10(decay / lr) ** 2)
    >>> round(found["slope"], 3), found["low"], found["high"]
    (1.0, 0.01, 1.0)
    """
    from lrcourse.results import best, good_range

    floor = best(losses, along="decay").value
    use = (losses.isel(decay=0) >= 1.15 * floor) & (floor <= 1.5 * floor.min())
    good = good_range(losses, within=1.05, along="decay").sel(lr=use.values)
    if good.sizes["lr"] < 4:
        return dict.fromkeys(("slope", "decay", "low", "high"), np.nan)
    middle = (np.log10(good.low) + np.log10(good.high)) / 2
    return {
        "slope": float(np.polyfit(np.log10(good.lr), middle, 1)[0]),
        "decay": float(10 ** middle.mean()),
        "low": float(good.lr.min()),
        "high": float(good.lr.max()),
    }


_GRADIENTS = [
    np.array([1.0, 1.0, 1.0, 1.0]),
    np.array([3.0, -4.0, 0.5]),
    np.array([0.001, 0.002, 0.1, 0.0, 0.3]),
]


@exercise(
    cases=[
        {"lr": 0.1, "gradients": _GRADIENTS[0]},
        {"lr": 1.0, "gradients": _GRADIENTS[1]},
        {"lr": 0.02, "gradients": _GRADIENTS[2]},
    ]
)
def effective_rates(lr: float, gradients: Array) -> Array:
    """What AdaGrad multiplies each gradient of one parameter with: lr / root of the sum so far.

    >>> effective_rates(1.0, np.array([3.0, 4.0])).round(3).tolist()
    [0.333, 0.2]
    """
    return np.asarray(lr / np.sqrt(np.cumsum(gradients**2)))


@effective_rates.mistake("The gradient of the update itself belongs to the sum.")
def _without_its_own(lr: float, gradients: Array) -> Any:
    return lr / np.sqrt(np.cumsum(gradients**2) - gradients**2)


@effective_rates.mistake(
    "That is the mean of the squares. AdaGrad sums and never forgets; the mean is the idea of "
    "RMSprop."
)
def _mean_of_squares(lr: float, gradients: Array) -> Any:
    return lr / np.sqrt(np.cumsum(gradients**2) / np.arange(1, len(gradients) + 1))


@effective_rates.mistake(
    "Take the root of the sum of squares, or the rate falls twice as fast on a log axis."
)
def _without_the_root(lr: float, gradients: Array) -> Any:
    return lr / np.cumsum(gradients**2)


@effective_rates.mistake("Sum the squares, not the gradients: signs must not cancel.")
def _sum_of_gradients(lr: float, gradients: Array) -> Any:
    return lr / np.abs(np.cumsum(gradients))


@effective_rates.mistake(
    "That is the whole update. Only its factor before the gradient is asked for."
)
def _whole_update(lr: float, gradients: Array) -> Any:
    return lr * gradients / np.sqrt(np.cumsum(gradients**2))


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


@exercise(
    cases=[
        {"half_life": 1000, "lr": 1e-3},
        {"half_life": 50, "lr": 0.03},
        {"half_life": 1, "lr": 0.5},
    ]
)
def decay_for(half_life: int, lr: float) -> float:
    """The weight_decay of torch's AdamW that halves an idle weight in `half_life` updates.

    >>> decay_for(half_life=1, lr=0.5)
    1.0
    """
    return float((1 - 0.5 ** (1 / half_life)) / lr)


@decay_for.mistake("torch multiplies the decay by the rate, so divide by lr.")
def _without_the_rate(half_life: int, lr: float) -> float:
    return float(1 - 0.5 ** (1 / half_life))


@decay_for.mistake("Divide by lr: each update keeps 1 − lr·weight_decay of the weight.")
def _times_the_rate(half_life: int, lr: float) -> float:
    return float((1 - 0.5 ** (1 / half_life)) * lr)


@decay_for.mistake("ln 2 / (n·lr) is the answer of continuous time. Solve (1 − lr·d)ⁿ = ½ exactly.")
def _continuous_time(half_life: int, lr: float) -> float:
    return float(np.log(2) / half_life / lr)


@decay_for.mistake("Shrinking compounds: half of it is not 1/(2n) an update.")
def _not_compounded(half_life: int, lr: float) -> float:
    return 0.5 / half_life / lr


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
