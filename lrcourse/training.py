"""One training loop that keeps a record of everything it did.

``fit`` trains any torch model and returns a ``History``: the loss of every update, the rate that
was planned and the rate the optimizer really used, and evaluations on both parts of the data.
``lrcourse.sweeps`` trains many configurations at once and agrees with ``fit`` run by run.
"""

from __future__ import annotations

import copy
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from lrcourse._checks import choice, count, flag, instance, number
from lrcourse._memory import keep_memory
from lrcourse.data import Data
from lrcourse.drivers import drive
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.schedules import Constant, Schedule, warmup

OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam", "adamw")
DIVERGED = 1e4

_GENERATOR = threading.RLock()

Callback = Callable[[int, nn.Module, float], object]


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


@dataclass
class History:
    """The record of one run; what was not reached, or came after divergence, is NaN.

    Attributes
    ----------
    loss : float array (steps,), the batch loss before each update
    planned, used : float arrays (steps,), the rate that was meant and the rate the optimizer took
    eval_step : int array (evaluations,), finished updates at each evaluation
    train_loss, val_loss, val_accuracy : float arrays (evaluations,)
    diverged_at : the update whose loss was NaN, infinite or over 1e4 times the first loss
        (1e4 where the first is below 1); it was not made.  None for a run that stayed finite
    updates : number of updates made
    interrupted : whether Ctrl-C ended the run
    """

    loss: NDArray[np.float64]
    planned: NDArray[np.float64]
    used: NDArray[np.float64]
    eval_step: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]
    diverged_at: int | None = None
    updates: int = 0
    interrupted: bool = False

    @classmethod
    def empty(cls, settings: Settings) -> History:
        """Return the record of a run that has not begun."""
        loss, planned, used = np.full((3, settings.steps), np.nan)
        train, val, accuracy = np.full((3, len(settings.eval_steps)), np.nan)
        return cls(loss, planned, used, settings.eval_steps, train, val, accuracy)

    def to_dataset(self) -> xr.Dataset:
        """Return the record as a labelled data set, with the variables that a sweep has."""
        names = {
            "step": ("loss", "planned"),
            "eval_step": ("train_loss", "val_loss", "val_accuracy"),
        }
        variables = {n: (dim, getattr(self, n)) for dim, ns in names.items() for n in ns}
        at = -1 if self.diverged_at is None else self.diverged_at
        return xr.Dataset(
            variables | {"rate": ("step", self.used), "diverged_at": ((), at)},
            {"step": np.arange(len(self.loss)), "eval_step": self.eval_step},
        )


@contextmanager
def randomness(seed: int) -> Iterator[None]:
    """Seed torch's generator for a block, and then give it back its state.

    All threads share that generator: the lock keeps one from seeding it while `seeded` draws.
    """
    fork = torch.random.fork_rng()
    with _GENERATOR:
        fork.__enter__()
        torch.manual_seed(seed)
    try:
        yield
    finally:
        with _GENERATOR:
            fork.__exit__(None, None, None)


