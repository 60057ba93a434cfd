"""From a schedule to a PyTorch optimizer, and back from an optimizer to the rates it used.

`drive` makes update ``t`` of an optimizer use ``schedule(t)``; there is no ``scheduler.step()`` to
forget, to call twice or to call too early. `record` changes nothing and writes down the rate of
every update, whoever set it. Both listen to ``optimizer.step()`` through PyTorch's own hooks, so an
update that does not happen, as when a gradient scaler skips it, is not counted.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable
from types import FrameType
from typing import Any, Self
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import torch
from torch.optim import Optimizer

from lrcourse._checks import count, instance
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.schedules import Schedule, call_first

__all__ = ["Driver", "Recorder", "ReduceOnPlateau", "drive", "record"]

Floats = npt.NDArray[np.float64]
Planner = Schedule | ReduceOnPlateau
AHEAD = 1024  # updates that a schedule is asked for at once: one call of NumPy is slow
NONE = np.empty(0)
_driven: WeakSet[Optimizer] = WeakSet()


_ABSENT: dict[str, Any] = {"lr": math.nan}  # a group that was taken away


def _momentum_of(group: dict[str, Any]) -> Any:
    """Return momentum or beta1 of a parameter group as it stands there, None for neither."""
    betas = group.get("betas")
    return group.get("momentum") if betas is None else betas[0]


def _kind(group: dict[str, Any]) -> torch.dtype | None:
    """Return the type of the numbers that a tensor rate can hold, None for a Python number."""
    return group["lr"].dtype if isinstance(group["lr"], torch.Tensor) else None


def _equal(a: Floats, b: Floats | float) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (a == b) | (np.isnan(a) & np.isnan(b))
    return same


class _Track:
    """What one parameter group used: its rates, and its momenta once they changed.

    >>> track = _Track()
    >>> for momentum in (0.9, 0.9, 0.8):
    ...     track.note({"lr": 0.1, "momentum": momentum})
    >>> track.momenta()
    array([0.9, 0.9, 0.8])
    """

    __slots__ = ("_momenta", "_now", "_same", "_values")

    def __init__(self, rates: Floats = NONE, momenta: Floats = NONE) -> None:
        same = not len(momenta) or _equal(momenta, momenta[0]).all()
        self._values = array("d", rates.tobytes())
        self._momenta = array("d", b"" if same else momenta.tobytes())
        self._now: Any = NONE  # the momentum as last seen, and its value
        self._same = float(momenta[0]) if len(momenta) else math.nan

    def note(self, group: dict[str, Any]) -> None:
        """Add an update."""
        betas = group.get("betas")
        momentum = group.get("momentum") if betas is None else betas[0]
        if momentum is not self._now or self._momenta:
            self._note_momentum(momentum)
        self._values.append(group["lr"])

    def rates(self) -> Floats:
        return np.array(self._values)

    def momenta(self) -> Floats:
        return np.array(self._momenta) if self._momenta else np.full(len(self), self._same)

    def __len__(self) -> int:
        return len(self._values)

    def _note_momentum(self, momentum: Any) -> None:
        value = math.nan if momentum is None else float(momentum)
        if self._momenta:
            self._momenta.append(value)
        elif value == self._same or (math.isnan(value) and math.isnan(self._same)) or not self:
            self._now = NONE if isinstance(momentum, torch.Tensor) else momentum
            self._same = value
        else:
            self._momenta = array("d", [self._same]) * len(self)
            self._momenta.append(value)


class Recorder:
    """The rate and the momentum that each update of an optimizer really used; see `record`.

    An update is one call of ``optimizer.step()`` from outside: a subclass whose ``step`` calls
    ``super().step()`` makes one update, not two. One that raises is not counted, nor is one that
    a fused optimizer skips because a gradient scaler found infinities (``optimizer.found_inf``,
    which is then read once an update). A rate takes 8 bytes for each update and group; so does a
    momentum, once it has changed.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Listened to until `close`.

    Raises
    ------
    TypeError
        If it is no torch optimizer.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> with Recorder(torch.optim.SGD([weight], lr=0.5, momentum=0.9)) as recorder:
    ...     recorder.optimizer.step()
    >>> recorder.t, recorder.used, recorder.used_momentum
    (1, array([[0.5]]), array([[0.9]]))
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = instance("optimizer", optimizer, Optimizer, "a torch Optimizer")
        self._t, self._tracks = 0, [_Track() for _ in self.optimizer.param_groups]
        self._outer: int | None = None  # id of the frame of the step in progress
        self._hooks = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]

    @property
    def t(self) -> int:
        """Updates seen so far; the next one is update t."""
        return self._t

    @property
    def used(self) -> Floats:
        """Rate that each update and parameter group used, an array (t, groups)."""
        return np.stack([track.rates() for track in self._every_track()], axis=1)

    @property
    def used_momentum(self) -> Floats:
        """Momentum or beta1 that each used, NaN where there is none, an array (t, groups)."""
        return np.stack([track.momenta() for track in self._every_track()], axis=1)

    def close(self) -> None:
        """Stop listening; what was recorded stays, and the optimizer keeps its last rate."""
        while self._hooks:
            self._hooks.pop().remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # PyTorch wraps the step of every class, so super().step() calls the hooks once more. Only the
    # outermost wrapper counts, known by the id of its frame: a reference would keep the caller's
    # variables alive when the step raises. The id then outlives the frame, hence `_encloses`.

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        wrapper = sys._getframe(1)
        if self._outer is not None and self._encloses(wrapper):
            return
        self._outer = id(wrapper)
        self._prepare()

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if id(sys._getframe(1)) != self._outer:
            return
        self._outer = None
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is None or not found_inf:
            self._count()

    def _encloses(self, wrapper: FrameType) -> bool:
        """Whether the step in progress is this optimizer's and further up the stack."""
        frame = wrapper.f_back
        while frame is not None and id(frame) != self._outer:
            frame = frame.f_back
        if frame is None or frame.f_code is not wrapper.f_code:
            return False
        return any(value is self.optimizer for value in frame.f_locals.values())

    def _prepare(self) -> None:
        pass

    def _count(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self._tracks):
            groups = groups + [_ABSENT] * (len(self._every_track()) - len(groups))
        for i, track in enumerate(self._tracks):  # here and below zip is twice as slow
            track.note(groups[i])
        self._t += 1

    def _every_track(self) -> list[_Track]:
        """Return the tracks, one for each group, with NaN where a group came later."""
        tracks, groups = self._tracks, self.optimizer.param_groups
        if len(tracks) < len(groups):
            gaps = np.full(self._t, np.nan)
            tracks += [_Track(gaps, gaps) for _ in groups[len(tracks) :]]
        return tracks


