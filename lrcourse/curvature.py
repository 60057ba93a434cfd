r"""How curved a model's training loss is, from products with its Hessian.

The largest eigenvalue of the Hessian, the sharpness, is what limits the rate: along its
eigenvector gradient descent multiplies an error by :math:`1 - \eta\lambda`, so near a minimum it
settles only while :math:`\eta < 2/\lambda`.  The Hessian of p parameters has p² entries and is
never formed here; a product with it costs about two gradients.  Surfaces with a formula have their
own Hessian, in `lrcourse.surfaces`.

A method that divides the step of each parameter, as Adam does, meets the limit in its own units: at
the largest eigenvalue of :math:`D^{-1} H`, where D holds its divisors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector
from torch.optim import SGD, Adagrad, Adam, Optimizer, RAdam, RMSprop

from lrcourse._checks import choice, count, instance, number
from lrcourse._limits import limited
from lrcourse.data import Data

__all__ = [
    "divisors", "eigenvalues", "hessian_product", "lanczos", "preconditioned_sharpness",
    "rectification", "sharpness",
]  # fmt: skip

Array = NDArray[np.float64]
Product = Callable[[Array], Array]


def hessian_product(model: nn.Module, data: Data) -> tuple[Product, int]:
    r"""Return the map :math:`v \mapsto H v` of the full-batch training loss, and the size of v.

    The gradient :math:`g(w)` is computed once; each product is the gradient of
    :math:`g(w) \cdot v`.  H is taken at the present weights, in the order of
    ``model.parameters()`` without those that are frozen, with the model in the mode that it is in;
    its buffers are not touched.

    Parameters
    ----------
    model : torch Module
        p numbers of it require gradients.
    data : Data
        Its training part and its loss are used.

    Returns
    -------
    tuple of (callable, int)
        The map from v to H v, arrays of shape (p,), and p.

    Raises
    ------
    ValueError
        For a model without parameters to train, or a loss that is not finite.

    References
    ----------
    Pearlmutter, 1994, Neural Computation 6(1).

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> product, size = hessian_product(linear(), line())
    >>> [product(e).round(2).tolist() for e in np.eye(size)]
    [[68.01, 0.0], [0.0, 2.0]]
    """
    instance("model", model, nn.Module, "a torch nn.Module")
    instance("data", data, Data, "a Data")
    named = {n: p.detach().requires_grad_() for n, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ValueError("model must have parameters that require gradients, had none")
    weights = list(named.values())
    data = data.to(weights[0])
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    loss = data.loss_of(functional_call(model, named | buffers, (data.x_train,)), data.y_train)
    if not torch.isfinite(loss):
        raise ValueError(f"model must have a finite loss, was {loss.item()}")
    gradient = parameters_to_vector(torch.autograd.grad(loss, weights, create_graph=True))

    def product(v: Array) -> Array:
        along = torch.as_tensor(v).to(gradient)
        if not gradient.requires_grad:  # a loss that is linear in its weights
            return np.zeros(len(gradient))
        parts = torch.autograd.grad(
            gradient, weights, along, retain_graph=True, materialize_grads=True
        )
        return np.asarray(parameters_to_vector(parts).cpu(), dtype=float)

    return product, len(gradient)


def lanczos(
    product: Product,
    start: ArrayLike,
    *,
    k: int = 1,
    which: str = "largest",
    tol: float = 1e-4,
    max_products: int = 300,
) -> tuple[Array, Array]:
    r"""Return the k extreme eigenvalues of a symmetric matrix, outermost first, and eigenvectors.

    The method builds an orthonormal basis of :math:`v, Hv, H^2 v, \dots` in which H is tridiagonal,
    and takes the eigenvalues of that small matrix.  An eigenvalue has settled when its residual
    :math:`|Hu - \theta u|`, which bounds its error, is below ``tol`` times the largest size of an
    eigenvalue.

    Parameters
    ----------
    product : callable
        The map from v to H v, arrays of shape (n,).
    start : array_like of float, shape (n,)
        The first vector; it must not be at right angles to a wanted eigenvector.
    k : int, default 1
        How many eigenvalues; fewer are returned where the start vector reaches no more.
    which : {"largest", "smallest"}, default "largest"
        From which end.
    tol : float, default 1e-4
        The relative tolerance, above 0.
    max_products : int, default 300
        Give up after so many products.

    Returns
    -------
    tuple of two arrays of float, shapes (k,) and (k, n)
        Eigenvalues, and eigenvectors as rows.

    Raises
    ------
    RuntimeError
        If they have not settled within `max_products`.
    ValueError
        For a start that is zero or not finite.

    References
    ----------
    Golub and Van Loan, Matrix Computations, chapter 10.

    Examples
    --------
    >>> matrix = np.diag(np.arange(100.0))
    >>> values, vectors = lanczos(matrix.dot, np.ones(100), k=2)
    >>> values.round(3), np.abs(vectors).argmax(axis=1)
    (array([99., 98.]), array([99, 98]))
    """
    first = np.asarray(start, dtype=float)
    length = float(np.linalg.norm(first)) if first.ndim == 1 and first.size else 0.0
    if not 0 < length < np.inf:
        raise ValueError(f"start must be a finite vector other than 0, was {start!r:.80}")
    count("max_products", max_products, low=1)
    basis = [first / length]
    k, limit = min(count("k", k, low=1), len(basis[0])), min(max_products, len(basis[0]))
    sign = 1 if choice("which", which, ["largest", "smallest"]) == "smallest" else -1
    number("tol", tol, low=0, open_low=True)
    diagonal, beside = list[float](), list[float]()
    for n in range(1, limit + 1):
        image = np.asarray(product(basis[-1]), dtype=float)
        diagonal.append(float(basis[-1] @ image))
        known = np.array(basis)
        for _ in range(2):  # once is not enough: rounding brings settled directions back
            image = image - known.T @ (known @ image)
        beside.append(float(np.linalg.norm(image)))
        off = np.diag(beside[:-1], 1)
        values, small = np.linalg.eigh(np.diag(diagonal) + off + off.T)
        scale = float(np.abs(values).max())
        chosen = np.argsort(sign * values)[:k]
        settled = n >= k and bool((beside[-1] * np.abs(small[-1, chosen]) <= tol * scale).all())
        if settled or n == len(basis[0]) or beside[-1] <= 1e-12 * scale:
            return values[chosen], small[:, chosen].T @ known
        basis.append(image / beside[-1])
    raise RuntimeError(f"no convergence to tol={tol:g} within {limit} products")


def eigenvalues(model: nn.Module, data: Data, *, seed: int = 0, **options: Any) -> Array:
    """Return the k extreme Hessian eigenvalues of the full-batch training loss.

    The start vector of `lanczos` is normal.

    Parameters
    ----------
    model : torch Module
        It is left as it is.
    data : Data
        Its training part and its loss are used.
    seed : int, default 0
        Decides the start vector.
    **options
        ``k``, ``which``, ``tol`` and ``max_products`` of `lanczos`.

    Returns
    -------
    ndarray of float, shape (k,)
        The outermost first.

    Raises
    ------
    ValueError, RuntimeError
        As `hessian_product` and `lanczos`.

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> eigenvalues(linear(), line(), k=2).round(2)
    array([68.01,  2.  ])
    """
    product, size = hessian_product(model, data)
    start = np.random.default_rng(limited("seed", seed)).standard_normal(size)
    return lanczos(product, start, **options)[0]


def sharpness(model: nn.Module, data: Data, *, tol: float = 1e-4, seed: int = 0) -> float:
    r"""Return the largest Hessian eigenvalue of the full-batch training loss.

    Gradient descent at rate :math:`\eta` can settle where it is below :math:`2/\eta`, with heavy
    ball momentum :math:`\beta` where it is below :math:`2(1 + \beta)/\eta`.

    Parameters
    ----------
    model : torch Module
        It is left as it is.
    data : Data
        Its training part and its loss are used.
    tol : float, default 1e-4
        The relative tolerance, above 0.
    seed : int, default 0
        Decides the start vector of `lanczos`.

    Returns
    -------
    float

    Raises
    ------
    ValueError, RuntimeError
        As `hessian_product` and `lanczos`.

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> round(2 / sharpness(linear(), line()), 4)
    0.0294
    """
    return float(eigenvalues(model, data, tol=tol, seed=seed)[0])


def preconditioned_sharpness(
    model: nn.Module, data: Data, divisor: ArrayLike, *, tol: float = 1e-4, seed: int = 0
) -> float:
    r"""Return the largest eigenvalue of :math:`D^{-1} H`, the sharpness in units of each step.

    D is diagonal and H the Hessian of the full-batch training loss.  Descent that divides each
    parameter's step by D is plain descent after a change of units, on the Hessian
    :math:`D^{-1/2} H D^{-1/2}`, which has the same eigenvalues.  At rate :math:`\eta` it can settle
    where they are below :math:`2/\eta`.  Adam averages gradients where momentum sums them, which
    moves the limit to :math:`2(1 + \beta_1) / ((1 - \beta_1)\,\eta)`.

    Parameters
    ----------
    model : torch Module
        It is left as it is.
    data : Data
        Its training part and its loss are used.
    divisor : array_like of float, shape (p,)
        D, above 0, in the order of the parameters that require gradients; see `divisors`.
    tol : float, default 1e-4
        The relative tolerance, above 0.
    seed : int, default 0
        Decides the start vector of `lanczos`.

    Returns
    -------
    float

    Raises
    ------
    ValueError, RuntimeError
        For another number of divisors than of parameters, one that is not above 0, and as
        `hessian_product` and `lanczos`.

    References
    ----------
    Cohen et al., 2022, arXiv 2207.14484.

    Examples
    --------
    A parameter whose steps are divided by its own curvature has curvature 1 in the new units.

    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> round(preconditioned_sharpness(linear(), line(), [68.01, 4.0]), 2)
    1.0
    """
    product, size = hessian_product(model, data)
    given = np.asarray(divisor, dtype=float)
    if given.shape != (size,):
        raise ValueError(f"divisor must have shape ({size},), one a parameter, had {given.shape}")
    if not (np.isfinite(given).all() and (given > 0).all()):
        bad = given[~(np.isfinite(given) & (given > 0))][0]
        raise ValueError(f"divisor must be finite numbers > 0, held {bad}")
    root = np.sqrt(given)
    start = np.random.default_rng(limited("seed", seed)).standard_normal(size)
    return float(lanczos(lambda v: product(v / root) / root, start, tol=tol)[0][0])


def divisors(optimizer: Optimizer) -> Array:
    r"""Return by what an optimizer's last update divided the averaged gradient of each parameter.

    The update was :math:`-\eta\,\hat m / d`, where :math:`\hat m` is the gradient, or its average
    corrected for a start at 0.  For Adam :math:`d = \sqrt{\hat v} + \epsilon`; for RAdam that is
    divided by its `rectification`, and 1 while this is 0; for SGD it is 1.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adagrad, RMSprop (not centred), Adam, AdamW or RAdam, after an update.

    Returns
    -------
    ndarray of float, shape (p,)
        In the order of the optimizer's parameters, without those that are frozen.

    Raises
    ------
    TypeError
        For another optimizer.
    ValueError
        Before the first update.

    Examples
    --------
    >>> w = torch.tensor([1.0, 1.0], requires_grad=True)
    >>> adam = torch.optim.Adam([w], lr=0.1)
    >>> w.grad = torch.tensor([3.0, -0.5])
    >>> adam.step()
    >>> divisors(adam).round(4)  # the first step is one by the sign of the gradient
    array([3. , 0.5])
    """
    instance("optimizer", optimizer, Optimizer, "a torch Optimizer")
    centred = any(group.get("centered") for group in optimizer.param_groups)
    if not isinstance(optimizer, SGD | Adagrad | RMSprop | Adam | RAdam) or centred:
        raise TypeError(
            "optimizer must be SGD, Adagrad, RMSprop that is not centred, Adam, AdamW or RAdam, "
            f"was {optimizer!r:.200}"
        )
    parts = []
    for group in optimizer.param_groups:
        for p in filter(lambda p: p.requires_grad, group["params"]):
            state = optimizer.state.get(p, {})
            if isinstance(optimizer, SGD):
                parts.append(torch.ones_like(p))
            elif float(state.get("step", 0)) == 0:  # Adagrad makes its state beforehand
                raise ValueError("optimizer must have made an update of every parameter, had not")
            else:
                parts.append(_divisor(optimizer, group, state))
    return np.concatenate([np.asarray(part.detach().cpu(), float).ravel() for part in parts])


def _divisor(optimizer: Optimizer, group: dict[str, Any], state: dict[str, Any]) -> Tensor:
    """Return the divisors of one tensor of parameters."""
    t, eps = float(state["step"]), float(group["eps"])
    if isinstance(optimizer, Adagrad | RMSprop):
        summed: Tensor = state["sum" if isinstance(optimizer, Adagrad) else "square_avg"]
        return summed.sqrt() + eps
    beta2 = float(group["betas"][1])
    corrected = float((1 - beta2**t) ** 0.5)
    squares: Tensor = state["max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"]
    root = squares.sqrt()
    if not isinstance(optimizer, RAdam):
        return root / corrected + eps
    part = rectification(t, beta2)
    return (root + eps) / (corrected * part) if part else torch.ones_like(root)


def rectification(t: float, beta2: float = 0.999) -> float:
    r"""Return RAdam's factor on update t, counted from 1; 0 where it is plain momentum.

    With :math:`\rho_\infty = 2/(1-\beta_2) - 1` and
    :math:`\rho_t = \rho_\infty - 2t\beta_2^t / (1 - \beta_2^t)` it is

    .. math::
        \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\,\rho_\infty}
                   {(\rho_\infty - 4)(\rho_\infty - 2)\,\rho_t}}

    where :math:`\rho_t > 5`.

    Parameters
    ----------
    t : float
        From 1 on.
    beta2 : float, default 0.999

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For t below 1, or beta2 outside of 0 to 1.

    References
    ----------
    Liu et al., 2020, algorithm 2.

    Examples
    --------
    >>> [round(rectification(t), 3) for t in (5, 6, 20, 200, 2000)]
    [0.0, 0.026, 0.085, 0.307, 0.828]
    """
    t, beta2 = number("t", t, low=1), number("beta2", beta2, low=0, high=1, open_high=True)
    most = 2 / (1 - beta2) - 1
    rho = most - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 5:
        return 0.0
    return float(((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)) ** 0.5)
