"""Loss surfaces with known answers, to run descents on.

A surface is a function of d parameters with its gradient, its Hessian and its minima.  Points have
shape ``(..., d)``; the leading axes are kept, so many points cost one call.  These are
mathematics; models that train on data are in `lrcourse.models`.

The curvature at a minimum decides which rates can stay there: gradient descent multiplies a small
error along an eigenvector of the Hessian by ``1 - lr * eigenvalue``, so it stays only while ``lr``
is below ``2 / sharpness``, the sharpness being the largest eigenvalue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lrcourse._checks import count, number

__all__ = [
    "Bumpy", "Quadratic", "Rosenbrock", "Saddle", "Surface", "least_squares", "parabola", "ravine",
]  # fmt: skip

Array = NDArray[np.float64]
Point = tuple[float, ...]


class Surface(ABC):
    """A loss of d parameters; a subclass sets the attributes and computes on checked points.

    Attributes
    ----------
    label : str
        What a figure calls it.
    bounds : tuple of (float, float)
        A low and a high end for each parameter: the box worth drawing.
    start : tuple of float
        The point from which a descent is worth watching.
    minima : tuple of tuple of float
        The local minima, as points.

    Examples
    --------
    >>> class Valley(Surface):
    ...     label, bounds, start, minima = "x⁴", ((-2.0, 2.0),), (1.5,), ((0.0,),)
    ...     def _value(self, x):
    ...         return x[..., 0] ** 4
    ...     def _grad(self, x):
    ...         return 4 * x**3
    ...     def _hessian(self, x):
    ...         return 12 * x[..., None] ** 2
    >>> Valley().value([[1.0], [2.0]]), Valley().sharpness([1.0])
    (array([ 1., 16.]), array(12.))
    """

    label: str
    bounds: tuple[tuple[float, float], ...]
    start: Point
    minima: tuple[Point, ...]

    @abstractmethod
    def _value(self, x: Array) -> Array: ...

    @abstractmethod
    def _grad(self, x: Array) -> Array: ...

    @abstractmethod
    def _hessian(self, x: Array) -> Array: ...

    def points(self, x: ArrayLike) -> Array:
        """Return points as floats, if each has d coordinates.

        Parameters
        ----------
        x : array_like of float, shape (..., d)
            The points.

        Returns
        -------
        ndarray of float, shape (..., d)

        Raises
        ------
        ValueError
            If the last axis has another length than d.
        """
        points = np.asarray(x, dtype=float)
        if points.shape[-1:] != (self.dim,):
            raise ValueError(
                f"x must have a last axis of length {self.dim}, one for each parameter of "
                f"{self.label}, its shape was {points.shape}"
            )
        return points

    def value(self, x: ArrayLike) -> Array:
        """Return the loss at points.

        Parameters
        ----------
        x : array_like of float, shape (..., d)
            The points.

        Returns
        -------
        ndarray of float, shape (...)

        Raises
        ------
        ValueError
            If the last axis of `x` has another length than d.

        Examples
        --------
        >>> ravine(10).value([[1, 0], [0, 1]])
        array([0.5, 5. ])
        """
        return self._value(self.points(x))

    def grad(self, x: ArrayLike) -> Array:
        """Return the gradient at points.

        Parameters
        ----------
        x : array_like of float, shape (..., d)
            The points.

        Returns
        -------
        ndarray of float, shape (..., d)

        Raises
        ------
        ValueError
            If the last axis of `x` has another length than d.

        Examples
        --------
        >>> ravine(10).grad([[1, 0], [0, 1]])
        array([[ 1.,  0.],
               [ 0., 10.]])
        """
        return self._grad(self.points(x))

    def hessian(self, x: ArrayLike) -> Array:
        """Return the second derivatives at points.

        Parameters
        ----------
        x : array_like of float, shape (..., d)
            The points.

        Returns
        -------
        ndarray of float, shape (..., d, d)

        Raises
        ------
        ValueError
            If the last axis of `x` has another length than d.

        Examples
        --------
        >>> ravine(10).hessian([0, 0])
        array([[ 1.,  0.],
               [ 0., 10.]])
        """
        return self._hessian(self.points(x))

    def sharpness(self, x: ArrayLike) -> Array:
        """Return the largest curvature at points, in any direction: that of the Hessian.

        Parameters
        ----------
        x : array_like of float, shape (..., d)
            The points.

        Returns
        -------
        ndarray of float, shape (...)

        Raises
        ------
        ValueError
            If the last axis of `x` has another length than d.

        Examples
        --------
        >>> ravine(10).sharpness([[1, 0], [0, 1]])
        array([10., 10.])
        """
        return np.asarray(np.linalg.eigvalsh(self.hessian(x))[..., -1], dtype=float)

    @property
    def dim(self) -> int:
        """The number of parameters, d."""
        return len(self.bounds)

    @property
    def max_stable_lr(self) -> float:
        """The rate beyond which gradient descent can stay at no minimum, 2 / the least sharpness.

        Examples
        --------
        >>> ravine(condition=100).max_stable_lr
        0.02
        """
        sharpness = float(self.sharpness(self.minima).min())
        return 2 / sharpness if sharpness > 0 else np.inf

    def grid(self, n: int = 101) -> xr.DataArray:
        """Return the loss on a grid over `bounds`, rows first as contours want them.

        Parameters
        ----------
        n : int, default 101
            The number of points a side, at least 2.

        Returns
        -------
        DataArray, dimensions ("x1", "x0"), or ("x0",) if d is 1

        Raises
        ------
        ValueError
            If there are more than 2 parameters.

        Examples
        --------
        >>> Rosenbrock().grid(5).dims
        ('x1', 'x0')
        """
        n = count("n", n, low=2)
        if self.dim > 2:
            raise ValueError(f"grid needs 1 or 2 parameters, {self.label} has {self.dim}")
        coords = {f"x{i}": np.linspace(*box, n) for i, box in enumerate(self.bounds)}
        values = self.value(np.stack(np.meshgrid(*coords.values()), axis=-1))
        return xr.DataArray(values, coords, list(coords)[::-1], "loss", {"label": self.label})


def _frozen(name: str, values: Any) -> Any:
    """Nested tuples of checked floats, which compare and hash where arrays do not."""
    if np.ndim(values) == 0:
        return number(name, values)
    return tuple(_frozen(name, one) for one in values)


@dataclass(frozen=True)
class Quadratic(Surface):
    """A bowl: ``value(x) = least + (x - centre)' H (x - centre) / 2``.

    Gradient descent multiplies the error along each eigenvector of H by ``1 - lr * eigenvalue``.

    Parameters
    ----------
    curvature : float or array_like of float, shape (d,) or (d, d)
        The eigenvalues if the axes are the eigenvectors; or the symmetric matrix H; or a number for
        d = 1.  None may be negative.
    centre : float or array_like of float, shape (d,), default 0.0
        The minimum, or one number for all coordinates.
    least : float, default 0.0
        The value at the minimum.
    radius : float, default 2.0
        How far `bounds` reach from the centre; `start` is three quarters of the way out.
    label : str, default "quadratic"
        What a figure calls it.

    Raises
    ------
    ValueError, TypeError
        For a matrix that is not symmetric or has a negative eigenvalue, a centre of another number
        of coordinates, and for what is no finite number.

    Examples
    --------
    >>> Quadratic([1, 10]).value([2, 1]), Quadratic([1, 10]).grad([2, 1])
    (array(7.), array([ 2., 10.]))
    """

    curvature: Any
    centre: Any = 0.0
    least: float = 0.0
    radius: float = 2.0
    label: str = "quadratic"
    _matrix: Array = field(init=False, repr=False, compare=False)
    _middle: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        curvature, centre = _frozen("curvature", self.curvature), _frozen("centre", self.centre)
        matrix = np.atleast_1d(np.array(curvature))
        matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or not matrix.size or not np.array_equal(matrix, matrix.T):
            raise ValueError(
                "curvature must be a number, a sequence of numbers or a symmetric matrix, "
                f"was {self.curvature!r}"
            )
        eigenvalues = np.linalg.eigvalsh(matrix)
        if eigenvalues[0] < -1e-12 * abs(eigenvalues[-1]):
            raise ValueError(f"curvature must be >= 0 in all directions, was {self.curvature!r}")
        if np.shape(centre) not in [(), (len(matrix),)]:
            raise ValueError(f"centre must have {len(matrix)} coordinates, was {self.centre!r}")
        number("least", self.least)
        radius = number("radius", self.radius, low=0, open_low=True)
        middle = np.broadcast_to(centre, len(matrix)).astype(float)
        for name, value in {
            "curvature": curvature,
            "centre": centre,
            "bounds": tuple((c - radius, c + radius) for c in middle.tolist()),
            "start": tuple((middle + 0.75 * radius).tolist()),
            "minima": (tuple(middle.tolist()),),
            "_matrix": matrix,
            "_middle": middle,
        }.items():
            object.__setattr__(self, name, value)

    def _value(self, x: Array) -> Array:
        error = x - self._middle
        return np.asarray(self.least + (error * (error @ self._matrix)).sum(axis=-1) / 2)

    def _grad(self, x: Array) -> Array:
        return np.asarray((x - self._middle) @ self._matrix)

    def _hessian(self, x: Array) -> Array:
        return np.broadcast_to(self._matrix, (*x.shape, self.dim)).copy()


def parabola() -> Quadratic:
    """Return x², whose curvature is 2: gradient descent multiplies x by ``1 - 2 * lr``.

    Returns
    -------
    Quadratic

    Examples
    --------
    >>> parabola().grad([3.0]), parabola().max_stable_lr
    (array([6.]), 1.0)
    """
    return Quadratic(2.0, label="x²")


def ravine(condition: float = 10.0, angle: float = 0.0) -> Quadratic:
    """Return a valley with curvature 1 along its floor and `condition` across it.

    The steep direction limits the rate to ``2 / condition``.  At that rate the flat direction keeps
    ``1 - 2 / condition`` of its error, so a factor of e takes about ``condition / 2`` updates.

    Parameters
    ----------
    condition : float, default 10.0
        The largest curvature over the smallest, at least 1.
    angle : float, default 0.0
        How far the floor is turned away from the x0 axis, in radians.

    Returns
    -------
    Quadratic

    Raises
    ------
    ValueError
        For a condition below 1.

    Examples
    --------
    >>> ravine(25).curvature
    (1.0, 25.0)
    """
    condition, angle = number("condition", condition, low=1), number("angle", angle)
    across = np.array([-np.sin(angle), np.cos(angle)])
    turned = np.eye(2) + (condition - 1) * np.outer(across, across)
    label = f"ravine, condition {condition:g}"
    return Quadratic(turned if angle else (1.0, condition), label=label)


def least_squares(inputs: ArrayLike, targets: ArrayLike, bias: bool = True) -> Quadratic:
    """Return the mean squared error of a linear regression: a bowl in its parameters.

    With design matrix X the loss ``mean((X w - y)²)`` has the Hessian ``2 X'X / n``: the curvature
    of a weight is twice the mean square of its input, that of the bias is 2.

    Parameters
    ----------
    inputs : array_like of float, shape (n,) or (n, features)
        What is given.
    targets : array_like of float, shape (n,)
        What is to be found.
    bias : bool, default True
        Whether to append a column of ones; the bias is then the last parameter.

    Returns
    -------
    Quadratic

    Raises
    ------
    ValueError
        For shapes that do not fit, and for values that are not finite.

    Examples
    --------
    >>> x = np.linspace(-10, 10, 100)
    >>> np.diag(least_squares(x, 2 * x + 1).hessian([0, 0])).round(2)
    array([68.01,  2.  ])
    """
    x, y = np.asarray(inputs, dtype=float), np.asarray(targets, dtype=float)
    design = x[:, None] if x.ndim == 1 else x
    if design.ndim != 2 or y.shape != (len(design),) or not design.size:
        raise ValueError(
            "inputs and targets must have shapes (n, features) and (n,), "
            f"were {x.shape} and {y.shape}"
        )
    if not (np.isfinite(design).all() and np.isfinite(y).all()):
        raise ValueError("inputs and targets must be finite, were not")
    if bias:
        design = np.column_stack([design, np.ones(len(design))])
    best = np.linalg.lstsq(design, y, rcond=None)[0]
    hessian = 2 * design.T @ design / len(y)
    least = float(np.mean((design @ best - y) ** 2))
    return Quadratic((hessian + hessian.T) / 2, best, least, label="mean squared error")


@dataclass(frozen=True)
class Rosenbrock(Surface):
    """The banana valley, ``(1 - x0)² + steepness * (x1 - x0²)²``, with its minimum at (1, 1).

    Falling into the valley is easy, following its bend is slow.

    Parameters
    ----------
    steepness : float, default 100.0
        Of the valley's walls, above 0.

    References
    ----------
    Rosenbrock, 1960, The Computer Journal 3(3), with steepness 100.

    Examples
    --------
    >>> Rosenbrock().value([[1, 1], [0, 0]])
    array([0., 1.])
    """

    steepness: float = 100.0

    label = "Rosenbrock"
    bounds = ((-2.0, 2.0), (-1.0, 3.0))
    start = (-1.2, 1.0)
    minima = ((1.0, 1.0),)

    def __post_init__(self) -> None:
        number("steepness", self.steepness, low=0, open_low=True)

    def _value(self, x: Array) -> Array:
        x0, x1 = x[..., 0], x[..., 1]
        return np.asarray((1 - x0) ** 2 + self.steepness * (x1 - x0**2) ** 2)

    def _grad(self, x: Array) -> Array:
        x0, x1 = x[..., 0], x[..., 1]
        across = 2 * self.steepness * (x1 - x0**2)
        return np.stack([2 * (x0 - 1) - 2 * x0 * across, across], axis=-1)

    def _hessian(self, x: Array) -> Array:
        x0, x1 = x[..., 0], x[..., 1]
        hessian = np.empty((*x.shape, 2))
        hessian[..., 0, 0] = 2 - 4 * self.steepness * (x1 - 3 * x0**2)
        hessian[..., 0, 1] = hessian[..., 1, 0] = -4 * self.steepness * x0
        hessian[..., 1, 1] = 2 * self.steepness
        return hessian


@dataclass(frozen=True)
class Saddle(Surface):
    """A pass between two valleys: ``x0² / 2 + slope * (x1⁴ / 4 - x1² / 2)``.

    The saddle is the origin, the minima are (0, -1) and (0, 1).  Near the saddle gradient descent
    multiplies x1 by ``1 + lr * slope``, so the updates it takes to leave grow like
    ``log(1 / |x1|)``; from x1 = 0 it never leaves.

    Parameters
    ----------
    slope : float, default 1.0
        How steeply the pass falls to both sides, above 0.

    Examples
    --------
    >>> Saddle().grad([0, 0]), Saddle().hessian([0, 0]).diagonal()
    (array([0., 0.]), array([ 1., -1.]))
    """

    slope: float = 1.0

    label = "saddle"
    bounds = ((-1.5, 1.5), (-1.5, 1.5))
    start = (1.0, 0.01)
    minima = ((0.0, -1.0), (0.0, 1.0))

    def __post_init__(self) -> None:
        number("slope", self.slope, low=0, open_low=True)

    def _value(self, x: Array) -> Array:
        x0, x1 = x[..., 0], x[..., 1]
        return np.asarray(x0**2 / 2 + self.slope * (x1**4 / 4 - x1**2 / 2))

    def _grad(self, x: Array) -> Array:
        x0, x1 = x[..., 0], x[..., 1]
        return np.stack([x0, self.slope * (x1**3 - x1)], axis=-1)

    def _hessian(self, x: Array) -> Array:
        hessian = np.zeros((*x.shape, 2))
        hessian[..., 0, 0] = 1
        hessian[..., 1, 1] = self.slope * (3 * x[..., 1] ** 2 - 1)
        return hessian


@dataclass(frozen=True)
class Bumpy(Surface):
    """A loss of one parameter with several minima, where the rate decides which one is found.

    ``curvature * x² / 2 - sum(depth * exp(-((x - place) / width)² / 2))``: a bowl with wells, each
    about ``depth / width²`` sharp.  From right to left the default wells are sharp and shallow,
    deep, wide; each has a ridge on both sides.  From `start` a small rate stops in the first, a
    medium one steps over it into the deepest, a large one can stay in the wide one only.

    Parameters
    ----------
    wells : sequence of (float, float, float)
        The place, depth and width of each well.
    curvature : float, default 0.1
        That of the bowl that holds the wells, above 0.

    Raises
    ------
    ValueError
        For a well that is not three numbers, or not wider than 0.

    Examples
    --------
    >>> np.ravel(Bumpy().minima).round(2), Bumpy().sharpness(Bumpy().minima).round(2)
    (array([-2.69, -0.03,  1.98]), array([ 0.9 ,  4.61, 16.77]))
    """

    wells: Any = ((-3.0, 1.3, 1.2), (0.0, 2.0, 0.65), (2.0, 0.5, 0.17))
    curvature: float = 0.1

    label = "bumpy"

    def __post_init__(self) -> None:
        wells = _frozen("wells", self.wells)
        if np.ndim(wells) != 2 or np.shape(wells)[1] != 3 or min(width for *_, width in wells) <= 0:
            raise ValueError(
                f"wells must be (place, depth, width > 0) for each well, was {self.wells!r}"
            )
        number("curvature", self.curvature, low=0, open_low=True)
        reach = max(abs(place) + 2.5 * width for place, _, width in wells)
        object.__setattr__(self, "wells", wells)
        object.__setattr__(self, "bounds", ((-reach, reach),))
        object.__setattr__(self, "start", (0.8 * reach,))
        object.__setattr__(self, "minima", tuple((x,) for x in self._find_minima()))

    def _bells(self, x: Array) -> tuple[Array, Array, Array]:
        """Of each well: distance from it in widths, its part of the loss, its width."""
        place, depth, width = np.transpose(self.wells)
        away = (x - place) / width
        return away, depth * np.exp(-(away**2) / 2), width

    def _value(self, x: Array) -> Array:
        _, bells, _ = self._bells(x)
        return np.asarray(self.curvature * x[..., 0] ** 2 / 2 - bells.sum(axis=-1))

    def _grad(self, x: Array) -> Array:
        away, bells, width = self._bells(x)
        return np.asarray(self.curvature * x + (bells * away / width).sum(axis=-1, keepdims=True))

    def _hessian(self, x: Array) -> Array:
        away, bells, width = self._bells(x)
        bend = (bells * (1 - away**2) / width**2).sum(axis=-1)
        return np.asarray(self.curvature + bend)[..., None, None]

    def _find_minima(self) -> list[float]:
        """Where the gradient turns from falling to rising: a scan, then bisection."""
        x = np.linspace(*self.bounds[0], 20_001)[:, None]
        falls = self._grad(x)[:, 0] < 0
        turns = np.flatnonzero(falls[:-1] & ~falls[1:])
        low, high = x[turns], x[turns + 1]
        for _ in range(50):
            middle = (low + high) / 2
            falling = self._grad(middle) < 0
            low, high = np.where(falling, middle, low), np.where(falling, high, middle)
        minima: list[float] = high[:, 0].tolist()
        return minima