class _Lane:
    """What one planner asks of one parameter group; a schedule, being pure, is asked ahead."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.kind: torch.dtype | None = None  # of the numbers that the group's rate can hold
        # The planned rates, where the formula alone does not give them back.
        self.made = array("d") if isinstance(planner, ReduceOnPlateau) else None
        self.lr = math.nan
        self._rates: array[float] | None = None  # of the block that is ready
        self._momenta: array[float] | None = None

    def look_ahead(self, t: int, size: int) -> None:
        """Work out the rates and momenta of the updates from `t` on."""
        if isinstance(self.planner, Schedule):
            block = np.arange(t, t + size)
            rates, momenta = self.planner(block), self.planner.momentum(block)
            self._rates = _packed(rates)
            self._momenta = None if momenta is None else _packed(momenta)

    def put(self, t: int, i: int, group: dict[str, Any]) -> None:
        """Give the group rate and momentum of update `t`, the `i`-th of the block."""
        self.lr = lr = self.planner(t) if self._rates is None else self._rates[i]
        if self.kind is None and type(group["lr"]) is float:
            group["lr"] = lr
        else:
            self._put_in_kind(t, group)
        if self._momenta is None:
            return
        if "betas" in group:
            group["betas"] = (self._momenta[i], *group["betas"][1:])
        else:
            group["momentum"] = self._momenta[i]

    def formula(self, t: int) -> Floats:
        """Rates of the first `t` updates that the planner gives back by itself, else NaN."""
        if isinstance(self.planner, ReduceOnPlateau):
            return np.full(t, np.nan)
        rates = self.planner(np.arange(t))
        return rates if self.kind is None else torch.tensor(rates).to(self.kind).double().numpy()

    def planned(self, t: int) -> Floats:
        return self.formula(t) if self.made is None else np.array(self.made)

    def planned_momentum(self, t: int) -> Floats:
        momenta = None
        if isinstance(self.planner, Schedule):
            momenta = self.planner.momentum(np.arange(t))
        return np.full(t, np.nan) if momenta is None else momenta

    def _put_in_kind(self, t: int, group: dict[str, Any]) -> None:
        kind = _kind(group)
        if kind is not self.kind and t and self.made is None:
            self.made = _packed(self.formula(t))
        self.kind = kind
        if kind is None:
            group["lr"] = self.lr
        else:  # capturable optimizers keep the tensor they were given
            self.lr = group["lr"].fill_(self.lr).item()


def _packed(values: Floats) -> array[float]:
    return array("d", values.astype(np.float64).tobytes())


class Driver(Recorder):
    """Makes update t of an optimizer use schedule(t), and records both; see `drive`.

    A schedule is a pure function: it is asked for many updates ahead, and again when ``planned`` is
    read. A rate given to the optimizer as a tensor is planned in the precision of that tensor,
    which is what the optimizer can use: a float32 holds 0.1 as 0.10000000149.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    schedule : Schedule, ReduceOnPlateau, or an iterable of them
        One for all parameter groups, or one for each.

    Raises
    ------
    TypeError
        If the optimizer is no torch optimizer or holds its rate in a tensor of integers, or if the
        schedule is none.
    ValueError
        If the number of schedules is not that of the groups, if one plans a momentum that the
        optimizer does not have, or if the optimizer has a driver already.

    Examples
    --------
    >>> from lrcourse.schedules import OneCycle
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> with Driver(torch.optim.Adam([weight]), OneCycle(0.1, steps=10)) as driver:
    ...     driver.optimizer.step()
    >>> driver.planned, driver.planned_momentum
    (array([[0.004]]), array([[0.95]]))
    """

    def __init__(self, optimizer: Optimizer, schedule: Planner | Iterable[Planner]) -> None:
        groups = instance("optimizer", optimizer, Optimizer, "a torch Optimizer").param_groups
        call_first("schedule", schedule)
        if not isinstance(schedule, Planner | Iterable):
            raise TypeError(f"schedule must be a Schedule or one for each group, was {schedule!r}")
        planners = [schedule] * len(groups) if isinstance(schedule, Planner) else list(schedule)
        if len(planners) != len(groups):
            raise ValueError(
                f"schedule must be one for each of {len(groups)} groups, was {planners}"
            )
        for i, (planner, group) in enumerate(zip(planners, groups, strict=True)):
            call_first(f"schedule[{i}]", planner)
            if not isinstance(planner, Planner):
                raise TypeError(f"schedule[{i}] must be a Schedule, was {planner!r}")
            if planner.momentum(0) is not None and _momentum_of(group) is None:
                raise ValueError(
                    f"schedule[{i}] plans the momentum, but {type(optimizer).__name__} has none: "
                    f"make it with momentum_range=None, was {planner!r}"
                )
            if (kind := _kind(group)) is not None and not kind.is_floating_point:
                raise TypeError(f"lr of the optimizer must hold floats, was {group['lr']!r}")
        if optimizer in _driven:
            raise ValueError("optimizer must have one driver, it has one already: close() that one")
        super().__init__(optimizer)
        self.schedules = planners
        self._lanes = [_Lane(planner) for planner in planners]
        self._start = self._end = 0  # of the block that the lanes have ready
        _driven.add(optimizer)

    @property
    def planned(self) -> Floats:
        """Rate that the schedules asked for, an array (t, groups)."""
        return np.stack([lane.planned(self.t) for lane in self._lanes], axis=1)

    @property
    def planned_momentum(self) -> Floats:
        """Momentum that they asked for, NaN where they leave it alone, an array (t, groups)."""
        return np.stack([lane.planned_momentum(self.t) for lane in self._lanes], axis=1)

    def close(self) -> None:
        """Stop driving; what was recorded stays, and the optimizer keeps its last rate."""
        if self._hooks:  # once closed, the optimizer may have another driver
            _driven.discard(self.optimizer)
        super().close()

    def state_dict(self) -> dict[str, Any]:
        """Return schedules and records as plain lists, numbers and strings.

        A record is kept as what cannot be worked out: pairs [t, value] from where on a number
        differs from its plan, and [t, None] from where on it is the plan again. A run that went as
        planned takes no room, however long it was.
        """
        n = self.t
        tables: dict[str, list[Any]] = {"planned": [], "used": [], "used_momentum": []}
        used, used_momentum = self.used, self.used_momentum
        for i, lane in enumerate(self._lanes):
            planned = lane.planned(n)
            tables["planned"].append(_changes(planned, lane.formula(n)))
            tables["used"].append(_changes(used[:, i], planned))
            momentum = _changes(used_momentum[:, i], lane.planned_momentum(n))
            tables["used_momentum"].append(momentum)
        kinds = [str(lane.kind).removeprefix("torch.") for lane in self._lanes]
        schedules = [_saved(planner) for planner in self.schedules]
        return {"schedules": schedules, "t": n, "kinds": kinds, **tables}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the last update of a state that a driver with equal schedules returned.

        A plateau rule gets its state back too; weights and optimizer have state dicts of their own.

        Raises
        ------
        ValueError
            If the state is of other schedules or is damaged; then nothing has changed here.
        """
        names = ("schedules", "t", "kinds", "planned", "used", "used_momentum")
        if not isinstance(state, dict) or set(state) != set(names):
            raise ValueError(f"state must be a dict with {', '.join(names)}, was {state!r}")
        n = count("state['t']", state["t"])
        for name in ("schedules", "kinds", "planned", "used", "used_momentum"):
            if not isinstance(state[name], list) or len(state[name]) != len(self.schedules):
                raise ValueError(
                    f"state must be of {len(self.schedules)} schedules, was of {state[name]!r}"
                )
        for planner, saved in zip(self.schedules, state["schedules"], strict=True):
            if isinstance(planner, ReduceOnPlateau):
                planner.check_state(saved)
            elif saved != repr(planner):
                raise ValueError(f"state must be of {planner!r}, was of {saved}")
        lanes, tracks = [], []
        for i, planner in enumerate(self.schedules):
            lane = _Lane(planner)
            lane.kind = _kind_named(state["kinds"][i])
            planned = _restored("planned", state["planned"][i], lane.formula(n))
            if state["planned"][i] or lane.made is not None:
                lane.made = _packed(planned)
            momentum = lane.planned_momentum(n)
            rates = _restored("used", state["used"][i], planned)
            momenta = _restored("used_momentum", state["used_momentum"][i], momentum)
            tracks.append(_Track(rates, momenta))
            lanes.append(lane)
        for planner, saved in zip(self.schedules, state["schedules"], strict=True):
            if isinstance(planner, ReduceOnPlateau):
                planner.load_state_dict(saved)
        self._t, self._lanes, self._tracks = n, lanes, tracks
        self._start = self._end = n

    def _prepare(self) -> None:
        groups, lanes = self.optimizer.param_groups, self._lanes
        if len(groups) != len(lanes):
            raise RuntimeError(
                f"this driver was made for {len(lanes)} parameter groups, the optimizer "
                f"now has {len(groups)}: close() it and drive() again"
            )
        if self._t >= self._end:
            self._look_ahead()
        t, ready = self._t, self._t - self._start
        for i, lane in enumerate(lanes):
            lane.put(t, ready, groups[i])

    def _look_ahead(self) -> None:
        size = AHEAD
        while True:  # a schedule may end, or leave the floats, inside the block
            try:
                for lane in self._lanes:
                    lane.look_ahead(self._t, size)
                break
            except Exception:
                if size == 1:
                    raise
                size //= 2
        self._start, self._end = self._t, self._t + size

    def _count(self) -> None:
        super()._count()
        for lane in self._lanes:
            if lane.made is not None:
                lane.made.append(lane.lr)


