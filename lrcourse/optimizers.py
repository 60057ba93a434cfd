"""The update rules of gradient descent, from scratch, and many descents at once.

Every rule moves the parameters by ``-lr * direction``.  Rules differ in the direction they make of
the gradients seen so far, and `Rule.direction` is all that a rule has to say.  The one exception is
`AdamW`, which also shrinks the parameters.  Each rule equals its namesake in ``torch.optim``.

Parameters have shape ``(..., d)``: the leading axes are runs, the last holds the d parameters of
one run.  A hyperparameter is a number, or an array over the leading axes with a value for each
run, so that a grid of hundreds of descents is one NumPy computation: `descents`.  These rules are
for surfaces; models are trained by `lrcourse.training`.
"""

# ruff: noqa: D102 - a rule inherits the docstrings of what it overrides

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lrcourse._checks import instance, number
from lrcourse._limits import LIMITS, limited
from lrcourse.grids import Axis, axes_of, is_axis, known, stable_repr
from lrcourse.surfaces import Surface

__all__ = [
    "GD", "AdaGrad", "Adam", "AdamW", "Momentum", "RMSprop", "Rule", "Trajectory", "descend",
    "descents", "per_run",
]  # fmt: skip

Array = NDArray[np.float64]
Numbers = float | Array
State = dict[str, Array]


def _checked(name: str, value: Any) -> Any:
    """A hyperparameter as a plain number, or as an array if there are several."""
    if name == "betas":
        if isinstance(value, tuple | list) and len(value) == 2 and any(map(np.ndim, value)):
            return tuple(np.array([_checked("betas", (b, b))[0] for b in beta]) for beta in value)
        return limited(name, value)
    if np.ndim(value) > 0:
        return np.array([_checked(name, one) for one in value])
    check: Callable[[str, Any], Any] = LIMITS.get(name, number)  # learners' rules have own names
    return check(name, value)


def per_run(values: ArrayLike) -> Any:
    """Give a hyperparameter the axis that lines it up with parameters.

    Parameters
    ----------
    values : array_like, shape (...)
        A number, or one for each run.

    Returns
    -------
    ndarray, shape (..., 1)

    Examples
    --------
    >>> per_run(np.array([0.1, 0.2, 0.3])).shape
    (3, 1)
    """
    return np.asarray(values)[..., None]


@dataclass(frozen=True)
class Rule:
    """A rule that turns gradients into updates; a subclass says in which direction it moves.

    Parameters
    ----------
    weight_decay : float or ndarray, default 0.0
        The factor of the L2 penalty ``weight_decay * |params|² / 2``, whose gradient is added to
        that of the loss.

    Raises
    ------
    ValueError, TypeError
        For a hyperparameter that is no finite number, or beyond its limits.

    Examples
    --------
    >>> class SignDescent(Rule):
    ...     def direction(self, grad, state, t):
    ...         return np.sign(grad), state
    >>> from lrcourse.surfaces import parabola
    >>> descend(SignDescent(), parabola(), start=[1.0], rates=[0.25, 0.25]).x[:, 0]
    array([1.  , 0.75, 0.5 ])
    """

    weight_decay: Numbers = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        for name in self.hyperparameters():
            object.__setattr__(self, name, _checked(name, getattr(self, name)))

    @classmethod
    def hyperparameters(cls) -> list[str]:
        """Return the names of what can be set, besides the rate.

        Returns
        -------
        list of str

        Examples
        --------
        >>> Adam.hyperparameters()
        ['weight_decay', 'betas', 'eps']
        """
        return [f.name for f in fields(cls)]

    @property
    def spans(self) -> tuple[int, ...]:
        """The leading axes that the hyperparameters span; () when all are single numbers."""
        values = [getattr(self, name) for name in self.hyperparameters() if name != "betas"]
        return np.broadcast_shapes(*map(np.shape, [*values, *getattr(self, "betas", ())]))

    @property
    def label(self) -> str:
        """What a legend calls the rule."""
        return type(self).__name__

    def init(self, params: Array) -> State:
        """Return what the rule remembers before its first update.

        Parameters
        ----------
        params : ndarray, shape (..., d)
            Where the descent starts.

        Returns
        -------
        dict of str to ndarray, each of shape (..., d)
        """
        return {}

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        """Return the direction of an update, and what the rule remembers after it.

        Parameters
        ----------
        grad : ndarray, shape (..., d)
            The gradient, L2 penalty included.
        state : dict of str to ndarray
            What the rule remembers, from `init` or from the update before.
        t : int
            The number of the update, counted from 0.

        Returns
        -------
        tuple of (ndarray of shape (..., d), dict)
        """
        raise NotImplementedError

    def update(
        self, params: Array, grad: Array, state: State, lr: Numbers, t: int
    ) -> tuple[Array, State]:
        """Update the parameters once: ``params - lr * direction``.

        Parameters
        ----------
        params, grad : ndarray, shape (..., d)
            The parameters and the gradient of the loss there.
        state : dict of str to ndarray
            What the rule remembers, from `init` or from the update before.
        lr : float or ndarray, shape (...)
            The rate of this update.
        t : int
            The number of the update, counted from 0.

        Returns
        -------
        tuple of (ndarray of shape (..., d), dict)
            The new parameters and the new state.

        Examples
        --------
        >>> params = np.array([1.0, 2.0])
        >>> GD().update(params, grad=np.array([1.0, 1.0]), state={}, lr=0.5, t=0)
        (array([0.5, 1.5]), {})
        """
        grad = grad + per_run(self.weight_decay) * params
        step, state = self.direction(grad, state, t)
        return params - per_run(lr) * step, state


