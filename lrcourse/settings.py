"""What defines a run besides its model and its data: `Settings`.

One name means one thing here, in ``training.fit`` and in ``sweeps.sweep``, and is checked once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from lrcourse._checks import choice, count, flag, instance, number
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.schedules import Constant, Schedule, warmup

DIVERGED = 1e4  # a loss so many times the first one ends a run
OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam", "adamw")


@dataclass(frozen=True)
class Settings:
    r"""Everything that defines a run but the model and the data.

    The rate of update t is :math:`\mathrm{lr} \cdot \mathrm{schedule}(t)`; either factor may be
    left out.

    Parameters
    ----------
    steps : number of updates
    lr : peak or constant rate
    schedule : a ``Schedule``; a function from the number of updates after warmup to one, such as
        ``partial(Cosine, 1.0)``; or a ``ReduceOnPlateau``, told the loss of each evaluation
    warmup_steps : updates of linear warmup put in front of the schedule
    batch_size : rows of a batch, None for all rows at every update
    optimizer : "sgd", "adagrad", "rmsprop", "adam", "adamw", or a function from parameters to a
        torch optimizer
    momentum, nesterov : of "sgd"; momentum also of "rmsprop"
    betas : of "adam" and "adamw"
    alpha : smoothing of "rmsprop"
    eps : None for torch's own default, 1e-10 in "adagrad" and 1e-8 elsewhere
    weight_decay : an L2 term in the gradient, in "adamw" decoupled from it
    clip : largest norm of the whole gradient, None for no limit
    seed : order of the batches and draws of the model, such as dropout
    eval_every : updates between evaluations; always one before the first update and one at the end

    Raises
    ------
    ValueError, TypeError : a value out of its range, or one that the optimizer has no use for

    Examples
    --------
    >>> Settings(steps=3, lr=0.1, warmup_steps=2).rate(np.arange(3))
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
        checked: dict[str, Any] = {
            "steps": count("steps", self.steps, low=1),
            "lr": None if self.lr is None else number("lr", self.lr, low=0),
            "warmup_steps": count("warmup_steps", self.warmup_steps),
            "batch_size": None
            if self.batch_size is None
            else count("batch_size", self.batch_size, low=1),
            "momentum": number("momentum", self.momentum, low=0, high=1, open_high=True),
            "nesterov": flag("nesterov", self.nesterov),
            "alpha": number("alpha", self.alpha, low=0, high=1, open_high=True),
            "eps": None if self.eps is None else number("eps", self.eps, low=0),
            "weight_decay": number("weight_decay", self.weight_decay, low=0),
            "clip": None if self.clip is None else number("clip", self.clip, low=0, open_low=True),
            "seed": count("seed", self.seed),
            "eval_every": None
            if self.eval_every is None
            else count("eval_every", self.eval_every, low=1),
        }
        pair = tuple(self.betas)
        if len(pair) != 2:
            raise ValueError(f"betas must be two numbers, was {self.betas!r}")
        checked["betas"] = tuple(number("betas", b, low=0, high=1, open_high=True) for b in pair)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        for name, uses in _USED_BY.items():
            given = getattr(self, name) != getattr(Settings, name)
            if given and isinstance(self.optimizer, str) and self.optimizer not in uses:
                raise ValueError(
                    f"{name} is for {' and '.join(uses)}, optimizer was {self.optimizer!r}"
                )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov must come with momentum > 0, was 0")
        if self.schedule is None and self.lr is None:
            raise ValueError("lr must be given where there is no schedule, was None")
        if callable(self.schedule) and not isinstance(self.schedule, Schedule | ReduceOnPlateau):
            left = self.steps - self.warmup_steps
            object.__setattr__(self, "schedule", self.schedule(left))
        if not isinstance(self.schedule, Schedule | ReduceOnPlateau | None):
            raise TypeError(f"schedule must be a Schedule, was {self.schedule!r}")
        if isinstance(self.schedule, ReduceOnPlateau) and (
            self.warmup_steps or self.lr is not None
        ):
            raise ValueError("schedule: a ReduceOnPlateau has its own lr and takes no warmup_steps")

    @cached_property
    def rate(self) -> Schedule | ReduceOnPlateau:
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
        """Build the torch optimizer; its rate is set before every update."""
        if callable(self.optimizer):
            return instance("optimizer", self.optimizer(parameters), Optimizer, "a torch Optimizer")
        options: dict[str, Any] = {"lr": 0.0, "weight_decay": self.weight_decay}
        options |= {n: getattr(self, n) for n, uses in _USED_BY.items() if self.optimizer in uses}
        if options.get("eps", 0) is None:
            del options["eps"]
        kinds = (torch.optim.SGD, torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adam)
        kind = dict(zip(OPTIMIZERS, (*kinds, torch.optim.AdamW), strict=True))[self.optimizer]
        optimizer: Optimizer = kind(parameters, **options)
        return optimizer


_USED_BY = {
    "momentum": ("sgd", "rmsprop"),
    "nesterov": ("sgd",),
    "betas": ("adam", "adamw"),
    "alpha": ("rmsprop",),
    "eps": ("adagrad", "rmsprop", "adam", "adamw"),
}


def known(names: Iterable[str], among: Iterable[str] = ()) -> None:
    """Refuse names that are no settings, with a guess at what was meant.

    >>> known(["learning_rat", "lr"], ["learning_rate"])
    Traceback (most recent call last):
        ...
    TypeError: 'learning_rat' is no setting; did you mean 'learning_rate'?
    """
    options = [f.name for f in fields(Settings)] + list(among)
    for name in names:
        if name not in options:
            near = get_close_matches(name, options, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(options)}"
            raise TypeError(f"{name!r} is no setting; {hint}")
