"""Exercises of the chapter on adaptive methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lrcourse.exercises.checking import Exercise

Array = NDArray[np.float64]


def effective_rates(lr: float, gradients: Array) -> Array:
    """What AdaGrad multiplies each gradient of one parameter with: lr / root of the sum so far."""
    return np.asarray(lr / np.sqrt(np.cumsum(gradients**2)))


def adam_moves(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
    """The moves of one parameter under Adam with eps = 0, both averages corrected."""
    moves, mean, square = [], 0.0, 0.0
    for t, gradient in enumerate(gradients):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        corrected = square / (1 - beta2 ** (t + 1))
        moves.append(-lr * mean / (1 - beta1 ** (t + 1)) / np.sqrt(corrected))
    return np.array(moves)


def _moves(
    late: int, correct_mean: bool, correct_square: bool, root: bool = True
) -> Callable[..., Array]:
    """A version of Adam with its mistakes chosen."""

    def wrong(lr: float, gradients: Array, beta1: float, beta2: float) -> Array:
        moves, mean, square = [], 0.0, 0.0
        for t, gradient in enumerate(gradients):
            mean = beta1 * mean + (1 - beta1) * gradient
            square = beta2 * square + (1 - beta2) * gradient**2
            m = mean / (1 - beta1 ** (t + late)) if correct_mean else mean
            s = square / (1 - beta2 ** (t + late)) if correct_square else square
            moves.append(-lr * m / (np.sqrt(s) if root else s))
        return np.array(moves)

    return wrong


def decay_for(half_life: int, lr: float) -> float:
    """The weight_decay of torch's AdamW that halves an idle weight in `half_life` updates."""
    return float((1 - 0.5 ** (1 / half_life)) / lr)


def good_decades(rates: Sequence[float], losses: Sequence[float], factor: float) -> float:
    """Decades around the best rate in which the loss stays within `factor` of the best."""
    lr, loss = np.asarray(rates), np.where(np.isfinite(losses), losses, np.inf)
    good, low = loss <= factor * loss.min(), int(loss.argmin())
    high = low
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(lr) - 1 and good[high + 1]:
        high += 1
    return float(np.log10(lr[high] / lr[low]))


def _all_good(rates: Sequence[float], losses: Sequence[float], factor: float) -> Array:
    loss = np.where(np.isfinite(losses), losses, np.inf)
    good: Array = np.asarray(rates)[loss <= factor * loss.min()]
    return good


_GRADIENTS = [
    np.array([1.0, 1.0, 1.0, 1.0]),
    np.array([3.0, -4.0, 0.5]),
    np.array([0.001, 0.002, 0.1, 0.0, 0.3]),
]
_RATES = [1e-3, 1e-2, 1e-1, 1.0, 10.0]

EXERCISES = {
    "effective_rates": Exercise(
        effective_rates,
        [{"lr": lr, "gradients": g} for lr, g in zip((0.1, 1.0, 0.02), _GRADIENTS, strict=True)],
        mistakes={
            "The gradient of the update itself belongs to the sum.": (
                lambda lr, gradients: lr / np.sqrt(np.cumsum(gradients**2) - gradients**2)
            ),
            "That is the mean of the squares. AdaGrad sums and never forgets; "
            "the mean is the idea of RMSprop.": (
                lambda lr, gradients: (
                    lr / np.sqrt(np.cumsum(gradients**2) / np.arange(1, len(gradients) + 1))
                )
            ),
            "Take the root of the sum of squares, or the rate falls twice as fast on a log axis.": (
                lambda lr, gradients: lr / np.cumsum(gradients**2)
            ),
            "Sum the squares, not the gradients: signs must not cancel.": (
                lambda lr, gradients: lr / np.abs(np.cumsum(gradients))
            ),
            "That is the whole update. Only its factor before the gradient is asked for.": (
                lambda lr, gradients: lr * gradients / np.sqrt(np.cumsum(gradients**2))
            ),
        },
    ),
    "adam_moves": Exercise(
        adam_moves,
        [
            {"lr": 0.1, "gradients": g, "beta1": 0.9, "beta2": b}
            for g, b in zip(_GRADIENTS, (0.999, 0.99, 0.999), strict=True)
        ],
        mistakes={
            "A move goes against the gradient: mind the sign.": (
                lambda lr, gradients, beta1, beta2: -adam_moves(lr, gradients, beta1, beta2)
            ),
            "Uncorrected, the first move is (1 − β₁)/√(1 − β₂) times lr, not lr.": _moves(
                1, False, False
            ),
            "The square needs its correction too: it started at 0 as well.": _moves(1, True, False),
            "The mean needs its correction too: it started at 0 as well.": _moves(1, False, True),
            "After the update counted 0 one gradient is in, so the exponent is t + 1.": _moves(
                0, True, True
            ),
            "Divide by the root of the square, or the gradient's scale matters.": _moves(
                1, True, True, root=False
            ),
        },
    ),
    "decay_for": Exercise(
        decay_for,
        [
            {"half_life": 1000, "lr": 1e-3},
            {"half_life": 50, "lr": 0.03},
            {"half_life": 1, "lr": 0.5},
        ],
        mistakes={
            "torch multiplies the decay by the rate, so divide by lr.": (
                lambda half_life, lr: 1 - 0.5 ** (1 / half_life)
            ),
            "Divide by lr: each update keeps 1 − lr·weight_decay of the weight.": (
                lambda half_life, lr: (1 - 0.5 ** (1 / half_life)) * lr
            ),
            "ln 2 / (n·lr) is the answer of continuous time. Solve (1 − lr·d)ⁿ = ½ exactly.": (
                lambda half_life, lr: np.log(2) / half_life / lr
            ),
            "Shrinking compounds: half of it is not 1/(2n) an update.": (
                lambda half_life, lr: 0.5 / half_life / lr
            ),
        },
    ),
    "good_decades": Exercise(
        good_decades,
        [
            {"rates": _RATES, "losses": [2.0, 0.5, 0.4, 0.55, np.nan], "factor": 1.5},
            {"rates": _RATES, "losses": [0.1, 0.11, 0.5, np.nan, np.nan], "factor": 1.2},
            {"rates": _RATES, "losses": [0.30, 0.9, 0.25, 0.26, 0.9], "factor": 1.25},
            {"rates": [0.1, 0.2, 0.4, 0.8], "losses": [1.0, 1.0, 1.0, 1.0], "factor": 1.1},
        ],
        mistakes={
            "A good rate beyond a bad one does not count: go outwards from the best rate, "
            "and stop at the first bad one.": (
                lambda rates, losses, factor: float(
                    np.log10(np.ptp(a) / a[0] + 1)
                    if len(a := _all_good(rates, losses, factor)) > 1
                    else 0.0
                )
            ),
            "That counts rates. The width is log10(highest / lowest).": (
                lambda rates, losses, factor: float(len(_all_good(rates, losses, factor)))
            ),
            "Use the base 10: a decade is a factor of ten.": (
                lambda rates, losses, factor: good_decades(rates, losses, factor) * np.log(10)
            ),
            "A ratio is wanted in decades, not the difference of two rates.": (
                lambda rates, losses, factor: float(np.ptp(_all_good(rates, losses, factor)))
            ),
            "NaN is a run that diverged: it is bad, and min() of it poisons all. "
            "Make it infinite first.": (
                lambda rates, losses, factor: (
                    good_decades(rates, losses, factor)
                    if np.isfinite(np.min(losses))
                    else float("nan")
                )
            ),
        },
    ),
}