@dataclass(frozen=True)
class GD(Rule):
    """Gradient descent: the direction is the gradient.

    Parameters
    ----------
    weight_decay : float or ndarray, default 0.0
        As in `Rule`.

    Examples
    --------
    >>> GD().direction(np.array([1.0, -2.0]), {}, t=0)
    (array([ 1., -2.]), {})
    """

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        return grad, state


@dataclass(frozen=True)
class Momentum(Rule):
    """Heavy-ball momentum: the direction is a velocity that gradients push and friction slows.

    ``velocity = momentum * velocity + grad``, which grows to ``1 / (1 - momentum)`` times a steady
    gradient.  With `nesterov` the direction is the velocity one push ahead,
    ``momentum * velocity + grad``.  On a bowl of curvature c plain momentum converges if and
    only if ``0 < lr * c < 2 * (1 + momentum)``.

    Parameters
    ----------
    momentum : float or ndarray, default 0.9
        The share of the velocity that an update keeps, at least 0 and below 1.
    nesterov : bool or ndarray, default False
        Whether to look one push ahead.
    weight_decay : float or ndarray, default 0.0
        As in `Rule`.

    References
    ----------
    Polyak, 1964; Sutskever et al., 2013, section 2.

    Elsewhere
    ---------
    The rate stands outside the velocity, as in torch; Keras puts it inside, so the two part when
    the rate changes.

    Examples
    --------
    >>> velocity = {"velocity": np.array([1.0])}
    >>> Momentum(0.5).direction(np.array([1.0]), velocity, t=1)[0]
    array([1.5])
    """

    momentum: Numbers = 0.9
    nesterov: bool | NDArray[np.bool_] = False

    @property
    def label(self) -> str:
        return "Nesterov" if np.all(self.nesterov) else "Momentum"

    def init(self, params: Array) -> State:
        return {"velocity": np.zeros_like(params)}

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        momentum = per_run(self.momentum)
        velocity = momentum * state["velocity"] + grad
        ahead = momentum * velocity + grad
        return np.where(per_run(self.nesterov), ahead, velocity), {"velocity": velocity}


@dataclass(frozen=True)
class AdaGrad(Rule):
    """AdaGrad: divide by the root of the sum of all squared gradients.

    Each parameter gets its own rate, which can only fall: with steady gradients every update is
    ``lr / sqrt(t + 1)`` long.

    Parameters
    ----------
    eps : float or ndarray, default 1e-10
        Added outside the root.
    weight_decay : float or ndarray, default 0.0
        As in `Rule`.

    References
    ----------
    Duchi, Hazan and Singer, 2011.

    Examples
    --------
    >>> AdaGrad().direction(np.array([2.0]), {"sum": np.array([12.0])}, t=3)[0]
    array([0.5])
    """

    eps: Numbers = 1e-10

    def init(self, params: Array) -> State:
        return {"sum": np.zeros_like(params)}

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        total = state["sum"] + grad**2
        return grad / (np.sqrt(total) + per_run(self.eps)), {"sum": total}