def seeded(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return ``factory()`` made under a seed, and leave torch's generator as it was.

    >>> from lrcourse.models import mlp
    >>> a, b = seeded(mlp, 0), seeded(mlp, 0)
    >>> bool((a[1].weight == b[1].weight).all())
    True
    """
    with _GENERATOR, randomness(count("seed", seed)):
        return instance("factory()", factory(), nn.Module, "a torch nn.Module")


def batches(n: int, batch_size: int | None, steps: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of every update, shape (steps, batch): a fresh shuffle each epoch.

    Rows left over at the end of an epoch are dropped.  With batch_size None every update takes all
    rows in order.

    >>> batches(5, 2, steps=3, seed=0)
    array([[2, 4],
           [3, 0],
           [4, 1]])
    """
    if batch_size is None:
        return np.broadcast_to(np.arange(n), (steps, n))
    if batch_size > n:
        raise ValueError(f"batch_size must be at most the {n} training rows, was {batch_size}")
    rng, epoch = np.random.default_rng(seed), n // batch_size
    epochs = [rng.permutation(n)[: epoch * batch_size] for _ in range(-(-steps // epoch))]
    return np.concatenate(epochs).reshape(-1, batch_size)[:steps]


def evaluate(model: nn.Module, data: Data) -> tuple[float, float, float]:
    """Return training loss, validation loss and validation accuracy (NaN for regression)."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            train = data.loss_of(model(data.x_train), data.y_train).item()
            outputs = model(data.x_val)
            val = data.loss_of(outputs, data.y_val).item()
    finally:
        model.train(was_training)
    if data.loss == "mse":
        return train, val, np.nan
    return train, val, (outputs.argmax(1) == data.y_val).double().mean().item()


def progress_bar(total: int, label: str, progress: bool | None) -> tqdm[Any]:
    """Return a bar on stderr; None shows it on a terminal or in a notebook, not under a test.

    The bar waits two seconds before it appears and is wiped when done.  The environment variable
    ``LRCOURSE_PROGRESS=0`` turns the default off, for notebooks that run unattended.
    """
    if progress is None:
        silent = os.environ.get("LRCOURSE_PROGRESS") == "0" or "PYTEST_VERSION" in os.environ
        progress = not silent and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    return tqdm(total=total, desc=label, disable=not progress, delay=2, leave=False)


def fit(
    model: nn.Module,
    data: Data,
    *,
    progress: bool | None = None,
    callbacks: Iterable[Callback] = (),
    **settings: Any,
) -> History:
    r"""Train `model` in place and return its history.

    Update t draws batch t, computes its loss, and takes one step of the optimizer at
    :math:`\mathrm{lr} \cdot \mathrm{schedule}(t)`.  A run stops where its loss is no longer finite
    or has grown 10,000-fold; nothing is raised, the history says where.  Ctrl-C stops it too.

    Parameters
    ----------
    model : any torch module; it trains on the device, and in the float type, of its parameters
    data : a ``Data``
    progress : show a bar; None decides by where it runs, see ``progress_bar``
    callbacks : functions called as ``f(t, model, loss)`` after update t; the run ends when one
        returns True
    **settings : the fields of ``Settings``

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> history = fit(seeded(mlp, 0), digits(), lr=0.5, steps=100)
    >>> bool(history.val_accuracy[-1] > 0.9)
    True
    """
    instance("model", model, nn.Module, "a torch nn.Module")
    instance("data", data, Data, "a Data")
    known(settings)
    plan = Settings(**settings)
    parameters = [p for p in model.parameters() if p.requires_grad]
    data = data.to(parameters[0])
    history = History.empty(plan)
    order = batches(len(data.x_train), plan.batch_size, plan.steps, plan.seed)
    rows = torch.tensor(order if plan.batch_size else [], device=parameters[0].device)
    optimizer = plan.make_optimizer(parameters)
    evaluations = dict(zip(plan.eval_steps.tolist(), range(len(plan.eval_steps)), strict=True))

    def assess(updates: int) -> None:
        if (i := evaluations.get(updates)) is not None:
            values = evaluate(model, data)
            history.train_loss[i], history.val_loss[i], history.val_accuracy[i] = values
            if isinstance(plan.rate, ReduceOnPlateau) and updates:
                plan.rate.step(values[1])

    keep_memory()
    model.train()
    limit = np.inf
    bar = progress_bar(plan.steps, "fit", progress)
    with bar, randomness(plan.seed), drive(optimizer, plan.rate) as driver:
        try:
            for t in range(plan.steps):
                assess(t)
                x, y = data.x_train, data.y_train
                if plan.batch_size is not None:
                    x, y = x[rows[t]], y[rows[t]]
                loss = data.loss_of(model(x), y)
                history.loss[t] = value = loss.item()
                if t == 0:
                    limit = min(DIVERGED * max(1.0, value), sys.float_info.max)
                if not value <= limit:
                    history.diverged_at = t
                    break
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if plan.clip is not None:
                    nn.utils.clip_grad_norm_(parameters, plan.clip)
                optimizer.step()
                history.updates = t + 1
                bar.update()
                if True in [f(t, model, value) for f in callbacks]:
                    break
            else:
                assess(plan.steps)
        except KeyboardInterrupt:
            history.interrupted = True
            warnings.warn(
                f"interrupted at update {t}: the rest of the history is NaN", stacklevel=2
            )
    history.planned[: driver.t] = driver.planned[:, 0]
    history.used[: driver.t] = driver.used[:, 0]
    if isinstance(plan.rate, Schedule):
        history.planned[:] = plan.rate(np.arange(plan.steps))
    return history
