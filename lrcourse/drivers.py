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
Rule = Schedule | ReduceOnPlateau
_driven: WeakSet[Optimizer] = WeakSet()


def _momentum_of(group: dict[str, Any]) -> float:
    """Return momentum or beta1 of a parameter group, NaN where it has neither."""
    return float(group.get("betas", (group.get("momentum", np.nan),))[0])


def _put(group: dict[str, Any], lr: float, momentum: float) -> None:
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(lr)  # capturable optimizers keep the tensor they were given
    else:
        group["lr"] = lr
    if "betas" in group and not np.isnan(momentum):
        group["betas"] = (momentum, *group["betas"][1:])
    elif not np.isnan(momentum):
        group["momentum"] = momentum


class Recorder:
    """The rate and the momentum that each update of an optimizer really used; see `record`."""

    _names: tuple[str, ...] = ("used", "used_momentum")

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = instance("optimizer", optimizer, Optimizer, "a torch Optimizer")
        self._rows: dict[str, list[list[float]]] = {name: [] for name in self._names}
        self._hooks = [optimizer.register_step_post_hook(self._after)]

    @property
    def t(self) -> int:
        """Updates seen so far; the next one is update t."""
        return len(self._rows["used"])

    @property
    def used(self) -> Floats:
        """Rate that each update and parameter group used, an array (t, groups)."""
        return self._table("used")

    @property
    def used_momentum(self) -> Floats:
        """Momentum or beta1 that each used, NaN where there is none, an array (t, groups)."""
        return self._table("used_momentum")

    def close(self) -> None:
        """Stop listening; what was recorded stays, and the optimizer keeps its last rate."""
        while self._hooks:
            self._hooks.pop().remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _table(self, name: str) -> Floats:
        rows, groups = self._rows[name], len(self.optimizer.param_groups)
        wide = [row + [np.nan] * (groups - len(row)) for row in rows]  # a group came later
        return np.array(wide, np.float64).reshape(len(rows), groups)

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        groups = optimizer.param_groups
        self._rows["used"].append([float(group["lr"]) for group in groups])
        self._rows["used_momentum"].append([_momentum_of(group) for group in groups])


class Driver(Recorder):
    """Makes update t of an optimizer use schedule(t), and records both; see `drive`."""

    _names = ("used", "used_momentum", "planned", "planned_momentum")

    def __init__(self, optimizer: Optimizer, schedule: Rule | Iterable[Rule]) -> None:
        groups = instance("optimizer", optimizer, Optimizer, "a torch Optimizer").param_groups
        if not isinstance(schedule, Rule | Iterable):
            raise TypeError(f"schedule must be a Schedule or one for each group, was {schedule!r}")
        rules = [schedule] * len(groups) if isinstance(schedule, Rule) else list(schedule)
        if len(rules) != len(groups):
            raise ValueError(f"schedule must be one for each of {len(groups)} groups, was {rules}")
        for i, (rule, group) in enumerate(zip(rules, groups, strict=True)):
            if not isinstance(rule, Rule):
                raise TypeError(f"schedule[{i}] must be a Schedule, was {rule!r}")
            if rule.momentum(0) is not None and np.isnan(_momentum_of(group)):
                raise ValueError(
                    f"schedule[{i}] plans the momentum, but {type(optimizer).__name__} has none: "
                    f"make it with momentum_range=None, was {rule!r}"
                )
        if optimizer in _driven:
            raise ValueError("optimizer must have one driver, it has one already: close() that one")
        super().__init__(optimizer)
        self.schedules = rules
        self._plan: tuple[list[float], list[float]] = [], []
        self._hooks.append(optimizer.register_step_pre_hook(self._before))
        _driven.add(optimizer)

    @property
    def planned(self) -> Floats:
        """Rate that the schedules asked for, an array (t, groups)."""
        return self._table("planned")

    @property
    def planned_momentum(self) -> Floats:
        """Momentum that they asked for, NaN where they leave it alone, an array (t, groups)."""
        return self._table("planned_momentum")

    def close(self) -> None:
        """Stop driving; what was recorded stays, and the optimizer keeps its last rate."""
        if self._hooks:  # once closed, the optimizer may have another driver
            _driven.discard(self.optimizer)
        super().close()

    def state_dict(self) -> dict[str, Any]:
        """Return schedules and records as plain lists, numbers and strings."""
        rows = {name: [row.copy() for row in rows] for name, rows in self._rows.items()}
        return {"schedules": [_saved(rule) for rule in self.schedules], **rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the last update of a state that a driver with equal schedules returned.

        A plateau rule gets its state back too; weights and optimizer have state dicts of their own.
        """
        names = ("schedules", *self._names)
        if not isinstance(state, dict) or set(state) != set(names):
            raise ValueError(f"state must be a dict with {', '.join(names)}, was {state!r}")
        if len(state["schedules"]) != len(self.schedules):
            raise ValueError(
                f"state must be of {len(self.schedules)} schedules, was of {state['schedules']!r}"
            )
        if len({len(state[name]) for name in self._names}) != 1:
            raise ValueError("state must hold tables of one length, was cut")
        pairs = list(zip(self.schedules, state["schedules"], strict=True))
        for rule, saved in pairs:
            if isinstance(rule, ReduceOnPlateau):
                rule.check_state(saved)
            elif saved != repr(rule):
                raise ValueError(f"state must be of {rule!r}, was of {saved}")
        for rule, saved in pairs:
            if isinstance(rule, ReduceOnPlateau):
                rule.load_state_dict(saved)
        self._rows = {name: [list(row) for row in state[name]] for name in self._names}

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if len(optimizer.param_groups) != len(self.schedules):
            raise RuntimeError(
                f"this driver was made for {len(self.schedules)} parameter groups, the optimizer "
                f"now has {len(optimizer.param_groups)}: close() it and drive() again"
            )
        momenta = [rule.momentum(self.t) for rule in self.schedules]
        self._plan = (
            [rule(self.t) for rule in self.schedules],
            [np.nan if momentum is None else momentum for momentum in momenta],
        )
        for group, lr, momentum in zip(optimizer.param_groups, *self._plan, strict=True):
            _put(group, lr, momentum)

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        super()._after(optimizer, args, kwargs)
        self._rows["planned"].append(self._plan[0])
        self._rows["planned_momentum"].append(self._plan[1])


def _saved(rule: Rule) -> Any:
    return rule.state_dict() if isinstance(rule, ReduceOnPlateau) else repr(rule)


def drive(optimizer: Optimizer, schedule: Rule | Iterable[Rule]) -> Driver:
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