@dataclass(frozen=True)
class RMSprop(Rule):
    """RMSprop: divide by the root of a moving average of squared gradients, which can forget.

    ``square = alpha * square + (1 - alpha) * grad²``, from 0.  The average starts too small, so the
    first update is ``1 / sqrt(1 - alpha)`` times the rate: ten times, by default.

    Parameters
    ----------
    alpha : float or ndarray, default 0.99
        The share of the average that an update keeps, at least 0 and below 1.
    eps : float or ndarray, default 1e-8
        Added outside the root.
    weight_decay : float or ndarray, default 0.0
        As in `Rule`.

    References
    ----------
    Tieleman and Hinton, 2012, lecture 6.5.

    Examples
    --------
    >>> RMSprop().direction(np.array([0.03]), {"square": np.zeros(1)}, t=0)[0].round(3)
    array([10.])
    """

    alpha: Numbers = 0.99
    eps: Numbers = 1e-8

    def init(self, params: Array) -> State:
        return {"square": np.zeros_like(params)}

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        alpha = per_run(self.alpha)
        square = alpha * state["square"] + (1 - alpha) * grad**2
        return grad / (np.sqrt(square) + per_run(self.eps)), {"square": square}


@dataclass(frozen=True)
class Adam(Rule):
    """Adam: momentum on the gradient, RMSprop's division, both corrected for starting at 0.

    ``mean`` and ``square`` are moving averages of the gradient and of its square.  After t + 1
    updates their weights sum to ``1 - beta^(t + 1)`` only, so they are divided by that.
    The first update therefore moves every parameter by about `lr`, however small its gradient.

    Parameters
    ----------
    betas : pair of float or of ndarray, default (0.9, 0.999)
        The shares of ``mean`` and of ``square`` that an update keeps, at least 0 and below 1.
    eps : float or ndarray, default 1e-8
        Added outside the root, after the correction.
    weight_decay : float or ndarray, default 0.0
        L2, inside the gradient: the division then rescales it too.  See `AdamW`.

    References
    ----------
    Kingma and Ba, 2015, algorithm 1.

    Examples
    --------
    >>> rule = Adam()
    >>> rule.direction(np.array([1e-3, -50.0]), rule.init(np.zeros(2)), t=0)[0].round(3)
    array([ 1., -1.])
    """

    betas: tuple[Numbers, Numbers] = (0.9, 0.999)
    eps: Numbers = 1e-8

    def init(self, params: Array) -> State:
        return {"mean": np.zeros_like(params), "square": np.zeros_like(params)}

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        beta1, beta2 = per_run(self.betas[0]), per_run(self.betas[1])
        mean = beta1 * state["mean"] + (1 - beta1) * grad
        square = beta2 * state["square"] + (1 - beta2) * grad**2
        full_mean = mean / (1 - beta1 ** (t + 1))
        full_square = square / (1 - beta2 ** (t + 1))
        step = full_mean / (np.sqrt(full_square) + per_run(self.eps))
        return step, {"mean": mean, "square": square}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: parameters shrink by ``1 - lr * weight_decay``, undivided.

    Parameters
    ----------
    betas, eps
        As in `Adam`.
    weight_decay : float or ndarray, default 0.01
        The decay of an update, divided by its rate.

    References
    ----------
    Loshchilov and Hutter, 2019, algorithm 2, with `lr` for their schedule multiplier, as in torch.

    Examples
    --------
    >>> rule, params = AdamW(weight_decay=0.5), np.array([2.0])
    >>> rule.update(params, np.zeros(1), rule.init(params), lr=0.1, t=0)[0]
    array([1.9])
    """

    weight_decay: Numbers = field(default=0.01, kw_only=True)

    def update(
        self, params: Array, grad: Array, state: State, lr: Numbers, t: int
    ) -> tuple[Array, State]:
        shrunk = params * (1 - per_run(lr) * per_run(self.weight_decay))
        step, state = self.direction(grad, state, t)  # the decay is not in the gradient
        return shrunk - per_run(lr) * step, state


class Trajectory(NamedTuple):
    """What `descend` returns: points visited, their losses, and where a run was given up.

    Attributes
    ----------
    x : ndarray of float, shape (..., steps + 1, d)
        The points, the start first.
    loss : ndarray of float, shape (..., steps + 1)
        Their losses.
    diverged_at : ndarray of int, shape (...)
        The first point that was not followed, -1 for never.

    Examples
    --------
    >>> from lrcourse.surfaces import parabola
    >>> slide = descend(GD(), parabola(), start=[1.0], rates=[0.25, 0.25])
    >>> slide.x[:, 0], slide.loss, slide.diverged_at
    (array([1.  , 0.5 , 0.25]), array([1.    , 0.25  , 0.0625]), array(-1))
    """

    x: Array
    loss: Array
    diverged_at: NDArray[np.int64]


def descend(
    rule: Rule,
    surface: Surface,
    start: ArrayLike,
    rates: ArrayLike,
    *,
    noise: ArrayLike = 0.0,
    bound: float = 1e12,
) -> Trajectory:
    """Run descents side by side, from `start`, one update for each of `rates`.

    A run has diverged at the first point whose loss is not finite or beyond `bound` in size.  From
    there on its points and losses are NaN; the others go on undisturbed.

    Parameters
    ----------
    rule : Rule
        Its hyperparameters are numbers, or arrays over the leading axes.
    surface : Surface
        A loss of d parameters.
    start : array_like of float, shape (..., d)
        Where each run begins.
    rates : array_like of float, shape (..., steps)
        The last axis is time: update t uses ``rates[..., t]``.
    noise : array_like of float, shape (..., steps, d), default 0.0
        Added to the gradients.
    bound : float, default 1e12
        The largest size of a loss that is still followed.

    Returns
    -------
    Trajectory

    Raises
    ------
    TypeError
        If `rule` or `surface` is none.
    ValueError
        For rates below 0 or not finite, and for points of another number of parameters.

    Examples
    --------
    >>> from lrcourse.surfaces import parabola
    >>> path = descend(GD(), parabola(), start=[1.0], rates=[0.25, 0.25, 0.5])
    >>> path.x[:, 0], path.loss
    (array([1.  , 0.5 , 0.25, 0.  ]), array([1.    , 0.25  , 0.0625, 0.    ]))
    """
    _are(surface, rule)
    start, rates, noise = surface.points(start), np.asarray(rates, float), np.asarray(noise, float)
    wrong = rates[~((rates >= 0) & np.isfinite(rates))] if rates.ndim else rates[None]
    if wrong.size:
        raise ValueError(f"rates must be finite numbers >= 0, one for each update, was {wrong[0]}")
    steps, dim = rates.shape[-1], surface.dim
    noise = np.broadcast_to(noise, np.broadcast_shapes(noise.shape, (steps, dim)))
    runs = np.broadcast_shapes(start.shape[:-1], rates.shape[:-1], noise.shape[:-2], rule.spans)
    x = np.array(np.broadcast_to(start, (*runs, dim)))
    state = rule.init(x)
    # Time goes first, so that each update writes one contiguous block.
    xs, losses = np.empty((steps + 1, *x.shape)), np.empty((steps + 1, *runs))
    diverged_at = np.full(runs, -1)
    with np.errstate(all="ignore"):
        for t in range(steps + 1):
            loss = surface.value(x)
            gone = ~(np.abs(loss) <= bound)  # also true of NaN
            if gone.any():
                diverged_at[gone & (diverged_at < 0)] = t
                loss, x = np.where(gone, np.nan, loss), np.where(per_run(gone), np.nan, x)
            losses[t] = loss
            xs[t] = x
            if t < steps:
                grad = surface.grad(x) + noise[..., t, :]
                x, state = rule.update(x, grad, state, rates[..., t], t)
    return Trajectory(np.moveaxis(xs, 0, -2), np.moveaxis(losses, 0, -1), diverged_at)


def descents(
    surface: Any,
    rule: Any = Momentum(0.0),
    *,
    steps: int = 100,
    bound: float = 1e12,
    **settings: Any,
) -> xr.Dataset:
    """Run a grid of descents: every setting given as a sequence becomes a dimension.

    The grammar is that of `lrcourse.grids`, as in `lrcourse.sweep`: a list, range or array of
    values, or a dict from labels to values, spans a dimension named like the argument.  `surface`
    and `rule` come first, the settings follow as given, `seed` is last of all.  The same seed
    brings the same noise to every cell of the grid, and to a run on its own, so cells differ by
    their settings and not by luck.  A schedule moves the rate alone, not the momentum.

    Parameters
    ----------
    surface : Surface
        A loss of d parameters; several must have the same d.
    rule : Rule, default Momentum(0.0)
        The default is gradient descent, to which `momentum` can be given.
    steps : int, default 100
        The number of updates, at least 1.
    bound : float, default 1e12
        A loss beyond this in size counts as diverged, see `descend`.
    lr : float or schedule
        The rate, at least 0; beside `schedule`, the factor on it, 1 by default.
    schedule : callable
        A function from an array of updates to their rates, as in `lrcourse.schedules`.
    start : sequence of float
        d coordinates, or a number if d is 1; ``surface.start`` by default.
    noise : float, default 0.0
        The standard deviation of the normal noise added to each component of the gradient.
    seed : int, default 0
        Decides the noise.
    momentum, nesterov, alpha, betas, eps, weight_decay
        Replace those of the rule, which must have them.
    **settings
        Hyperparameters of a rule of your own.

    Returns
    -------
    Dataset
        Over these dimensions and ``step`` = 0 ... steps, where step 0 is the start: ``x0``, ``x1``,
        ... and ``loss`` after so many updates, and ``used``, the rate of the update that leaves the
        step, so NaN at the last one.  ``diverged_at`` is the first step whose loss was not finite
        or beyond `bound`, -1 for never; from there on all else is NaN.

    Raises
    ------
    TypeError
        For what is no surface, no rule or no setting of the rule, for a generator or a set, and
        if neither `lr` nor `schedule` is given.
    ValueError
        For a value beyond its limits, which are those of a sweep, and for a dimension that is empty
        or holds a value twice.

    Examples
    --------
    >>> from lrcourse.surfaces import parabola
    >>> runs = descents(parabola(), lr=[0.1, 0.5, 1.0, 1.1], start=1.0, steps=300)
    >>> runs.x0.sel(step=2).values.round(2), runs.diverged_at.values
    (array([0.64, 0.  , 1.  , 1.44]), array([-1, -1, -1, 76]))
    """
    for name, value in (("surface", surface), ("rule", rule)):
        if is_axis(name, value):
            given = {"surface": surface, "rule": rule, "steps": steps, "bound": bound, **settings}
            axis = Axis(name, value)
            return _stacked(axis, [descents(**{**given, name: one}) for one in axis.values])
    _are(surface, rule)
    if rule.spans:
        raise ValueError(
            f"rule must have one value for each hyperparameter, the others span the grid as "
            f"arguments of their own, was {rule!r}"
        )
    steps, bound = limited("steps", steps), number("bound", bound, low=0)
    known(
        list(settings),
        ["lr", "schedule", "start", "noise", "seed", *rule.hyperparameters()],
        f"setting of {rule.label}",
    )
    if callable(settings.get("lr")) and "schedule" not in settings:
        settings = {"schedule" if n == "lr" else n: value for n, value in settings.items()}
    if "lr" not in settings and "schedule" not in settings:
        raise TypeError("descents needs lr or schedule")
    if len(getattr(settings.get("start"), "shape", ())) == 2:  # an array with a start in each row
        settings["start"] = [tuple(point) for point in np.asarray(settings["start"]).tolist()]
    dim = surface.dim
    axes = axes_of(settings, {"start": dim} if dim > 1 else {})

    def spread(name: str, check: Callable[[Any], Any], default: Any = None) -> Array:
        """The checked values of a setting, laid along its dimension of the grid."""
        for axis in axes:
            if axis.name == name:
                values = np.array([check(value) for value in axis.values])
                place = [-1 if other is axis else 1 for other in axes]
                return values.reshape(*place, *values.shape[1:])
        return np.asarray(check(settings.get(name, default)))

    def kicks(seed: Any) -> Array:
        return np.random.default_rng(limited("seed", seed)).standard_normal((steps, dim))

    def limit(name: str) -> Callable[[Any], Any]:
        return lambda value: _checked(name, value)

    rates = per_run(spread("lr", limit("lr"), 1.0)) * spread("schedule", lambda s: _rates(s, steps))
    noise = spread("noise", limit("noise"), 0.0)
    changes: dict[str, Any] = {
        name: spread(name, limit(name)) for name in rule.hyperparameters() if name in settings
    }
    if "betas" in changes:
        changes["betas"] = tuple(np.moveaxis(changes["betas"], -1, 0))
    path = descend(
        replace(rule, **changes),
        surface,
        spread("start", lambda value: _point(value, dim), surface.start),
        rates,
        noise=noise[..., None, None] * spread("seed", kicks, 0),
        bound=bound,
    )
    step, dims = np.arange(steps + 1), [axis.name for axis in axes]
    last = per_run(np.where(path.diverged_at < 0, steps, path.diverged_at))
    used = np.where(step < last, np.append(rates, rates[..., -1:], axis=-1), np.nan)
    shared = {
        name: value if type(value) in (int, float) else stable_repr(value)
        for name, value in settings.items()
        if name not in dims
    }
    over = [*dims, "step"]
    return xr.Dataset(
        {f"x{i}": (over, path.x[..., i]) for i in range(dim)}
        | {"loss": (over, path.loss), "used": (over, used)}
        | {"diverged_at": (dims, path.diverged_at)},
        {axis.name: axis.labels for axis in axes} | {"step": step},
        {"surface": surface.label, "rule": repr(rule), "steps": steps, "bound": bound} | shared,
    )


_NAMED = {"lr": None, "schedule": None, "start": None, "noise": 0.0, "seed": 0} | dict.fromkeys(
    ["momentum", "nesterov", "alpha", "betas", "eps", "weight_decay"]
)
_OWN = inspect.signature(descents)
descents.__signature__ = _OWN.replace(  # type: ignore[attr-defined]
    parameters=[  # help and completion name every setting
        *(p for p in _OWN.parameters.values() if p.kind is not p.VAR_KEYWORD),
        *(
            inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d)
            for n, d in _NAMED.items()
        ),
        _OWN.parameters["settings"],
    ]
)


def _are(surface: Any, rule: Any) -> None:
    instance("surface", surface, Surface, "a Surface such as parabola()")  # type: ignore[type-abstract]
    instance("rule", rule, Rule, "a Rule such as GD() or Adam()")


def _stacked(axis: Axis, runs: list[xr.Dataset]) -> xr.Dataset:
    if any(set(run) != set(runs[0]) for run in runs):
        labels = axis.labels.tolist()
        raise ValueError(f"{axis.name} must all have as many parameters, was {labels}")
    stacked = xr.concat(
        runs, axis.name, data_vars="all", coords="minimal", compat="override",
        join="exact", combine_attrs="drop_conflicts",
    )  # fmt: skip
    return stacked.assign_coords({axis.name: axis.labels})


def _rates(schedule: Any, steps: int) -> Array:
    if schedule is None:
        return np.ones(steps)
    if not callable(schedule):
        raise TypeError(f"schedule must be a function such as Cosine(0.1, 100), was {schedule!r}")
    return np.broadcast_to(np.asarray(schedule(np.arange(steps)), dtype=float), (steps,))


def _point(value: Any, dim: int) -> Array:
    must = f"start must be {dim} finite coordinate{'s' * (dim > 1)}"
    try:
        point = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        raise TypeError(f"{must}, was {value!r}") from None
    if point.shape != (dim,) or not np.isfinite(point).all():
        raise ValueError(f"{must}, was {value!r}")
    return point
