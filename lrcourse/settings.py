"""What defines a run besides its model and its data: `Settings`.

One name means one thing here, in ``training.fit`` and in ``sweeps.sweep``, and is checked once.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from lrcourse._checks import choice, instance
from lrcourse._limits import LIMITS, limited
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.schedules import Constant, Schedule, warmup

__all__ = ["DIVERGED", "OPTIMIZERS", "Settings", "takes_settings"]

#: A loss so many times the first one ends a run.
DIVERGED = 1e4
#: The names that `optimizer` may have.
OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam", "adamw")
MAY_BE_NONE = ("lr", "batch_size", "eps", "clip", "eval_every")
USED_BY = {
    "momentum": ("sgd", "rmsprop"),
    "nesterov": ("sgd",),
    "betas": ("adam", "adamw"),
    "alpha": ("rmsprop",),
    "eps": ("adagrad", "rmsprop", "adam", "adamw"),
}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    r"""Everything that defines a run but the model and the data.

    The rate of update t is :math:`\mathrm{lr} \cdot \mathrm{schedule}(t)`; either factor may be
    left out.

    Parameters
    ----------
    steps : int
        Number of updates.
    lr : float, optional
        Peak or constant rate.
    schedule : Schedule, ReduceOnPlateau or callable, optional
        A function of the number of updates after warmup to a schedule, such as
        ``partial(Cosine, 1.0)``, may stand for one.  A plateau rule is told the validation loss of
        each evaluation.
    warmup_steps : int
        Updates of linear warmup put in front of the schedule.
    batch_size : int, optional
        Rows of a batch; None for all rows at every update.
    optimizer : str or callable
        "sgd", "adagrad", "rmsprop", "adam", "adamw", or a function from parameters to a torch
        optimizer.
    momentum, nesterov : float, bool
        Of "sgd"; momentum also of "rmsprop".
    betas : tuple of two floats
        Of "adam" and "adamw".
    alpha : float
        Smoothing of "rmsprop".
    eps : float, optional
        None for torch's own default, 1e-10 in "adagrad" and 1e-8 elsewhere.
    weight_decay : float
        An L2 term in the gradient, in "adamw" decoupled from it.
    clip : float, optional
        Largest norm of the whole gradient; None for no limit.
    seed : int
        Of the start, the order of the batches, and draws of the model such as dropout.
    eval_every : int, optional
        Updates between evaluations; there is always one before the first update and one at the end.

    Raises
    ------
    ValueError, TypeError
        A value out of its range, one that the optimizer has no use for, or two that contradict each
        other, such as a momentum beside a schedule that plans it.

    Examples
    --------
    >>> Settings(steps=3, lr=0.1, warmup_steps=2).full_schedule(np.arange(3))
    array([0.03333333, 0.06666667, 0.1       ])
    """

    steps: int
    lr: float | None = None
    schedule: Schedule | ReduceOnPlateau | Callable[[int], Schedule] | None = None
    warmup_steps: int = 0
    batch_size: int | None = 64
    optimizer: str | Callable[[Any], Optimizer] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    alpha: float = 0.99
    eps: float | None = None
    weight_decay: float = 0.0
    clip: float | None = None
    seed: int = 0
    eval_every: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.optimizer):
            choice("optimizer", self.optimizer, OPTIMIZERS)
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if name in LIMITS and not (value is None and name in MAY_BE_NONE):
                object.__setattr__(self, name, limited(name, value))
        for name, uses in USED_BY.items():
            if self._given(name) and isinstance(self.optimizer, str) and self.optimizer not in uses:
                raise ValueError(
                    f"{name} is for {' and '.join(uses)}, optimizer was {self.optimizer!r}"
                )
        self._check_schedule()
        if self.nesterov and not (self.momentum or self.plans_momentum):
            raise ValueError("nesterov must come with momentum > 0, was 0")

    def _given(self, name: str) -> bool:
        return bool(getattr(self, name) != getattr(Settings, name))

    def _check_schedule(self) -> None:
        if self.schedule is None and self.lr is None:
            raise ValueError("lr must be given where there is no schedule, was None")
        if isinstance(self.schedule, type):
            raise TypeError(
                f"schedule must be a Schedule such as Constant(0.1), was the class "
                f"{self.schedule.__name__} itself: call it"
            )
        if callable(self.schedule) and not isinstance(self.schedule, Schedule | ReduceOnPlateau):
            left = self.steps - self.warmup_steps
            object.__setattr__(self, "schedule", self.schedule(left))
        if not isinstance(self.schedule, Schedule | ReduceOnPlateau | None):
            raise TypeError(f"schedule must be a Schedule, was {self.schedule!r}")
        if isinstance(self.schedule, ReduceOnPlateau) and (
            self.warmup_steps or self.lr is not None
        ):
            raise ValueError("schedule: a ReduceOnPlateau has its own lr and takes no warmup_steps")
        if not self.plans_momentum:
            return
        for name, overridden in (
            ("momentum", self._given("momentum")),
            ("betas", self.betas[0] != Settings.betas[0]),
        ):
            if overridden:
                raise ValueError(
                    f"{name} must not be given where the schedule plans it, as {self.schedule!r} "
                    f"does, was {getattr(self, name)!r}"
                )
        if self.warmup_steps:
            raise ValueError(
                "warmup_steps must be 0 beside a schedule that plans the momentum and has a rise "
                f"of its own (momentum_range=None turns the plan off), was {self.warmup_steps}"
            )
        if self.optimizer == "adagrad":
            raise ValueError(
                "schedule plans the momentum, but 'adagrad' has none: make it with "
                f"momentum_range=None, was {self.schedule!r}"
            )

    @property
    def plans_momentum(self) -> bool:
        """Whether the schedule plans the momentum, too."""
        return isinstance(self.schedule, Schedule) and self.schedule.momentum(0) is not None

    @cached_property
    def full_schedule(self) -> Schedule | ReduceOnPlateau:
        """The rule that gives every update its rate; a plateau rule comes as a fresh copy."""
        if isinstance(self.schedule, ReduceOnPlateau):
            return copy.deepcopy(self.schedule)
        if not isinstance(self.schedule, Schedule):
            return warmup(Constant(self.lr or 0.0), self.warmup_steps)
        plan = self.schedule if self.lr is None else self.lr * self.schedule
        return warmup(plan, self.warmup_steps)

    @property
    def eval_steps(self) -> NDArray[np.int64]:
        """Numbers of finished updates at which the model is evaluated."""
        every = self.eval_every or self.steps
        return np.append(np.arange(0, self.steps, every), self.steps)

    def make_optimizer(self, parameters: Iterable[Tensor]) -> Optimizer:
        """Build the torch optimizer; its rate is set before every update.

        Parameters
        ----------
        parameters : iterable of torch.Tensor
            What it updates.

        Returns
        -------
        torch.optim.Optimizer
        """
        if callable(self.optimizer):
            return instance("optimizer", self.optimizer(parameters), Optimizer, "a torch Optimizer")
        options: dict[str, Any] = {"lr": 0.0, "weight_decay": self.weight_decay}
        options |= {n: getattr(self, n) for n, uses in USED_BY.items() if self.optimizer in uses}
        if options.get("eps", 0) is None:
            del options["eps"]
        if options.get("nesterov") and not self.momentum:
            options["momentum"] = 0.9  # torch asks for one; the schedule sets it at every update
        kinds = (torch.optim.SGD, torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adam)
        kind = dict(zip(OPTIMIZERS, (*kinds, torch.optim.AdamW), strict=True))[self.optimizer]
        optimizer: Optimizer = kind(parameters, **options)
        return optimizer


SETTINGS = [f.name for f in fields(Settings)]


def takes_settings(function: F) -> F:
    """Show the fields of `Settings` in the signature of a function that takes them by name.

    Help, completion and ``inspect.signature`` then name every hyperparameter.

    Parameters
    ----------
    function : callable
        It ends in ``**settings``.

    Returns
    -------
    callable
        The same function.

    Examples
    --------
    >>> @takes_settings
    ... def train(model, **settings): ...
    >>> list(inspect.signature(train).parameters)[:4]
    ['model', 'steps', 'lr', 'schedule']
    """
    own = inspect.signature(function)
    given = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    first = [p for p in given if p.kind is not p.KEYWORD_ONLY]
    named = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=f.type,
        )
        for f in fields(Settings)
    ]
    rest = [p for p in given if p.kind is p.KEYWORD_ONLY]
    function.__signature__ = own.replace(parameters=[*first, *named, *rest])  # type: ignore[attr-defined]
    return function
