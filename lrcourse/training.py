"""One training loop that keeps a record of everything it did.

``fit`` trains any torch model and returns a ``History``: the loss of every update, the rate that
was planned and the rate the optimizer really used, and evaluations on both parts of the data.
``lrcourse.sweeps`` trains many configurations at once and agrees with ``fit`` run by run.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from lrcourse._checks import count, instance
from lrcourse.data import Data
from lrcourse.drivers import Recorder, drive, record
from lrcourse.engine import threads
from lrcourse.engine.measures import Measure, checked, measured
from lrcourse.grids import known
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.randomness import batches, randomness, seeded
from lrcourse.schedules import Schedule
from lrcourse.settings import DIVERGED, SETTINGS, Settings, takes_settings

__all__ = ["History", "check_model", "evaluate", "fit", "plain_loop", "progress_bar"]

EVALUATED = ("train_loss", "val_loss", "val_accuracy")

Callback = Callable[[int, nn.Module, float], object]
Floats = NDArray[np.float64]

_one_of_many: ContextVar[bool] = ContextVar("one_of_many", default=False)


@dataclass
class History:
    """The record of one run; what was not reached, or came after divergence, is NaN.

    Attributes
    ----------
    loss : array of float, shape (steps,)
        The batch loss before each update.
    planned, used : arrays of float, shape (steps,)
        The rate that was meant, and the rate the optimizer took.
    eval_step : array of int, shape (evaluations,)
        Finished updates at each evaluation.
    train_loss, val_loss, val_accuracy : arrays of float, shape (evaluations,)
    measures : dict of str to array, shape (evaluations, ...)
        What the functions given as ``measures`` returned.
    used_momentum : array of float, shape (steps,), or None
        The momentum or beta1 the optimizer took, where the schedule plans it.
    diverged_at : int or None
        The update whose loss was NaN, infinite or over 1e4 times the first loss (1e4 where the
        first is below 1); it was not made.  None for a run that stayed finite.
    updates : int
        Number of updates made.
    interrupted : bool
        Whether Ctrl-C ended the run.
    model : torch.nn.Module
        The trained model.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> history = fit(mlp, digits(), lr=1e6, steps=50, eval_every=25)
    >>> bool(history.diverged_at < 50), history.loss.shape, history.eval_step
    (True, (50,), array([ 0, 25, 50]))
    """

    loss: Floats
    planned: Floats
    used: Floats
    eval_step: NDArray[np.int64]
    train_loss: Floats
    val_loss: Floats
    val_accuracy: Floats
    measures: dict[str, NDArray[Any]] = field(default_factory=dict)
    used_momentum: Floats | None = None
    diverged_at: int | None = None
    updates: int = 0
    interrupted: bool = False
    model: nn.Module | None = field(default=None, repr=False)

    @classmethod
    def empty(cls, settings: Settings) -> History:
        """Return the record of a run that has not begun."""
        loss, planned, used = np.full((3, settings.steps), np.nan)
        train, val, accuracy = np.full((3, len(settings.eval_steps)), np.nan)
        return cls(loss, planned, used, settings.eval_steps, train, val, accuracy)

    def to_dataset(self) -> xr.Dataset:
        """Return the record as a labelled data set, with the variables that a sweep has.

        Returns
        -------
        xarray.Dataset
        """
        names = {"step": ("loss", "used", "planned"), "eval_step": EVALUATED}
        variables: dict[str, Any] = {
            n: (d, getattr(self, n)) for d, ns in names.items() for n in ns
        }
        for name, values in self.measures.items():
            inner = [f"{name}_{i}" for i in range(values.ndim - 1)]
            variables[name] = ("eval_step", *inner), values
        if self.used_momentum is not None:
            variables["used_momentum"] = "step", self.used_momentum
        at = -1 if self.diverged_at is None else self.diverged_at
        coords = {"step": np.arange(len(self.loss)), "eval_step": self.eval_step}
        return xr.Dataset(variables | {"diverged_at": ((), at)}, coords)


def evaluate(model: nn.Module, data: Data) -> tuple[float, float, float]:
    """Return training loss, validation loss and validation accuracy (NaN for regression).

    Parameters
    ----------
    model : torch.nn.Module
        It is evaluated in evaluation mode, and left in the mode that it was in.
    data : Data

    Returns
    -------
    tuple of three floats

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> train, val, accuracy = evaluate(seeded(mlp, 0), digits())
    >>> 2 < train < 3, 0 < accuracy < 0.3
    (True, True)
    """
    with _evaluating(model), torch.no_grad():
        train = data.loss_of(model(data.x_train), data.y_train).item()
        outputs = model(data.x_val)
        val = data.loss_of(outputs, data.y_val).item()
    if data.loss == "mse":
        return train, val, np.nan
    return train, val, (outputs.argmax(1) == data.y_val).double().mean().item()


def plain_loop(
    model: nn.Module,
    data: Data,
    optimizer: torch.optim.Optimizer,
    rows: NDArray[np.int64],
    *,
    per_epoch: int,
    batch_ends: Callable[[], object] = int,
    epoch_starts: Callable[[], object] = int,
    epoch_ends: Callable[[], object] = int,
) -> tuple[Recorder, Floats]:
    """Train in a loop that steps schedulers where one would step them by hand, and record it.

    `fit` drives the optimizer, so that nothing can be stepped in the wrong place; this loop is for
    what happens otherwise.

    Parameters
    ----------
    model : torch.nn.Module
    data : Data
    optimizer : torch.optim.Optimizer
        Of the model's parameters.
    rows : array of int, shape (steps, batch)
        The training rows of each update, see `lrcourse.randomness.batches`.
    per_epoch : int
        Updates that are called an epoch.
    batch_ends, epoch_starts, epoch_ends : callable, optional
        Called after each update, before and after each epoch.

    Returns
    -------
    Recorder
        The rate and the momentum that each update used.
    array of float, shape (steps // per_epoch,)
        The validation accuracy after each epoch.

    Raises
    ------
    ValueError
        If `per_epoch` does not divide the number of updates.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> model, data = seeded(mlp, 0), digits()
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.8)
    >>> halve = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> rows = batches(len(data.x_train), 32, 4, seed=0)
    >>> recorder, _ = plain_loop(
    ...     model, data, optimizer, rows, per_epoch=2, epoch_ends=halve.step)
    >>> recorder.used[:, 0]
    array([0.8, 0.8, 0.4, 0.4])
    """
    per_epoch = count("per_epoch", per_epoch, low=1)
    if len(rows) % per_epoch:
        raise ValueError(f"per_epoch must divide the {len(rows)} updates, was {per_epoch}")
    accuracy = []
    with record(optimizer) as recorder:
        for epoch in np.split(rows, len(rows) // per_epoch):
            epoch_starts()
            for batch in epoch:
                optimizer.zero_grad()
                loss = data.loss_of(model(data.x_train[batch]), data.y_train[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                batch_ends()
            epoch_ends()
            accuracy.append(evaluate(model, data)[2])
    return recorder, np.array(accuracy)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def progress_bar(total: int, label: str, progress: bool | None) -> tqdm[Any]:
    """Return a bar on stderr; None shows it on a terminal or in a notebook, not under a test.

    The bar waits two seconds before it appears and is wiped when done.  The environment variable
    ``LRCOURSE_PROGRESS=0`` turns the default off, for notebooks that run unattended.

    Parameters
    ----------
    total : int
        Number of steps.
    label : str
        What the bar says.
    progress : bool, optional
        Whether to show it.

    Returns
    -------
    tqdm.tqdm

    Examples
    --------
    >>> with progress_bar(3, "fit", False) as bar:
    ...     bar.update()
    """
    if progress is None:
        silent = os.environ.get("LRCOURSE_PROGRESS") == "0" or "PYTEST_VERSION" in os.environ
        progress = not silent and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    return tqdm(total=total, desc=label, disable=not progress, delay=2, leave=False)


def check_model(model: nn.Module, data: Data) -> None:
    """Refuse a model that cannot learn from the data, before any training.

    Parameters
    ----------
    model : torch.nn.Module
        On the device of `data`.
    data : Data

    Raises
    ------
    ValueError
        No weight to train, too few outputs for the classes, or a forward pass that fails.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import linear
    >>> check_model(linear(64, 3), digits())
    Traceback (most recent call last):
        ...
    ValueError: model must have an output for each of the classes 0 to 9, had 3
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("model must have weights to train, has none that are not frozen")
    with _evaluating(model), torch.no_grad():
        try:
            outputs = model(data.x_train[:2])
        except (RuntimeError, ValueError, IndexError) as error:
            first = str(error).strip().split("\n")[0]
            raise ValueError(f"model must accept rows of {data!r}, failed: {first}") from error
    if data.loss != "cross_entropy":
        return
    classes = int(max(data.y_train.max(), data.y_val.max())) + 1
    if outputs.ndim != 2 or outputs.shape[1] < classes:
        had = outputs.shape[1] if outputs.ndim == 2 else f"the shape {tuple(outputs.shape)}"
        raise ValueError(
            f"model must have an output for each of the classes 0 to {classes - 1}, had {had}"
        )


