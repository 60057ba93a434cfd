"""Exercises of the chapter on convergence."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcourse.exercises.checking import Exercise


def stable_limit(sharpness: float, momentum: float) -> float:
    """The largest rate at which heavy-ball descent settles.

    >>> stable_limit(sharpness=4.0, momentum=0.5)
    0.75
    """
    return 2 * (1 + momentum) / sharpness


def guaranteed_drop(lr: float, sharpness: float, grad_norm: float) -> float:
    """The least by which one update lowers a loss whose curvature never exceeds `sharpness`.

    >>> guaranteed_drop(lr=0.25, sharpness=4.0, grad_norm=2.0)
    0.5
    """
    return lr * (1 - lr * sharpness / 2) * grad_norm**2


def distance_left(rates: Any, curvature: float, start: float) -> float:
    """How far from the minimum of a parabola descent ends that uses each of `rates` once.

    >>> distance_left(np.array([0.5, 0.5]), curvature=1.0, start=8.0)
    2.0
    """
    return float(abs(start * np.prod(1 - np.asarray(rates) * curvature)))


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


def _unnormalised(matrix: Any, start: Any, products: int) -> float:
    v = np.asarray(start)
    for _ in range(products - 1):
        v = matrix @ v
    return float(v @ matrix @ v)


def _one_more(matrix: Any, start: Any, products: int) -> float:
    return power_iteration(matrix, start, products + 1)


def _length(matrix: Any, start: Any, products: int) -> float:
    v = np.asarray(start) / np.linalg.norm(start)
    for _ in range(products - 1):
        v = matrix @ v
        v = v / np.linalg.norm(v)
    return float(np.linalg.norm(matrix @ v))


_T = np.arange(200)
_MATRICES = (
    np.array([[3.0, 1.0], [1.0, 2.0]]),
    np.array([[5.0, -1.0, 0.5], [-1.0, 2.0, 0.3], [0.5, 0.3, -1.0]]),
    np.diag([1.0, 2.0, 9.0, 10.0]),
)

EXERCISES = {
    "stable_limit": Exercise(
        stable_limit,
        [
            {"sharpness": 6.5, "momentum": 0.0},
            {"sharpness": 6.5, "momentum": 0.9},
            {"sharpness": 0.5, "momentum": 0.5},
        ],
        mistakes={
            "Right without momentum. With it the limit is higher, "
            "not the same.": lambda sharpness, momentum: 2 / sharpness,
            "Momentum makes steps longer, and yet the limit does not fall: on the steepest axis "
            "the gradients alternate and the velocity cancels "
            "them.": lambda sharpness, momentum: 2 * (1 - momentum) / sharpness,
            "That is the rate times the factor by which momentum speeds up the flat directions. "
            "The steep one decides here.": lambda sharpness, momentum: (
                2 / sharpness / (1 - momentum)
            ),
            "At half that limit lies the best rate of plain descent. "
            "How far may it go?": lambda sharpness, momentum: (1 + momentum) / sharpness,
        },
    ),
    "guaranteed_drop": Exercise(
        guaranteed_drop,
        [
            {"lr": 0.1, "sharpness": 6.5, "grad_norm": 2.0},
            {"lr": 0.3, "sharpness": 6.5, "grad_norm": 0.5},
            {"lr": 0.5, "sharpness": 6.5, "grad_norm": 1.0},
        ],
        mistakes={
            "That is the straight-line part. The curvature takes some of it "
            "back.": lambda lr, sharpness, grad_norm: lr * grad_norm**2,
            "Taylor's second term comes with a half.": lambda lr, sharpness, grad_norm: (
                lr * (1 - lr * sharpness) * grad_norm**2
            ),
            "The norm of the gradient enters squared.": lambda lr, sharpness, grad_norm: (
                lr * (1 - lr * sharpness / 2) * grad_norm
            ),
            "The sign is turned: a drop is positive.": lambda lr, sharpness, grad_norm: (
                -guaranteed_drop(lr, sharpness, grad_norm)
            ),
        },
    ),
    "distance_left": Exercise(
        distance_left,
        [
            {"rates": 0.5 * 0.8**_T, "curvature": 1.0, "start": 10.0},
            {"rates": 0.5 / (1 + 0.5 * _T), "curvature": 1.0, "start": 10.0},
            {"rates": np.full(5, 0.4), "curvature": 4.5, "start": 3.0},
        ],
        mistakes={
            "A distance has no sign.": lambda rates, curvature, start: (
                start * np.prod(1 - np.asarray(rates) * curvature)
            ),
            "exp(-sum) approximates the product, and well only for small rates. Multiply the "
            "factors themselves.": lambda rates, curvature, start: (
                abs(start) * np.exp(-np.sum(rates) * curvature)
            ),
            "Each factor is 1 minus rate times curvature. "
            "The curvature is missing.": lambda rates, curvature, start: abs(
                start * np.prod(1 - np.asarray(rates))
            ),
            "The errors do not add up: every update multiplies what the last one "
            "left.": lambda rates, curvature, start: abs(start * (1 - np.sum(rates) * curvature)),
        },
    ),
    "power_iteration": Exercise(
        power_iteration,
        [
            {"matrix": m, "start": np.ones(len(m)), "products": n}
            for m, n in zip(_MATRICES, (3, 5, 8), strict=True)
        ],
        mistakes={
            "The vector must be scaled back to length 1 before "
            "v·Hv is an eigenvalue.": _unnormalised,
            "One product too many: the v·Hv at the end needs one as well.": _one_more,
            "The length of Hv is an estimate too, but a coarser one and without a sign. "
            "Take v·Hv.": _length,
        },
    ),
}
