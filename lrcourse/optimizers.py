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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lrcourse._checks import count, flag, instance, number
from lrcourse.surfaces import Surface

Array = NDArray[np.float64]
Numbers = float | Array
State = dict[str, Array]

_LIMITS: dict[str, dict[str, Any]] = {
    "momentum": {"low": 0, "high": 1},
    "alpha": {"low": 0, "high": 1},
    "betas": {"low": 0, "high": 1, "open_high": True},
    "eps": {"low": 0},
    "weight_decay": {"low": 0},
}


def _checked(name: str, value: Any) -> Any:
    """A hyperparameter as a plain number, or as an array if there are several."""
    if np.ndim(value) > 0:
        return np.array([_checked(name, one) for one in value])
    return flag(name, value) if name == "nesterov" else number(name, value, **_LIMITS[name])


def per_run(values: ArrayLike) -> Any:
    """Give a hyperparameter of shape (...) the axis that lines it up with parameters (..., d).

    >>> per_run(np.array([0.1, 0.2, 0.3])).shape
    (3, 1)
    """
    return np.asarray(values)[..., None]


@dataclass(frozen=True)
class Rule:
    """A rule that turns gradients into updates; a subclass says in which direction it moves.

    Parameters
    ----------
    weight_decay : the factor of the L2 penalty ``weight_decay * |params|² / 2``, whose gradient is
        added to that of the loss.
    """

    weight_decay: Numbers = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        for name in self.hyperparameters():
            value = getattr(self, name)
            if name == "betas":
                if not isinstance(value, tuple | list) or len(value) != 2:
                    raise ValueError(f"betas must be two numbers >= 0 and < 1, was {value!r}")
                checked: Any = tuple(_checked(name, beta) for beta in value)
            else:
                checked = _checked(name, value)
            object.__setattr__(self, name, checked)

    @classmethod
    def hyperparameters(cls) -> list[str]:
        """The names of what can be set, besides the rate.

        >>> Adam.hyperparameters()
        ['weight_decay', 'betas', 'eps']
        """
        return [f.name for f in fields(cls)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The leading axes that the hyperparameters span; () when all are single numbers."""
        values = [getattr(self, name) for name in self.hyperparameters() if name != "betas"]
        return np.broadcast_shapes(*map(np.shape, [*values, *getattr(self, "betas", ())]))

    @property
    def label(self) -> str:
        """What a legend calls the rule."""
        return type(self).__name__

    def init(self, params: Array) -> State:
        """What the rule remembers before its first update."""
        return {}

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        """The direction of update `t`, counted from 0, and what the rule then remembers."""
        raise NotImplementedError

    def update(
        self, params: Array, grad: Array, state: State, lr: Numbers, t: int
    ) -> tuple[Array, State]:
        """Update the parameters once: ``params - lr * direction``.

        >>> params = np.array([1.0, 2.0])
        >>> GD().update(params, grad=np.array([1.0, 1.0]), state={}, lr=0.5, t=0)
        (array([0.5, 1.5]), {})
        """
        grad = grad + per_run(self.weight_decay) * params
        step, state = self.direction(grad, state, t)
        return params - per_run(lr) * step, state


@dataclass(frozen=True)
class GD(Rule):
    """Gradient descent: the direction is the gradient."""

    def direction(self, grad: Array, state: State, t: int) -> tuple[Array, State]:
        return grad, state


@dataclass(frozen=True)
class Momentum(Rule):
    """Heavy-ball momentum: the direction is a velocity that gradients push and friction slows.

    ``velocity = momentum * velocity + grad``, which grows to ``1 / (1 - momentum)`` times a steady
    gradient.  With `nesterov` the direction is the velocity one push ahead,
    ``momentum * velocity + grad``.  On a bowl of curvature c plain momentum converges if and
    only if ``0 < lr * c < 2 * (1 + momentum)``.

    (Polyak, 1964; Sutskever et al., 2013, section 2.  The rate stands outside the velocity, as in
    torch; Keras puts it inside, so the two part when the rate changes.)
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

    (Duchi, Hazan and Singer, 2011.)
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

    (Tieleman and Hinton, 2012, lecture 6.5.)
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
    betas : how much of ``mean`` and of ``square`` an update keeps.
    eps : added outside the root, after the correction.
    weight_decay : L2, inside the gradient: the division then rescales it too.  See `AdamW`.

    (Kingma and Ba, 2015, algorithm 1.)
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

    (Loshchilov and Hutter, 2019, algorithm 2, with `lr` for their schedule multiplier, as in
    torch.)
    """

    weight_decay: Numbers = field(default=0.01, kw_only=True)

    def update(
        self, params: Array, grad: Array, state: State, lr: Numbers, t: int
    ) -> tuple[Array, State]:
        shrunk = params * (1 - per_run(lr) * per_run(self.weight_decay))
        step, state = self.direction(grad, state, t)  # the decay is not in the gradient
        return shrunk - per_run(lr) * step, state


class Trajectory(NamedTuple):
    """What `descend` returns: points visited, their losses, and where a run was given up."""

    x: Array  # (..., steps + 1, d)
    loss: Array  # (..., steps + 1)
    diverged_at: NDArray[np.int64]  # (...), -1 for never


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
    rule : its hyperparameters are numbers, or arrays over the leading axes.
    start : shape (..., d).
    rates : shape (..., steps); the last axis is time: update t uses ``rates[..., t]``.
    noise : added to the gradients, shape (..., steps, d).
    bound : largest size of a loss that is still followed.

    >>> from lrcourse.surfaces import parabola
    >>> path = descend(GD(), parabola(), start=[1.0], rates=[0.25, 0.25, 0.5])
    >>> path.x[:, 0], path.loss
    (array([1.  , 0.5 , 0.25, 0.  ]), array([1.    , 0.25  , 0.0625, 0.    ]))
    """
    start, rates, noise = surface.points(start), np.asarray(rates, float), np.asarray(noise, float)
    wrong = rates[~((rates >= 0) & np.isfinite(rates))] if rates.ndim else rates[None]
    if wrong.size:
        raise ValueError(f"rates must be finite numbers >= 0, one for each update, was {wrong[0]}")
    steps, dim = rates.shape[-1], surface.dim
    noise = np.broadcast_to(noise, np.broadcast_shapes(noise.shape, (steps, dim)))
    runs = np.broadcast_shapes(start.shape[:-1], rates.shape[:-1], noise.shape[:-2], rule.shape)
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

    A list, range or array of values, or a dict label -> value, spans a dimension named like the
    argument.  `surface` and `rule` come first, the settings follow as given, `seed` is last of all.
    The same seed brings the same noise to every cell of the grid, and to a run on its own, so cells
    differ by their settings and not by luck.  A schedule moves the rate alone, not the momentum.

    Parameters
    ----------
    surface : a `Surface` of d parameters; several must have the same d.
    rule : a `Rule`; by default gradient descent, to which `momentum` can be given.
    steps : number of updates, at least 1.
    bound : a loss beyond this in size counts as diverged, see `descend`.
    lr : the rate, >= 0, or a schedule; beside `schedule`, the factor on it, 1 by default.
    schedule : a function from an array of updates to their rates, as in `lrcourse.schedules`.
    start : d coordinates, or a number if d is 1; `surface.start` by default.
    noise : standard deviation of the normal noise added to each component of the gradient.
    seed : an integer, 0 by default.
    momentum, nesterov, alpha, betas, eps, weight_decay : replace those of the rule, which must
        have them.

    Returns
    -------
    A Dataset over these dimensions and ``step`` = 0 ... steps, where step 0 is the start.  ``x0``,
    ``x1``, ... and ``loss`` after so many updates.  ``rate`` of the update that leaves the step, so
    NaN at the last one.  ``diverged_at``, the first step whose loss was not finite or beyond
    `bound`, -1 for never; from there on all else is NaN.

    >>> from lrcourse.surfaces import parabola
    >>> runs = descents(parabola(), lr=[0.1, 0.5, 1.0, 1.1], start=1.0, steps=300)
    >>> runs.x0.sel(step=2).values.round(2), runs.diverged_at.values
    (array([0.64, 0.  , 1.  , 1.44]), array([-1, -1, -1, 76]))
    """
    for name, value in (("surface", surface), ("rule", rule)):
        if axis := _axis(name, value):
            given = {"surface": surface, "rule": rule, "steps": steps, "bound": bound, **settings}
            return _stack(name, {label: descents(**{**given, name: axis[label]}) for label in axis})
    instance("surface", surface, Surface, "a Surface such as parabola()")  # type: ignore[type-abstract]
    instance("rule", rule, Rule, "a Rule such as GD() or Adam()")
    steps, bound = count("steps", steps, low=1), number("bound", bound, low=0)
    known = ["lr", "schedule", "start", "noise", "seed", *rule.hyperparameters()]
    for name in settings:
        if name not in known:
            raise TypeError(f"{rule.label} has no setting {name!r}, it has {', '.join(known)}")
    if callable(settings.get("lr")) and "schedule" not in settings:
        settings["schedule"] = settings.pop("lr")
    if "lr" not in settings and "schedule" not in settings:
        raise TypeError("descents needs lr or schedule")
    if "seed" in settings:
        settings["seed"] = settings.pop("seed")  # its dimension comes last

    def kicks(seed: Any) -> Array:
        return np.random.default_rng(count("seed", seed)).standard_normal((steps, surface.dim))

    point = (surface.dim,) if surface.dim > 1 else ()
    grid = _Grid(settings, {"start": point, "betas": (2,)})
    lr = grid.spread("lr", lambda value: number("lr", value, low=0), 1.0)
    rates = per_run(lr) * grid.spread("schedule", lambda value: _rates(value, steps), np.ones_like)
    noise = grid.spread("noise", lambda value: number("noise", value, low=0), 0.0)
    changes: dict[str, Any] = {
        name: grid.spread(name) for name in rule.hyperparameters() if name in settings
    }
    if "betas" in changes:
        changes["betas"] = tuple(np.moveaxis(changes["betas"], -1, 0))
    path = descend(
        replace(rule, **changes),
        surface,
        grid.spread("start", lambda value: _point(value, surface.dim), surface.start),
        rates,
        noise=noise[..., None, None] * grid.spread("seed", kicks, 0),
        bound=bound,
    )
    step = np.arange(steps + 1)
    last = per_run(np.where(path.diverged_at < 0, steps, path.diverged_at))
    rate = np.where(step < last, np.append(rates, rates[..., -1:], axis=-1), np.nan)
    over = [*grid.dims, "step"]
    return xr.Dataset(
        {f"x{i}": (over, path.x[..., i]) for i in range(surface.dim)}
        | {"loss": (over, path.loss), "rate": (over, rate)}
        | {"diverged_at": (grid.dims, path.diverged_at)},
        grid.coords | {"step": step},
        {"surface": surface.label, "rule": repr(rule), "steps": steps, "bound": bound} | grid.attrs,
    )


class _Grid:
    """The settings of many runs: each has one value, or values along a dimension of its own."""

    def __init__(self, settings: dict[str, Any], single: dict[str, tuple[int, ...]]) -> None:
        self.settings = settings
        axes = {name: _axis(name, value, single.get(name, ())) for name, value in settings.items()}
        self.axes = {name: axis for name, axis in axes.items() if axis}
        self.dims = list(self.axes)
        self.coords: dict[str, Any] = {name: list(axis) for name, axis in self.axes.items()}
        self.attrs = {
            name: value if type(value) in (int, float) else str(value)
            for name, value in settings.items()
            if name not in self.axes
        }

    def spread(
        self, name: str, check: Callable[[Any], Any] = np.asarray, default: Any = None
    ) -> Array:
        """The checked values of a setting, laid along its dimension of the grid."""
        if name not in self.axes:
            return np.asarray(check(self.settings.get(name, default)))
        values = np.array([check(value) for value in self.axes[name].values()])
        place = [len(values) if dim == name else 1 for dim in self.dims]
        return values.reshape(*place, *values.shape[1:])


def _axis(name: str, value: Any, single: tuple[int, ...] = ()) -> dict[Any, Any]:
    """Label -> value for a setting that spans a dimension; empty for a value of shape `single`."""
    if isinstance(value, Mapping):
        axis = dict(value)
    elif np.shape(value) in [(), single]:
        return {}
    else:
        axis = {_label(one): one for one in value}
        if len(axis) < len(value):
            raise ValueError(f"{name} must not repeat a value (a dict can), was {value!r}")
    if not axis:
        raise ValueError(f"{name} must have at least one value, was {value!r}")
    return axis


def _label(value: Any) -> Any:
    if np.ndim(value) > 0:
        return f"({', '.join(f'{one:g}' for one in value)})"
    if isinstance(value, Surface | Rule):
        return value.label
    return repr(value) if callable(value) else value


def _stack(name: str, runs: dict[Any, xr.Dataset]) -> xr.Dataset:
    first, *others = runs.values()
    if any(set(run) != set(first) for run in others):
        raise ValueError(f"{name} must all have as many parameters, was {list(runs)}")
    stacked = xr.concat(
        [first, *others], name, data_vars="all", coords="minimal", compat="override",
        join="exact", combine_attrs="drop_conflicts",
    )  # fmt: skip
    return stacked.assign_coords({name: list(runs)})


def _rates(schedule: Any, steps: int) -> Array:
    if not callable(schedule):
        raise TypeError(f"schedule must be a function such as Cosine(0.1, 100), was {schedule!r}")
    return np.broadcast_to(np.asarray(schedule(np.arange(steps)), dtype=float), (steps,))


def _point(value: Any, dim: int) -> Array:
    point = np.atleast_1d(np.asarray(value, dtype=float))
    if point.shape != (dim,) or not np.isfinite(point).all():
        raise ValueError(f"start must be {dim} finite coordinates, was {value!r}")
    return point