def placed(model: nn.Module, device: str | torch.device | None) -> nn.Module:
    """Return the model on a device, or say in words why it cannot be there."""
    if device is None:
        return model
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError, TypeError) as error:
        first = str(error).strip().split("\n")[0]
        raise ValueError(
            f"device must be one that torch finds here, was {device!r}: {first}"
        ) from error


@takes_settings
def fit(
    model: nn.Module | Callable[[], nn.Module],
    data: Data,
    *,
    measures: Mapping[str, Measure] | None = None,
    callbacks: Iterable[Callback] = (),
    device: str | torch.device | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> History:
    r"""Train a model and return its history.

    Update t draws batch t, computes its loss, and takes one step of the optimizer at
    :math:`\mathrm{lr} \cdot \mathrm{schedule}(t)`.  A run stops where its loss is no longer finite
    or has grown 10,000-fold; nothing is raised, the history says where.  Ctrl-C stops it too.

    Parameters
    ----------
    model : callable or torch.nn.Module
        A function that builds a model, such as ``mlp``: it is called under `seed`, and the run is
        exactly that cell of a sweep.  Or a model that is there already, which is trained in place,
        on the device and in the float type of its parameters.
    data : Data
    measures : mapping of str to callable, optional
        Functions of the model, in evaluation mode, and the data; the numbers or arrays that they
        return are recorded at each evaluation whose training loss is finite.
    callbacks : iterable of callables
        Called as ``f(t, model, loss)`` after update t; the run ends when one returns True.
    device : str or torch.device, optional
        Where to train; None leaves the model where it is.
    progress : bool, optional
        Show a bar; None decides by where it runs, see `progress_bar`.
    **settings
        The fields of `Settings`.

    Returns
    -------
    History
        Its ``model`` is the trained one.

    Raises
    ------
    ValueError, TypeError
        A bad value, an unknown name, or a model that cannot learn from the data.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> history = fit(mlp, digits(), lr=0.5, steps=100, seed=3)
    >>> bool(history.val_accuracy[-1] > 0.9)
    True
    """
    instance("data", data, Data, "a Data")
    known(list(settings), SETTINGS)
    measures = checked(measures)
    plan = Settings(**settings)
    if not (isinstance(model, nn.Module) or callable(model)):
        raise TypeError(f"model must be a model or a function that builds one, was {model!r:.80}")
    with threads.that_pay():
        return _train(model, data, plan, measures, callbacks, device, progress)


def _train(
    model: nn.Module | Callable[[], nn.Module],
    data: Data,
    plan: Settings,
    measures: Mapping[str, Measure],
    callbacks: Iterable[Callback],
    device: str | torch.device | None,
    progress: bool | None,
) -> History:
    if not isinstance(model, nn.Module):
        model = seeded(model, plan.seed)
    model = placed(model, device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    data = data.to(next(model.parameters(), torch.zeros(1)))
    check_model(model, data)
    history = History.empty(plan)
    history.model = model
    order = batches(len(data.x_train), plan.batch_size, plan.steps, plan.seed)
    rows = torch.tensor(order if plan.batch_size else [], device=parameters[0].device)
    optimizer = plan.make_optimizer(parameters)
    places = {int(updates): i for i, updates in enumerate(plan.eval_steps)}

    def assess(updates: int) -> None:
        if (i := places.get(updates)) is None:
            return
        values = evaluate(model, data)
        for name, number in zip(EVALUATED, values, strict=True):
            getattr(history, name)[i] = number
        for name, measure in measures.items() if np.isfinite(values[0]) else ():
            value: NDArray[Any] = measured(name, measure, model, data)
            kept = history.measures.setdefault(name, np.full((len(places), *value.shape), np.nan))
            if kept.shape[1:] != value.shape:
                had = kept.shape[1:]
                raise ValueError(f"{name} must have one shape, was {had}, then {value.shape}")
            kept[i] = value
        if isinstance(plan.full_schedule, ReduceOnPlateau) and updates:
            plan.full_schedule.step(values[1])

    model.train()
    limit = np.inf
    bar = progress_bar(plan.steps, "fit", progress)
    with bar, randomness(plan.seed), drive(optimizer, plan.full_schedule) as driver:
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
            if _one_of_many.get():
                raise
            history.interrupted = True
            warnings.warn(
                f"interrupted at update {t}: the rest of the history is NaN", stacklevel=2
            )
    history.planned[: driver.t] = driver.planned[:, 0]
    history.used[: driver.t] = driver.used[:, 0]
    if isinstance(plan.full_schedule, Schedule):
        history.planned[driver.t :] = plan.full_schedule(np.arange(driver.t, plan.steps))
    if plan.plans_momentum:
        history.used_momentum = np.full(plan.steps, np.nan)
        history.used_momentum[: driver.t] = driver.used_momentum[:, 0]
    return history


@contextmanager
def one_of_many() -> Iterator[None]:
    """Within the block Ctrl-C ends all runs, not only the one under way."""
    token = _one_of_many.set(True)
    try:
        yield
    finally:
        _one_of_many.reset(token)