def _saved(planner: Planner) -> Any:
    return planner.state_dict() if isinstance(planner, ReduceOnPlateau) else repr(planner)


def _kind_named(name: Any) -> torch.dtype | None:
    kind = None if name == "None" else getattr(torch, str(name), name)
    if kind is None or (isinstance(kind, torch.dtype) and kind.is_floating_point):
        return kind
    raise ValueError(f"state must hold kinds such as 'None' or 'float32', was {name!r}")


def _changes(values: Floats, plan: Floats) -> list[list[Any]]:
    """Return pairs [t, value] from where on the values are not the plan, [t, None] where they are.

    >>> _changes(np.array([1.0, 9.0, 9.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    [[1, 9.0], [3, None]]
    """
    same = _equal(values, plan)
    before = np.append(True, same[:-1])
    moved = np.append(True, ~_equal(values[1:], values[:-1]))[: len(values)]
    begins = ~same & (before | moved) | same & ~before
    return [[t, None if same[t] else float(values[t])] for t in np.flatnonzero(begins).tolist()]


def _restored(name: str, changes: Any, plan: Floats) -> Floats:
    """Undo `_changes`.

    >>> _restored("used", [[1, 9.0], [3, None]], np.array([1.0, 2.0, 3.0, 4.0]))
    array([1., 9., 9., 4.])
    """
    values = plan.copy()
    try:
        starts = [count("t", t) for t, _ in changes]
        ends = [*starts, len(plan)][1:]
        if any(start >= end for start, end in zip(starts, ends, strict=True)):
            raise ValueError
        for (start, value), end in zip(changes, ends, strict=True):
            if value is not None:
                values[start:end] = value
    except (TypeError, ValueError):
        raise ValueError(
            f"state must hold pairs [t, value] in order, each t below {len(plan)}, in {name!r}, "
            f"was {changes!r}"
        ) from None
    return values


def drive(optimizer: Optimizer, schedule: Planner | Iterable[Planner]) -> Driver:
    """Make update t of `optimizer` use ``schedule(t)``, and its momentum where there is one.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its own rate is overwritten at each update. A momentum goes to ``momentum`` or beta1.
    schedule : Schedule, ReduceOnPlateau, or an iterable of them
        A single one serves all parameter groups, else there is one for each. After its run a finite
        schedule stays at its last value.

    Returns
    -------
    Driver
        With ``planned`` and ``used``; also a context manager that closes itself.

    Raises
    ------
    TypeError, ValueError
        If they do not fit each other, see `Driver`.

    Examples
    --------
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

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Nothing about it is changed.

    Returns
    -------
    Recorder
        With ``used`` and ``used_momentum``; also a context manager that closes itself.

    Raises
    ------
    TypeError
        If it is no torch optimizer.

    Examples
    --------
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
