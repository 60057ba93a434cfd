"""From a schedule to a PyTorch optimizer, and back from an optimizer to the rates it used.

`drive` makes update ``t`` of an optimizer use ``schedule(t)``; there is no ``scheduler.step()`` to
forget, to call twice or to call too early. `record` changes nothing and writes down the rate of
every update, whoever set it. Both listen to ``optimizer.step()`` through PyTorch's own hooks, so an
update that does not happen, as when a gradient scaler skips it, is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import torch
from torch.optim import Optimizer

from lrcourse._checks import instance
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.schedules import Schedule

__all__ = ["Driver", "Recorder", "ReduceOnPlateau", "drive", "record"]

Floats = npt.NDArray[np.float64]
Row = list[float]
_driven: WeakSet[Optimizer] = WeakSet()
_TABLES = ("used", "used_momentum", "planned", "planned_momentum")


def _momentum_of(group: dict[str, Any]) -> float:
    """Return momentum or beta1 of a parameter group, NaN where it has neither."""
    betas = group.get("betas", (group.get("momentum", np.nan),))
    return float(betas[0])


def _put(group: dict[str, Any], lr: float, momentum: float | None) -> None:
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(lr)  # capturable optimizers keep the tensor they were given
    else:
        group["lr"] = lr
    if momentum is not None and "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif momentum is not None:
        group["momentum"] = momentum


def _table(rows: list[Row]) -> Floats:
    """Stack rows; groups that an optimizer got later are NaN before."""
    width = max(map(len, rows), default=0)
    return np.array([row + [np.nan] * (width - len(row)) for row in rows]).reshape(-1, width)


class Recorder:
    """The rate and the momentum that each update of an optimizer really used."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = instance("optimizer", optimizer, Optimizer, "a torch Optimizer")
        self._used: list[Row] = []
        self._used_momentum: list[Row] = []
        self._hooks = [optimizer.register_step_post_hook(self._after)]

    @property
    def t(self) -> int:
        """Updates seen so far; the next one is update t."""
        return len(self._used)

    @property
    def used(self) -> Floats:
        """Rate that each update and parameter group used: an array (t, groups)."""
        return _table(self._used)

    @property
    def used_momentum(self) -> Floats:
        """Momentum or beta1 that they used, NaN where there is none: an array (t, groups)."""
        return _table(self._used_momentum)

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._used.append([float(group["lr"]) for group in optimizer.param_groups])
        self._used_momentum.append([_momentum_of(group) for group in optimizer.param_groups])

    def close(self) -> None:
        """Stop listening; what was recorded stays, and the optimizer keeps its last rate."""
        while self._hooks:
            self._hooks.pop().remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Driver(Recorder):
    """Makes update t of an optimizer use schedule(t), and records what was planned and used.

    Make one with `drive`.
    """

    def __init__(self, optimizer: Optimizer, schedules: Any) -> None:
        instance("optimizer", optimizer, Optimizer, "a torch Optimizer")
        groups = optimizer.param_groups
        single = isinstance(schedules, Schedule | ReduceOnPlateau)
        if not single and not isinstance(schedules, Iterable):
            raise TypeError(f"schedule must be a Schedule or one for each group, was {schedules!r}")
        rules = [schedules] * len(groups) if single else list(schedules)
        if len(rules) != len(groups):
            raise ValueError(f"schedule must be one for each of {len(groups)} groups, was {rules}")
        for i, (rule, group) in enumerate(zip(rules, groups, strict=True)):
            if not isinstance(rule, Schedule | ReduceOnPlateau):
                raise TypeError(f"schedule[{i}] must be a Schedule, was {rule!r}")
            if rule.momentum(0) is not None and np.isnan(_momentum_of(group)):
                raise ValueError(
                    f"schedule[{i}] plans the momentum, but {type(optimizer).__name__} has none: "
                    f"make it with momentum_range=None, was {rule!r}"
                )
        if optimizer in _driven:
            raise ValueError("optimizer must have one driver, it has one already: close() that one")
        super().__init__(optimizer)
        _driven.add(optimizer)
        self.schedules: list[Schedule | ReduceOnPlateau] = rules
        self._planned: list[Row] = []
        self._planned_momentum: list[Row] = []
        self._hooks.append(optimizer.register_step_pre_hook(self._before))

    @property
    def planned(self) -> Floats:
        """Rate that the schedules asked for: an array (t, groups)."""
        return _table(self._planned)

    @property
    def planned_momentum(self) -> Floats:
        """Momentum that they asked for, NaN where they leave it alone: an array (t, groups)."""
        return _table(self._planned_momentum)

    def _plan(self) -> tuple[Row, Row]:
        moments = [rule.momentum(self.t) for rule in self.schedules]
        rates = [rule(self.t) for rule in self.schedules]
        return rates, [np.nan if m is None else m for m in moments]

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if len(optimizer.param_groups) != len(self.schedules):
            raise RuntimeError(
                f"this driver was made for {len(self.schedules)} parameter groups, the optimizer "
                f"now has {len(optimizer.param_groups)}: close() it and drive() again"
            )
        self._next = self._plan()
        for group, lr, momentum in zip(optimizer.param_groups, *self._next, strict=True):
            _put(group, lr, None if np.isnan(momentum) else momentum)

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        super()._after(optimizer, args, kwargs)
        self._planned.append(self._next[0])
        self._planned_momentum.append(self._next[1])

    def close(self) -> None:
        """Stop driving; what was recorded stays, and the optimizer keeps its last rate."""
        super().close()
        _driven.discard(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Return schedules and records as plain lists, numbers and strings."""
        return {
            "schedules": [_saved(rule) for rule in self.schedules],
            **{name: [row.copy() for row in getattr(self, f"_{name}")] for name in _TABLES},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that a driver with equal schedules returned.

        The next update is the one after the last recorded. A plateau rule gets its state back too;
        weights and optimizer have state dicts of their own.
        """
        names = ("schedules", *_TABLES)
        if not isinstance(state, dict) or set(state) != set(names):
            raise ValueError(f"state must be a dict with {', '.join(names)}, was {state!r}")
        if len(state["schedules"]) != len(self.schedules):
            raise ValueError(
                f"state must be of {len(self.schedules)} schedules, was of {state['schedules']!r}"
            )
        if len({len(state[name]) for name in _TABLES}) != 1:
            raise ValueError("state must hold tables of one length, was cut")
        for rule, saved in zip(self.schedules, state["schedules"], strict=True):
            if isinstance(rule, ReduceOnPlateau):
                rule.check_state(saved)
            elif saved != repr(rule):
                raise ValueError(f"state must be of {rule!r}, was of {saved}")
        for rule, saved in zip(self.schedules, state["schedules"], strict=True):
            if isinstance(rule, ReduceOnPlateau):
                rule.load_state_dict(saved)
        for name in _TABLES:
            setattr(self, f"_{name}", [list(row) for row in state[name]])


def _saved(rule: Schedule | ReduceOnPlateau) -> Any:
    return rule.state_dict() if isinstance(rule, ReduceOnPlateau) else repr(rule)


def drive(
    optimizer: Optimizer,
    schedule: Schedule | ReduceOnPlateau | Iterable[Schedule | ReduceOnPlateau],
) -> Driver:
    """Make update t of `optimizer` use ``schedule(t)``, and its momentum where there is one.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its own rate is overwritten at each update. A momentum goes to ``momentum`` or beta1.
    schedule : Schedule, ReduceOnPlateau, or one for each parameter group
        A single one serves all groups. After its run a finite schedule stays at its last value.

    Returns
    -------
    Driver
        With ``planned`` and ``used``; also a context manager that closes itself.

    >>> from lrcourse.schedules import Step
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([weight], lr=1.0)
    >>> with drive(optimizer, Step(0.1, step_size=2)) as driver:
    ...     for _ in range(3):
    ...         optimizer.step()
    >>> driver.used[:, 0]
    array([0.1 , 0.1 , 0.01])
    >>> bool((driver.used == driver.planned).all())
    True
    """
    return Driver(optimizer, schedule)


def record(optimizer: Optimizer) -> Recorder:
    """Write down the rate and the momentum of every update of `optimizer`, whoever set them.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([weight], lr=1.0)
    >>> decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> with record(optimizer) as recorder:
    ...     for _ in range(3):
    ...         optimizer.step()
    ...         decay.step()
    >>> recorder.used[:, 0]
    array([1.  , 0.5 , 0.25])
    """
    return Recorder(optimizer)
