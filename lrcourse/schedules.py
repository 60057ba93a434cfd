"""Schedules of the learning rate: pure functions from an update to its rate.

``schedule(t)`` is the rate that update ``t`` uses, counted from 0; an array of updates gives an
array of rates. A schedule is data: it prints itself, compares equal, hashes, pickles and checks
its arguments when it is made. It never touches an optimizer: `lrcourse.drivers` does that.

Where PyTorch has a schedule of the same name, the values agree with it over the whole run. After
the run a schedule stays at its last value, unless it is periodic by nature; each docstring says
under *Elsewhere* where other libraries part from this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from inspect import signature
from typing import Any, ClassVar, overload

import numpy as np
import numpy.typing as npt

from lrcourse._checks import choice, count, flag, instance, number
from lrcourse._limits import LIMITS

__all__ = [
    "Constant", "ConstantWarmup", "Cosine", "CosineRestarts", "ExpRange", "Exponential",
    "InverseSqrt", "InverseTime", "Joined", "LinearWarmup", "MultiStep", "OneCycle", "Polynomial",
    "Scaled", "Schedule", "Step", "Triangular", "Triangular2", "WarmupStableDecay", "join",
    "warmup",
]  # fmt: skip

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Updates = Sequence[int] | npt.NDArray[np.integer[Any]]


def _tuple_of(check: Callable[[str, Any], Any], name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a sequence, was {value!r}")
    return tuple(check(f"{name}[{i}]", item) for i, item in enumerate(value))


def call_first(name: str, value: Any) -> None:
    """Refuse a class where one of its instances is meant, and say what to write.

    >>> call_first("schedule", Step)
    Traceback (most recent call last):
        ...
    TypeError: schedule must be a Schedule, was the class Step: call it, as in Step(lr, step_size)
    """
    if isinstance(value, type):
        given = signature(value).parameters.values() if is_dataclass(value) else ()
        needed = ", ".join(p.name for p in given if p.default is p.empty)
        raise TypeError(
            f"{name} must be a Schedule, was the class {value.__name__}: "
            f"call it, as in {value.__name__}({needed})"
        )


def _schedule(name: str, value: Any) -> Schedule:
    call_first(name, value)
    return instance(name, value, Schedule, "a Schedule")  # type: ignore[type-abstract]


def _momentum_range(name: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise TypeError(f"{name} must be None or a pair (low, high), was {value!r}")
    low = LIMITS["momentum"](f"{name}[0]", value[0])
    return low, number(f"{name}[1]", value[1], low=low, high=1, open_high=True)


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else check(name, value)


# One name means one idea in every schedule, so one table says what each name may be.
_SHAPES = ("cos", "linear", "sqrt")
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **{name: LIMITS[name] for name in ("lr", "steps", "warmup_steps")},
    **dict.fromkeys(["floor", "gamma", "factor", "decay_rate"], LIMITS["lr"]),
    **dict.fromkeys(["step_size", "cycle", "multiply", "up_steps"], LIMITS["steps"]),
    **dict.fromkeys(["down_steps", "timescale"], _optional(LIMITS["steps"])),
    **dict.fromkeys(["stable_steps", "decay_steps"], LIMITS["warmup_steps"]),
    **dict.fromkeys(["power", "div_factor", "final_div_factor"],
                    partial(number, low=0, open_low=True)),
    **dict.fromkeys(["staircase", "three_phase"], flag),
    "start": _optional(partial(number, low=0, high=1)),
    "pct_start": partial(number, low=0, high=1),
    "anneal": partial(choice, options=_SHAPES),
    "milestones": lambda name, value: tuple(sorted(_tuple_of(count, name, value))),
    "boundaries": partial(_tuple_of, count),
    "schedule": _schedule,
    "schedules": partial(_tuple_of, _schedule),
    "momentum_range": _momentum_range,
}  # fmt: skip


def _progress(t: Ints, steps: float) -> Floats:
    """Fraction of a phase that is over after `t` updates; a phase of no width is over at once."""
    return np.minimum(t / steps, 1.0) if steps else np.ones(t.shape)


def _between(shape: str, start: Any, end: Any, fraction: Floats) -> Floats:
    """Move from `start` to `end` as `fraction` goes from 0 to 1."""
    if shape == "cos":
        left = (1 + np.cos(np.pi * fraction)) / 2
    else:
        left = 1 - (np.sqrt(fraction) if shape == "sqrt" else fraction)
    result: Floats = end + (start - end) * left
    return result


def _ramp(t: Ints, warmup_steps: int, start: float | None) -> Floats:
    """Rise linearly from `start` at t = 0 to 1 at t = warmup_steps."""
    first = 1 / (warmup_steps + 1) if start is None else start
    return _between("linear", first, 1.0, _progress(t, warmup_steps))


@dataclass(frozen=True)
class Schedule(ABC):
    """A rule that gives every update its learning rate: η_t = schedule(t), t = 0, 1, 2, …

    A subclass is a frozen dataclass with a method ``_rate`` from an int64 vector of updates to a
    float64 vector of rates, and ``_momentum`` likewise where it plans one. It must be pure, since a
    driver asks it for many updates ahead. Fields with the names used here (``lr``, ``steps``, …)
    are checked.

    Raises
    ------
    TypeError, ValueError
        From making a schedule whose field is of the wrong kind or out of its range, and from
        calling one for what is no update, or where its rate exceeds a float.

    Examples
    --------
    >>> schedule = Step(lr=0.1, step_size=2)
    >>> schedule(0), schedule(np.arange(4))
    (0.1, array([0.1 , 0.1 , 0.01, 0.01]))
    >>> 2 * schedule == Scaled(schedule, 2.0)
    True
    """

    __array_ufunc__: ClassVar[None] = None  # so that np.float64(2) * schedule asks __rmul__

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if name in _CHECKS:
                object.__setattr__(self, name, _CHECKS[name](name, getattr(self, name)))
        if hasattr(self, "floor") and hasattr(self, "lr"):
            number("floor", self.floor, low=0, high=self.lr)

    @overload
    def __call__(self, t: int | np.integer[Any]) -> float: ...
    @overload
    def __call__(self, t: Updates) -> Floats: ...
    def __call__(self, t: Any) -> float | Floats:
        """Return the rate of update `t`, an integer >= 0 or an array of them of any shape.

        The rate is a float, or a float64 array of the shape of `t`.
        """
        rate: float | Floats = self._at(t, self._rate)
        return rate

    def momentum(self, t: Any) -> Any:
        """Return the momentum of update `t`, or None if the schedule leaves it alone.

        It is of the shape of `t`, as the rate is.
        """
        return self._at(t, self._momentum)

    def __mul__(self, factor: float) -> Scaled:
        return Scaled(self, factor)

    __rmul__ = __mul__

    @abstractmethod
    def _rate(self, t: Ints) -> Floats: ...

    def _momentum(self, t: Ints) -> Floats | None:
        return None

    def _at(self, t: Any, formula: Callable[[Ints], Floats | None]) -> Any:
        # A scalar travels as a vector of one: NumPy rounds scalars and vectors differently.
        updates = np.asarray(t)
        if updates.dtype.kind not in "iu":
            raise TypeError(f"t must be an integer >= 0 or an array of them, was {t!r}")
        flat = updates.astype(np.int64).ravel()
        if flat.min(initial=0) < 0:
            raise ValueError(f"t must be an integer >= 0 or an array of them, was {t!r}")
        with np.errstate(over="ignore", invalid="ignore"):
            values = formula(flat)
        if values is None:
            return None
        if not np.isfinite(values).all():
            first = flat[~np.isfinite(values)].min()
            raise ValueError(f"{self!r} is too large for a float at t = {first}")
        return values.reshape(updates.shape) if updates.ndim else float(values[0])


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate for every update.

    Parameters
    ----------
    lr : float, >= 0

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    lr: float

    def _rate(self, t: Ints) -> Floats:
        return np.full(t.shape, self.lr)


@dataclass(frozen=True)
class Step(Schedule):
    """Multiply the rate by `gamma` every `step_size` updates: lr · γ^⌊t / step_size⌋.

    *Elsewhere*: equal in torch ``StepLR`` and in timm ``StepLRScheduler``.

    Parameters
    ----------
    lr : float, >= 0
    step_size : int, >= 1
        In updates.
    gamma : float, >= 0

    Examples
    --------
    >>> Step(0.1, step_size=30)([29, 30, 60])
    array([0.1  , 0.01 , 0.001])
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def _rate(self, t: Ints) -> Floats:
        return np.asarray(self.lr * np.power(self.gamma, t // self.step_size))


@dataclass(frozen=True)
class MultiStep(Schedule):
    """Multiply the rate by `gamma` at each milestone: lr · γ^#{m : m ≤ t}.

    The update at the milestone already uses the lower rate. *Elsewhere*: equal in torch
    ``MultiStepLR`` and optax ``piecewise_constant_schedule``; timm ``MultiStepLRScheduler`` drops
    one update earlier, Keras ``PiecewiseConstantDecay`` one later.

    Parameters
    ----------
    lr : float, >= 0
    milestones : sequence of int, >= 0
        In updates and any order; one given twice counts twice.
    gamma : float, >= 0

    Examples
    --------
    >>> MultiStep(1.0, milestones=[10, 15], gamma=0.5)([9, 10, 14, 15])
    array([1.  , 0.5 , 0.5 , 0.25])
    """

    lr: float
    milestones: Sequence[int]
    gamma: float = 0.1

    def _rate(self, t: Ints) -> Floats:
        passed = np.searchsorted(np.array(self.milestones, np.int64), t, side="right")
        return np.asarray(self.lr * np.power(self.gamma, passed))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiply the rate by `gamma` at every update: lr · γ^t.

    *Elsewhere*: equal in torch ``ExponentialLR``; Keras and optax spread their rate over
    decay_steps (transition_steps) updates, γ = rate ** (1 / decay_steps).

    Parameters
    ----------
    lr, gamma : float, >= 0

    Examples
    --------
    >>> Exponential(1.0, gamma=0.5)(np.arange(4))
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    lr: float
    gamma: float

    def _rate(self, t: Ints) -> Floats:
        return np.asarray(self.lr * np.power(self.gamma, t))


@dataclass(frozen=True)
class InverseTime(Schedule):
    """Divide the rate by a number that grows linearly: lr / (1 + decay_rate · t / timescale).

    The rates sum to infinity and their squares do not, as Robbins & Monro (1951) ask; not so with
    decay_rate 0. *Elsewhere*: equal in Keras ``InverseTimeDecay``, where the timescale is called
    decay_steps; torch has none.

    Parameters
    ----------
    lr, decay_rate : float, >= 0
    timescale : int, >= 1
        In updates.
    staircase : bool
        Round the quotient t / timescale down.

    Examples
    --------
    >>> InverseTime(1.0, decay_rate=1.0, timescale=10)([0, 10, 30])
    array([1.  , 0.5 , 0.25])
    """

    lr: float
    decay_rate: float
    timescale: int = 1
    staircase: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        count("timescale", self.timescale, low=1)  # None, as in InverseSqrt, has no meaning here

    def _rate(self, t: Ints) -> Floats:
        age = t // self.timescale if self.staircase else t / self.timescale
        return np.asarray(self.lr / (1 + self.decay_rate * age))


@dataclass(frozen=True)
class Polynomial(Schedule):
    """Fall from `lr` to `floor` like a power: floor + (lr − floor) (1 − t / steps)^power.

    Power 1 is the straight line. The floor is first used at t = steps, after the last update of
    the run, and stays. *Elsewhere*: equal in torch ``PolynomialLR``, whose floor is 0, with power 1
    in a falling ``LinearLR``, in optax ``polynomial_schedule`` and Keras ``PolynomialDecay``, whose
    floor is 0.0001 unless told otherwise.

    Parameters
    ----------
    lr : float, >= 0
    steps : int, >= 1
        Updates of the fall.
    power : float, > 0
    floor : float, >= 0 and <= lr

    Examples
    --------
    >>> Polynomial(1.0, steps=4)(np.arange(6))
    array([1.  , 0.75, 0.5 , 0.25, 0.  , 0.  ])
    """

    lr: float
    steps: int
    power: float = 1.0
    floor: float = 0.0

    def _rate(self, t: Ints) -> Floats:
        left = (1 - _progress(t, self.steps)) ** self.power
        return np.asarray(self.floor + (self.lr - self.floor) * left)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Fall along half a cosine: floor + (lr − floor) (1 + cos(π t / steps)) / 2.

    The floor is first used at t = steps and stays. *Elsewhere*: equal in torch
    ``CosineAnnealingLR`` up to t = steps, where it and transformers' cosine rise again; optax,
    Keras and timm stay. In optax and Keras the floor is a fraction of the rate.
    Source: Loshchilov & Hutter 2017, SGDR, eq. 5.

    Parameters
    ----------
    lr : float, >= 0
    steps : int, >= 1
        Updates of the fall.
    floor : float, >= 0 and <= lr

    Examples
    --------
    >>> Cosine(1.0, steps=4)([0, 2, 4, 5]).round(3)
    array([1. , 0.5, 0. , 0. ])
    """

    lr: float
    steps: int
    floor: float = 0.0

    def _rate(self, t: Ints) -> Floats:
        return _between("cos", self.lr, self.floor, _progress(t, self.steps))


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Repeat the half cosine, each time over a cycle `multiply` times as long, without end.

    Cycle i starts at cycle · (1 + multiply + … + multiply^(i−1)) with `lr`; the floor itself is
    never used. Cycles are counted in integers, so that rounding loses none. *Elsewhere*: equal in
    torch ``CosineAnnealingWarmRestarts``, but its ``step(epoch)`` finds the cycle by a logarithm
    and misses some restarts. So does timm ``CosineLRScheduler``, which stops after its first cycle
    unless told otherwise. Source: Loshchilov & Hutter 2017, SGDR.

    Parameters
    ----------
    lr : float, >= 0
    cycle : int, >= 1
        Updates of the first cycle.
    multiply : int, >= 1
    floor : float, >= 0 and <= lr

    Examples
    --------
    >>> CosineRestarts(1.0, cycle=2, multiply=2)(np.arange(7)).round(3)
    array([1.   , 0.5  , 1.   , 0.854, 0.5  , 0.146, 1.   ])
    """

    lr: float
    cycle: int
    multiply: int = 1
    floor: float = 0.0

    def _rate(self, t: Ints) -> Floats:
        if self.multiply == 1:
            return _between("cos", self.lr, self.floor, (t % self.cycle) / self.cycle)
        starts, widths, last = [0], [self.cycle], int(t.max(initial=0))
        while starts[-1] + widths[-1] <= last:
            starts.append(starts[-1] + widths[-1])
            widths.append(widths[-1] * self.multiply)
        i = np.searchsorted(np.array(starts, np.int64), t, side="right") - 1
        since = t - np.array(starts, np.int64)[i]
        return _between("cos", self.lr, self.floor, since / np.array(widths, np.float64)[i])


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """Rise linearly to `lr`, which is first used at t = warmup_steps, and stay there.

    With W = warmup_steps the rate is lr · (start + (1 − start) · min(t / W, 1)). By default
    start = 1 / (W + 1): equal increments, (t + 1) / (W + 1) · lr, and no wasted update.
    *Elsewhere*: equal in torch ``LinearLR(start_factor=start)``, except that 0 steps are no warmup
    here and leave torch at the start for ever. transformers starts at 0, so does timm unless told
    otherwise, and so do most uses of optax and Keras, which ask for the first rate: the first
    update then does nothing.

    Parameters
    ----------
    lr : float, >= 0
    warmup_steps : int, >= 0
    start : float, >= 0 and <= 1, or None
        The first update uses start · lr.

    Examples
    --------
    >>> LinearWarmup(1.0, warmup_steps=4)(np.arange(6))
    array([0.2, 0.4, 0.6, 0.8, 1. , 1. ])
    """

    lr: float
    warmup_steps: int
    start: float | None = None

    def _rate(self, t: Ints) -> Floats:
        return self.lr * _ramp(t, self.warmup_steps, self.start)


@dataclass(frozen=True)
class ConstantWarmup(Schedule):
    """Use factor · lr for the first `warmup_steps` updates, then lr.

    *Elsewhere*: equal in torch ``ConstantLR``, except for 0 steps, see `LinearWarmup`.
    Source: Goyal et al. 2017, section 2.2, who prefer the linear one.

    Parameters
    ----------
    lr : float, >= 0
    warmup_steps : int, >= 0
    factor : float, >= 0

    Examples
    --------
    >>> ConstantWarmup(1.0, warmup_steps=2, factor=0.5)(np.arange(4))
    array([0.5, 0.5, 1. , 1. ])
    """

    lr: float
    warmup_steps: int
    factor: float = 1 / 3

    def _rate(self, t: Ints) -> Floats:
        return np.where(t < self.warmup_steps, self.lr * self.factor, self.lr)


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """Rise linearly over `warmup_steps`, then fall like 1/√t, without end.

    With T = timescale and s = t − warmup_steps ≥ 0 the rate is lr · √(T / (T + s)). By default
    T = max(warmup_steps, 1), which gives lr · √(warmup_steps / t). *Elsewhere*: equal in
    transformers after the warmup, which starts at 0 there; without one its T is 10,000.
    Source: Vaswani et al. 2017, section 5.3.

    Parameters
    ----------
    lr : float, >= 0
    warmup_steps : int, >= 0
    timescale : int, >= 1, or None
        In updates.
    start : float, >= 0 and <= 1, or None
        As in `LinearWarmup`.

    Examples
    --------
    >>> InverseSqrt(1.0, warmup_steps=4)([0, 4, 16, 64])
    array([0.2 , 1.  , 0.5 , 0.25])
    """

    lr: float
    warmup_steps: int = 0
    timescale: int | None = None
    start: float | None = None

    def _rate(self, t: Ints) -> Floats:
        scale = self.timescale or max(self.warmup_steps, 1)
        since = np.maximum(t - self.warmup_steps, 0)
        ramp = _ramp(t, self.warmup_steps, self.start)
        return np.asarray(self.lr * ramp * np.sqrt(scale / (scale + since)))


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """Rise linearly to `lr`, hold it, then fall to `floor`: three phases counted in updates.

    The peak is first used at t = warmup_steps, the fall starts from it stable_steps later, and the
    floor is first used decay_steps after that. With x = the share of the fall that is over, the
    rate is floor + (lr − floor) · left(x). A phase of 0 steps is left out. *Elsewhere*:
    transformers has the same three moments and the same three falls, of which the cosine is its
    own choice, and starts at its floor; torch has none.
    Source: Hu et al. 2024, MiniCPM; Hägele et al. 2024 for "sqrt".

    Parameters
    ----------
    lr : float, >= 0
    warmup_steps, stable_steps, decay_steps : int, >= 0
        Updates of the phases.
    floor : float, >= 0 and <= lr
    start : float, >= 0 and <= 1, or None
        As in `LinearWarmup`.
    anneal : {"linear", "cos", "sqrt"}
        left(x) is 1 − x, (1 + cos πx) / 2 or 1 − √x.

    Examples
    --------
    >>> WarmupStableDecay(1.0, warmup_steps=1, stable_steps=2, decay_steps=2)(np.arange(7))
    array([0.5, 1. , 1. , 1. , 0.5, 0. , 0. ])
    """

    lr: float
    warmup_steps: int
    stable_steps: int
    decay_steps: int
    floor: float = 0.0
    start: float | None = None
    anneal: str = "linear"

    @classmethod
    def fractions(
        cls, lr: float, steps: int, warmup: float = 0.05, decay: float = 0.2, **options: Any
    ) -> WarmupStableDecay:
        """Split a run of `steps` updates: the counts always sum to it, the middle takes the rest.

        Parameters
        ----------
        lr : float, >= 0
        steps : int, >= 1
            Updates of the run.
        warmup, decay : float, >= 0
            Shares of the run, at most 1 together; each is rounded to whole updates.
        **options
            The other fields: floor, start, anneal.

        Examples
        --------
        >>> schedule = WarmupStableDecay.fractions(1.0, 10, warmup=0.1, decay=0.9)
        >>> schedule.warmup_steps, schedule.stable_steps, schedule.decay_steps
        (1, 0, 9)
        """
        steps, warmup = count("steps", steps, low=1), number("warmup", warmup, low=0, high=1)
        decay = number("decay", decay, low=0, high=1)
        if warmup + decay > 1 + 1e-9:
            raise ValueError(f"warmup + decay must be <= 1, was {warmup} + {decay}")
        first = round(warmup * steps)
        last = min(round(decay * steps), steps - first)
        return cls(lr, first, steps - first - last, last, **options)

    def _rate(self, t: Ints) -> Floats:
        since = t - self.warmup_steps - self.stable_steps
        done = _progress(np.maximum(since, 0), self.decay_steps)
        fall = _between(self.anneal, self.lr, self.floor, done)
        return np.where(since < 0, self.lr * _ramp(t, self.warmup_steps, self.start), fall)


@dataclass(frozen=True)
class Triangular(Schedule):
    """Rise linearly from `floor` to `lr` in `up_steps`, fall in `down_steps`, and again, for ever.

    At x updates into a cycle the height is x / up, and past the peak (up + down − x) / down; the
    rate is floor + (lr − floor) · height. With `momentum_range` = (low, high) the momentum is
    high − (high − low) · height. *Elsewhere*: equal in torch ``CyclicLR``, which cycles the
    momentum from 0.9 to 0.8 unless told not to.
    Source: Smith 2017, Cyclical Learning Rates, section 3.1.

    Parameters
    ----------
    lr : float, >= 0
    floor : float, >= 0 and <= lr
    up_steps : int, >= 1
    down_steps : int, >= 1, or None
        None is as many as `up_steps`.
    momentum_range : pair of floats, >= 0 and < 1, or None
        None leaves the momentum alone.

    Examples
    --------
    >>> Triangular(1.0, floor=0.5, up_steps=2)(np.arange(6))
    array([0.5 , 0.75, 1.  , 0.75, 0.5 , 0.75])
    """

    lr: float
    floor: float
    up_steps: int
    down_steps: int | None = None
    momentum_range: tuple[float, float] | None = None

    def _rate(self, t: Ints) -> Floats:
        return self.floor + (self.lr - self.floor) * self._height(t)

    def _momentum(self, t: Ints) -> Floats | None:
        if self.momentum_range is None:
            return None
        low, high = self.momentum_range
        return high - (high - low) * self._height(t)

    def _height(self, t: Ints) -> Floats:
        down = self.down_steps or self.up_steps
        cycle, x = np.divmod(t, self.up_steps + down)
        wave = np.where(x <= self.up_steps, x / self.up_steps, (self.up_steps + down - x) / down)
        return np.asarray(wave * self._envelope(t, cycle))

    def _envelope(self, t: Ints, cycle: Ints) -> float | Floats:
        return 1.0


@dataclass(frozen=True)
class Triangular2(Triangular):
    """`Triangular` whose height halves with every cycle c = 0, 1, …: height · 2^−c.

    *Elsewhere*: equal in torch ``CyclicLR(mode="triangular2")``.
    Source: Smith 2017, Cyclical Learning Rates, section 3.1.

    Parameters
    ----------
    lr, floor, up_steps, down_steps, momentum_range
        As in `Triangular`.

    Examples
    --------
    >>> Triangular2(1.0, floor=0.0, up_steps=1)(np.arange(6))
    array([0.  , 1.  , 0.  , 0.5 , 0.  , 0.25])
    """

    def _envelope(self, t: Ints, cycle: Ints) -> Floats:
        return np.asarray(np.power(0.5, cycle))


@dataclass(frozen=True)
class ExpRange(Triangular):
    """`Triangular` whose height shrinks with every update: height · γ^t.

    *Elsewhere*: equal in torch ``CyclicLR(mode="exp_range")``.
    Source: Smith 2017, Cyclical Learning Rates, section 3.1.

    Parameters
    ----------
    lr, floor, up_steps, down_steps, momentum_range
        As in `Triangular`.
    gamma : float, >= 0 and <= 1

    Examples
    --------
    >>> ExpRange(1.0, floor=0.0, up_steps=1, gamma=0.5)(np.arange(4))
    array([0.   , 0.5  , 0.   , 0.125])
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("gamma", self.gamma, low=0, high=1)

    def _envelope(self, t: Ints, cycle: Ints) -> Floats:
        return np.asarray(np.power(self.gamma, t))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One rise to a large rate and one long fall far below the start, over a run of `steps`.

    From lr / div_factor up to `lr` at t = pct_start · steps − 1, then down to lr / div_factor /
    final_div_factor at t = steps − 1, the last update, and flat from there on. The momentum moves
    from high to low and back. A peak that would come before the first update comes at it: where
    pct_start · steps ≤ 1 the run starts with `lr`, and so does a run of one update.

    *Elsewhere*: equal in torch ``OneCycleLR`` for t < steps and pct_start · steps > 1. At 1 it
    divides by zero, below 1 it never reaches the peak, and a run of one update uses the end value;
    one update too many climbs again; three phases with pct_start > 0.5 stop before the end. optax
    ``cosine_onecycle_schedule`` has the same values at other knots: the peak at
    t = ⌊pct_start · steps⌋ and the end at t = steps, which a run of `steps` never uses; its linear
    one has three phases, the second down to the start at ⌊0.85 · steps⌋. In fastai the peak comes
    at 25 %, and the end, lr / 1e5, is never used.
    Source: Smith & Topin 2018, Super-Convergence; fastai for two cosine phases and the defaults.

    Parameters
    ----------
    lr : float, >= 0
    steps : int, >= 1
        Updates of the run.
    pct_start : float, >= 0 and <= 1
        Share of the run that is the rise; at most 0.5 with `three_phase`.
    div_factor, final_div_factor : float, > 0
    momentum_range : pair of floats, >= 0 and < 1, or None
        (low, high); None leaves the momentum alone.
    anneal : {"cos", "linear", "sqrt"}
        Shape of each phase, as in `WarmupStableDecay`.
    three_phase : bool
        The fall mirrors the rise, and a third phase goes on to the end.

    Examples
    --------
    >>> schedule = OneCycle(1.0, steps=10)
    >>> schedule([0, 2, 9]), schedule.momentum([0, 2, 9])
    (array([4.e-02, 1.e+00, 4.e-06]), array([0.95, 0.85, 0.95]))
    """

    lr: float
    steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    momentum_range: tuple[float, float] | None = (0.85, 0.95)
    anneal: str = "cos"
    three_phase: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.three_phase:
            number("pct_start with three_phase", self.pct_start, low=0, high=0.5)

    def _rate(self, t: Ints) -> Floats:
        start = self.lr / self.div_factor
        return self._through(t, start, self.lr, start / self.final_div_factor)

    def _momentum(self, t: Ints) -> Floats | None:
        if self.momentum_range is None:
            return None
        low, high = self.momentum_range
        return self._through(t, high, low, high)

    def _through(self, t: Ints, start: float, peak: float, end: float) -> Floats:
        """Pass through start, peak, (start,) end at the knots of the phases."""
        top = self.pct_start * self.steps - 1
        top = top if top > 1e-12 else 0.0
        mirror = self.three_phase
        knots = np.array([0, top, *[2 * top] * mirror, self.steps - 1])
        values = np.array([start, peak, *[start] * mirror, end])
        t = np.minimum(t, self.steps - 1)
        i = np.searchsorted(knots[1:], t)  # the first phase that ends at t or later
        width = knots[i + 1] - knots[i]
        # A phase without width is over at once.
        done = np.where(width > 0, (t - knots[i]) / np.where(width > 0, width, 1), 1)
        return _between(self.anneal, values[i], values[i + 1], done)


@dataclass(frozen=True)
class Joined(Schedule):
    """Schedules one after the other; each sees the time since its own boundary.

    Piece i is used for boundaries[i−1] ≤ t < boundaries[i]; two equal boundaries leave one out.
    *Elsewhere*: equal in torch ``SequentialLR`` and optax ``join_schedules``.

    Parameters
    ----------
    schedules : sequence of Schedule
        At least one; all plan the momentum or none.
    boundaries : sequence of int, >= 0
        In order and in updates, one fewer than schedules.

    Examples
    --------
    >>> join([LinearWarmup(1.0, 2, start=0.0), Exponential(1.0, 0.5)], [2])(np.arange(5))
    array([0.  , 0.5 , 1.  , 0.5 , 0.25])
    """

    schedules: Sequence[Schedule]
    boundaries: Sequence[int]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schedules:
            raise ValueError("schedules must hold at least one Schedule, was ()")
        changes = len(self.schedules) - 1
        if len(self.boundaries) != changes or list(self.boundaries) != sorted(self.boundaries):
            raise ValueError(
                f"boundaries must be {changes} integers in order, one fewer than schedules, "
                f"was {self.boundaries!r}"
            )
        silent = [piece for piece in self.schedules if piece.momentum(0) is None]
        if 0 < len(silent) < len(self.schedules):
            raise ValueError(
                f"schedules must all plan the momentum or none, but {silent[0]!r} does not"
            )

    def _rate(self, t: Ints) -> Floats:
        return self._piecewise(t, [piece._rate for piece in self.schedules])

    def _momentum(self, t: Ints) -> Floats | None:
        if self.schedules[0].momentum(0) is None:
            return None
        return self._piecewise(t, [piece._momentum for piece in self.schedules])

    def _piecewise(self, t: Ints, formulas: Sequence[Callable[[Ints], Any]]) -> Floats:
        values = np.empty(t.shape)
        piece = np.searchsorted(np.array(self.boundaries, np.int64), t, side="right")
        for i, (formula, start) in enumerate(zip(formulas, [0, *self.boundaries], strict=True)):
            if (here := piece == i).any():
                values[here] = formula(t[here] - start)
        return values


@dataclass(frozen=True)
class Scaled(Schedule):
    """A schedule with its rate multiplied by `factor`; the momentum stays as it is.

    Parameters
    ----------
    schedule : Schedule
    factor : float, >= 0

    Examples
    --------
    >>> (0.1 * Polynomial(1.0, steps=2))(np.arange(3))
    array([0.1 , 0.05, 0.  ])
    """

    schedule: Schedule
    factor: float

    def _rate(self, t: Ints) -> Floats:
        return self.factor * self.schedule._rate(t)

    def _momentum(self, t: Ints) -> Floats | None:
        return self.schedule._momentum(t)


def join(schedules: Iterable[Schedule], boundaries: Iterable[int]) -> Joined:
    """Return the schedules one after the other, changing at `boundaries`.

    Parameters
    ----------
    schedules : iterable of Schedule
    boundaries : iterable of int
        First update of each schedule but the first.

    Returns
    -------
    Joined
        Which says what they must be.

    Examples
    --------
    >>> join([Constant(1.0), Constant(0.5)], [2])(np.arange(4))
    array([1. , 1. , 0.5, 0.5])
    """
    return Joined(schedules, boundaries)  # type: ignore[arg-type]  # checked there


def warmup(schedule: Schedule, warmup_steps: int, start: float | None = None) -> Schedule:
    """Return `schedule` delayed by a linear warmup to its first rate.

    A run of N updates therefore takes a schedule of N − warmup_steps.

    Parameters
    ----------
    schedule : Schedule
        One that leaves the momentum alone.
    warmup_steps : int, >= 0
        With 0 the schedule itself comes back.
    start : float, >= 0 and <= 1, or None
        As in `LinearWarmup`.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError, ValueError
        If `schedule` is none or plans the momentum, or if a number is out of its range.

    Examples
    --------
    >>> warmup(Polynomial(1.0, steps=2), warmup_steps=1)(np.arange(5))
    array([0.5, 1. , 0.5, 0. , 0. ])
    """
    _schedule("schedule", schedule)
    if count("warmup_steps", warmup_steps) == 0:
        return schedule
    return join([LinearWarmup(schedule(0), warmup_steps, start), schedule], [warmup_steps])
