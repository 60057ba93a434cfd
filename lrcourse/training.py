"""One training loop that keeps a record of everything it did.

``fit`` trains any torch model and returns a ``History``: the loss of every update, the rate that
was planned and the rate the optimizer really used, and evaluations on both parts of the data.
``lrcourse.sweeps`` trains many configurations at once and agrees with ``fit`` run by run.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from lrcourse._checks import instance
from lrcourse.data import Data
from lrcourse.drivers import drive
from lrcourse.engine.memory import keep_memory
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.randomness import batches, randomness
from lrcourse.schedules import Schedule
from lrcourse.settings import DIVERGED, Settings, known

Callback = Callable[[int, nn.Module, float], object]


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
