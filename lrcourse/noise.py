r"""How noisy the gradient of a batch is, from squared norms at two batch sizes.

A batch of B examples drawn at random has the gradient :math:`G + \text{noise}`, where G is the mean
gradient and the noise has the covariance :math:`\Sigma / B`.  So the squared norm is too large by
as much as the noise holds,

.. math:: \mathbb{E}\,|G_B|^2 = |G|^2 + \operatorname{tr}\Sigma / B,

and two batch sizes give two equations for :math:`|G|^2` and :math:`\operatorname{tr}\Sigma`.  Their
ratio, :math:`\operatorname{tr}\Sigma / |G|^2`, is the gradient noise scale: the batch size at which
noise and signal are equally large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrcourse._checks import count
from lrcourse._limits import limited

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lrcourse.data import Data

__all__ = ["noise_scale", "signal_and_noise", "squared_norms"]

Array = NDArray[np.float64]


def signal_and_noise(
    small: ArrayLike, large: ArrayLike, *, sizes: tuple[int, int]
) -> tuple[Array, Array]:
    r"""Return unbiased estimates of the squared mean gradient and of the trace of its noise.

    With squared norms :math:`a` of gradients of :math:`B_1` examples and :math:`b` of :math:`B_2`,

    .. math::
        |G|^2 \approx \frac{B_2\,b - B_1\,a}{B_2 - B_1}, \qquad
        \operatorname{tr}\Sigma \approx \frac{a - b}{1/B_1 - 1/B_2}.

    Parameters
    ----------
    small, large : array_like of float
        Squared norms at the smaller and at the larger size, of one shape.
    sizes : tuple of two int
        :math:`B_1 < B_2`, in examples.

    Returns
    -------
    tuple of two arrays of float
        :math:`|G|^2` and :math:`\operatorname{tr}\Sigma`, in the unit of the squared norms.  One
        estimate may be negative; the mean of many is right.

    Raises
    ------
    ValueError
        If the sizes do not rise, or the shapes differ.

    References
    ----------
    McCandlish et al., 2018, arXiv 1812.06162.

    Examples
    --------
    >>> signal_and_noise([6.0], [3.0], sizes=(2, 8))
    (array([2.]), array([8.]))
    """
    first, second = (count("sizes", size, low=1) for size in sizes)
    if first >= second:
        raise ValueError(f"sizes must rise, from the smaller to the larger, were {sizes}")
    a, b = np.asarray(small, dtype=float), np.asarray(large, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"small and large must have one shape, had {a.shape} and {b.shape}")
    square = (second * b - first * a) / (second - first)
    return np.asarray(square), np.asarray((a - b) / (1 / first - 1 / second))


def noise_scale(
    small: ArrayLike, large: ArrayLike, *, sizes: tuple[int, int], axis: int | None = None
) -> Any:
    r"""Return the gradient noise scale, :math:`\operatorname{tr}\Sigma / |G|^2`, in examples.

    It is the ratio of the averages of both estimates.  The average of their ratios would be biased,
    and one small denominator would rule it.

    Parameters
    ----------
    small, large, sizes
        As in `signal_and_noise`.
    axis : int, optional
        Which axis holds measurements of one moment; None averages over all of them.

    Returns
    -------
    float or array of float
        NaN where the average estimate of :math:`|G|^2` is not positive: too few measurements.

    Examples
    --------
    >>> noise_scale([6.0, 6.4], [3.0, 3.1], sizes=(2, 8)).round(2).item()
    4.2
    """
    square, trace = (np.mean(v, axis) for v in signal_and_noise(small, large, sizes=sizes))
    return np.where(square > 0, trace, np.nan) / np.where(square > 0, square, 1.0)


def squared_norms(
    sizes: tuple[int, int] = (16, 256), *, groups: int = 4, seed: int = 0
) -> Callable[[nn.Module, Data], Tensor]:
    r"""Return a measure of the squared norms of gradients at two batch sizes, for `measures`.

    It draws batches of the larger size from the training rows, each row with replacement, cuts them
    into batches of the smaller size, and takes one gradient for each.  The gradient of a large
    batch is the mean of those of its parts.

    Parameters
    ----------
    sizes : tuple of two int
        The smaller must divide the larger.
    groups : int
        Large batches to average over.
    seed : int
        Of the draw, the same at each evaluation.

    Returns
    -------
    callable
        A function of a model and its data that returns the two mean squared norms, shape (2,):
        what `noise_scale` takes as `small` and `large`.

    Raises
    ------
    ValueError
        If the smaller size does not divide the larger.

    Notes
    -----
    Rows come with replacement because the batches of the theory are independent.  The whole
    training set as the large batch would not do: its gradient has no noise
    of this kind.  The estimate of :math:`|G|^2` is then too low by
    :math:`\operatorname{tr}\Sigma / (B_2 - B_1)` on average, and late in training, where
    :math:`|G|^2` is small, it turns negative.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> from lrcourse.training import fit
    >>> run = fit(mlp, digits(), lr=0.1, steps=20, measures={"squares": squared_norms()})
    >>> run.measures["squares"].shape
    (2, 2)
    """
    first, second = (count("sizes", size, low=1) for size in sizes)
    if first >= second or second % first:
        raise ValueError(f"sizes must be two, the smaller a divisor of the larger, were {sizes}")
    parts, draw = count("groups", groups, low=1) * second // first, limited("seed", seed)

    def measure(model: nn.Module, data: Data) -> Tensor:
        import torch
        from torch.func import functional_call, grad, vmap

        rows = np.random.default_rng(draw).integers(0, len(data.x_train), (parts, first))
        at = torch.as_tensor(rows, device=data.x_train.device)
        weights: dict[str, Tensor] = {
            n: p.detach() for n, p in model.named_parameters() if p.requires_grad
        }

        def loss(w: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return data.loss_of(functional_call(model, w, (x,)), y)

        each = vmap(grad(loss), (None, 0, 0))(weights, data.x_train[at], data.y_train[at])
        flat = torch.cat([g.reshape(parts, -1) for g in each.values()], 1).double()
        whole = flat.reshape(groups, second // first, -1).mean(1)
        return torch.stack([flat.square().sum(1).mean(), whole.square().sum(1).mean()])

    return measure
