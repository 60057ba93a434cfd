"""The plateau rule: lower the rate when a measured quantity has stopped improving.

It is not a schedule. Its rate depends on what training does, so it has a state and no formula.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lrcourse._checks import choice, count, number
from lrcourse._limits import limited

__all__ = ["ReduceOnPlateau"]


@dataclass
class ReduceOnPlateau:
    """Multiply the rate by `factor` after more than `patience` metrics without improvement.

    For losses a metric improves on the best so far when it is ``< best − threshold · |best|``, or
    ``< best − threshold`` in absolute terms.  The rate goes to max(rate · factor, floor).  Calling
    the rule gives the rate in force, whatever the update, so `lrcourse.drivers.drive` accepts it
    like a schedule.

    A metric that is NaN or infinite is no improvement and never becomes the best.

    *Elsewhere*: torch ``ReduceLROnPlateau`` is equal, except that it takes −inf for a best that
    nothing can beat (mode "min"), and that its relative threshold has the wrong sign for a
    negative best: a slightly worse metric then counts as better.

    Parameters
    ----------
    lr : float, >= 0
        The first rate.
    mode : {"min", "max"}
        Whether a smaller metric or a larger one is better.
    factor : float, >= 0 and < 1
    patience : int, >= 0
        Metrics without improvement that are borne before a cut.
    threshold : float, >= 0
    threshold_mode : {"rel", "abs"}
    cooldown : int, >= 0
        Metrics after a cut that are not counted as bad.
    floor : float, >= 0 and <= lr
        The rate never goes below it.
    eps : float, >= 0
        A cut no larger than this is not made.

    Attributes
    ----------
    rate : float
        In force now.
    best : float or None
        Of the metrics so far.
    bad, resting : int
        Metrics without improvement, and of the cooldown still to come.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind or out of its range.

    Examples
    --------
    >>> rule = ReduceOnPlateau(lr=0.1, patience=1)
    >>> [rule.step(loss) for loss in [1.0, 0.9, 0.9, 0.9, 0.8]]
    [0.1, 0.1, 0.1, 0.010000000000000002, 0.010000000000000002]
    """

    lr: float
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    floor: float = 0.0
    eps: float = 1e-8
    best: float | None = field(default=None, init=False, repr=False)
    bad: int = field(default=0, init=False, repr=False)
    resting: int = field(default=0, init=False, repr=False)
    rate: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        self.rate = self.lr = limited("lr", self.lr)
        self.mode = choice("mode", self.mode, ["min", "max"])
        self.factor = number("factor", self.factor, low=0, high=1, open_high=True)
        self.patience = count("patience", self.patience)
        self.threshold = number("threshold", self.threshold, low=0)
        self.threshold_mode = choice("threshold_mode", self.threshold_mode, ["rel", "abs"])
        self.cooldown = count("cooldown", self.cooldown)
        self.floor = number("floor", self.floor, low=0, high=self.lr)
        self.eps = number("eps", self.eps, low=0)

    def __call__(self, t: int = 0) -> float:
        """Return the rate in force."""
        return self.rate

    def momentum(self, t: int = 0) -> None:
        """Return None: the rule leaves the momentum alone."""

    def step(self, metric: float) -> float:
        """Take in one metric and return the rate to use from now on."""
        metric = float(metric)
        if self._improves(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad > self.patience:
            lower = max(self.rate * self.factor, self.floor)
            self.rate = lower if self.rate - lower > self.eps else self.rate
            self.resting, self.bad = self.cooldown, 0
        return self.rate

    def _improves(self, metric: float) -> bool:
        if not math.isfinite(metric):
            return False
        if self.best is None:
            return True
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "abs":
            bar = self.best + sign * self.threshold
        else:
            bar = self.best * (1 + sign * math.copysign(self.threshold, self.best))
        return sign * metric > sign * bar

    def state_dict(self) -> dict[str, Any]:
        """Return settings and state as plain numbers and strings."""
        return asdict(self)

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise ValueError unless `state` was saved by a rule with these settings."""
        own = asdict(self)
        if not isinstance(state, dict) or state.keys() != own.keys():
            raise ValueError(f"state must be a dict with {', '.join(own)}, was {state!r}")
        for name in (f.name for f in fields(self) if f.init):
            if state[name] != own[name]:
                raise ValueError(f"state must have {name}={own[name]!r}, was {state[name]!r}")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that an equal rule returned."""
        self.check_state(state)
        vars(self).update(state)
