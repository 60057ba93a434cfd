"""What the chapter on convergence needs and no other.

A regression on images, a push along the sharpest direction, and the exercises.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import count
from lrcourse.exercises.checking import exercise

if TYPE_CHECKING:
    from torch import nn

    from lrcourse.data import Data


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


def weights_of(model: nn.Module) -> NDArray[np.float64]:
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
) -> tuple[nn.Module, NDArray[np.float64], float]:
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


@exercise(
    cases=[
        {"sharpness": 6.5, "momentum": 0.0},
        {"sharpness": 6.5, "momentum": 0.9},
        {"sharpness": 0.5, "momentum": 0.5},
    ]
)
def stable_limit(sharpness: float, momentum: float) -> float:
    """The largest rate at which heavy-ball descent settles.

    >>> stable_limit(sharpness=4.0, momentum=0.5)
    0.75
    """
    return 2 * (1 + momentum) / sharpness


@stable_limit.mistake("Right without momentum. With it the limit is higher, not the same.")
def _without_momentum(sharpness: float, momentum: float) -> float:
    return 2 / sharpness


@stable_limit.mistake(
    "Momentum makes steps longer, and yet the limit does not fall: on the steepest axis the "
    "gradients alternate and the velocity cancels them."
)
def _lower_with_momentum(sharpness: float, momentum: float) -> float:
    return 2 * (1 - momentum) / sharpness


@stable_limit.mistake(
    "That is the rate times the factor by which momentum speeds up the flat directions. The steep "
    "one decides here."
)
def _as_on_the_flat(sharpness: float, momentum: float) -> float:
    return 2 / sharpness / (1 - momentum)


@stable_limit.mistake("At half that limit lies the best rate of plain descent. How far may it go?")
def _half_the_limit(sharpness: float, momentum: float) -> float:
    return (1 + momentum) / sharpness


@exercise(
    cases=[
        {"lr": 0.1, "sharpness": 6.5, "grad_norm": 2.0},
        {"lr": 0.3, "sharpness": 6.5, "grad_norm": 0.5},
        {"lr": 0.5, "sharpness": 6.5, "grad_norm": 1.0},
    ]
)
def guaranteed_drop(lr: float, sharpness: float, grad_norm: float) -> float:
    """The least by which one update lowers a loss whose curvature never exceeds `sharpness`.

    >>> guaranteed_drop(lr=0.25, sharpness=4.0, grad_norm=2.0)
    0.5
    """
    return lr * (1 - lr * sharpness / 2) * grad_norm**2


@guaranteed_drop.mistake("That is the straight-line part. The curvature takes some of it back.")
def _straight_line(lr: float, sharpness: float, grad_norm: float) -> float:
    return lr * grad_norm**2


@guaranteed_drop.mistake("Taylor's second term comes with a half.")
def _without_the_half(lr: float, sharpness: float, grad_norm: float) -> float:
    return lr * (1 - lr * sharpness) * grad_norm**2


@guaranteed_drop.mistake("The norm of the gradient enters squared.")
def _not_squared(lr: float, sharpness: float, grad_norm: float) -> float:
    return lr * (1 - lr * sharpness / 2) * grad_norm


@guaranteed_drop.mistake("The sign is turned: a drop is positive.")
def _rise(lr: float, sharpness: float, grad_norm: float) -> float:
    return -guaranteed_drop(lr, sharpness, grad_norm)


_T = np.arange(200)


@exercise(
    cases=[
        {"rates": 0.5 * 0.8**_T, "curvature": 1.0, "start": 10.0},
        {"rates": 0.5 / (1 + 0.5 * _T), "curvature": 1.0, "start": 10.0},
        {"rates": np.full(5, 0.4), "curvature": 4.5, "start": 3.0},
    ]
)
def distance_left(rates: Any, curvature: float, start: float) -> float:
    """How far from the minimum of a parabola descent ends that uses each of `rates` once.

    >>> distance_left(np.array([0.5, 0.5]), curvature=1.0, start=8.0)
    2.0
    """
    return float(abs(start * np.prod(1 - np.asarray(rates) * curvature)))


@distance_left.mistake("A distance has no sign.")
def _with_its_sign(rates: Any, curvature: float, start: float) -> Any:
    return start * np.prod(1 - rates * curvature)


@distance_left.mistake(
    "exp(-sum) approximates the product, and well only for small rates. Multiply the factors "
    "themselves."
)
def _exponential(rates: Any, curvature: float, start: float) -> Any:
    return abs(start) * np.exp(-np.sum(rates) * curvature)


@distance_left.mistake("Each factor is 1 minus rate times curvature. The curvature is missing.")
def _of_curvature_one(rates: Any, curvature: float, start: float) -> Any:
    return abs(start * np.prod(1 - rates))


@distance_left.mistake("The errors do not add up: every update multiplies what the last one left.")
def _added_up(rates: Any, curvature: float, start: float) -> Any:
    return abs(start * (1 - np.sum(rates) * curvature))


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
