"""Many small models trained as one computation, with an optimizer that knows every run.

``train`` runs a stack (see ``stacks``) through its updates, while every run keeps its own rate,
momentum, decay and clipping (see ``updates``).  Whoever wants one labelled result for a whole grid
uses ``lrcourse.sweeps``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrcourse.engine.measures import Measure, StackMeasures
from lrcourse.engine.signals import uninterrupted
from lrcourse.engine.stacks import Mapped, Stack
from lrcourse.engine.updates import stacked_rule
from lrcourse.randomness import batches
from lrcourse.schedules import Schedule
from lrcourse.settings import DIVERGED, Settings

CHECK_EVERY = 16
EVAL_ROWS = 256
SAVE_SECONDS = 30.0
COUNTS = ("t", "looked", "evaluated")


class KeepsState(Protocol):
    """Where a training keeps its state, so that another process can go on."""

    def load(self) -> dict[str, Any] | None:
        """Return the state last saved, None where there is none."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep a flat dict of tensors on the CPU and plain numbers."""


def train(
    stack: Stack,
    runs: Sequence[Settings],
    seeds: Sequence[int],
    advance: Callable[[int], Any] = lambda updates: None,
    *,
    measures: Mapping[str, Measure] | None = None,
    checkpoint: KeepsState | None = None,
) -> list[dict[str, Any]]:
    """Train a stack and return for each run what ``fit`` would record.

    Parameters
    ----------
    stack : Stack
        The models; they are changed in place.
    runs : sequence of Settings
        They agree in steps, batch size, optimizer, nesterov and evaluations, and lie seed by seed
        in the order of `seeds`.
    seeds : sequence of int
    advance : callable
        Called with the number of run-updates made since; a resumed training begins with those that
        were made before.
    measures : mapping of str to callable, optional
        ``f(model, data)`` returns a number, a tensor or an array of one shape, recorded at each
        evaluation.  It sees each model in eval mode and may take gradients.
    checkpoint : KeepsState, optional
        Gets the whole state every 30 seconds and when the training is interrupted, between two
        updates.  What it loads must come from a call with the same arguments: the result is then
        that of an uninterrupted training, bit for bit.

    Returns
    -------
    list of dict
        Of each run ``loss`` and ``used`` (steps,); ``diverged_at``, -1 for never; ``train_loss``,
        ``val_loss``, ``val_accuracy`` (evaluations,) and each measure (evaluations, ...).  After
        divergence all is NaN, and measures also where the training loss is not finite.

    Raises
    ------
    ValueError
        A measure whose shape changes.
    TypeError
        A measure that returns no numbers.
    KeyboardInterrupt
        Ctrl-C, after the state has been saved.
    """
    work = _Training(stack, runs, seeds, measures or {})
    saved = checkpoint.load() if checkpoint is not None else None
    if saved is not None and work.fits(saved):
        work.restore(saved)
        advance(work.looked * stack.runs)
    last_save = time.monotonic()
    whole_update = nullcontext if checkpoint is None else uninterrupted
    with stack.guard():
        try:
            work.evaluate()
            while work.t < work.steps:
                with whole_update():
                    work.update()
                    made = work.look()
                if made:
                    advance(made)
                    if checkpoint is not None and time.monotonic() - last_save > SAVE_SECONDS:
                        checkpoint.save(work.state())
                        last_save = time.monotonic()
                work.evaluate()
        except KeyboardInterrupt:
            if checkpoint is not None and work.whole:
                with uninterrupted(forget=True):
                    checkpoint.save(work.state())
            raise
    return work.records()


class _Training:
    """A stack on its way: what it has recorded, and all that is needed to go on."""

    def __init__(
        self,
        stack: Stack,
        runs: Sequence[Settings],
        seeds: Sequence[int],
        measures: Mapping[str, Measure],
    ) -> None:
        plan, w, n = runs[0], stack.weights[0], len(runs)
        self.stack, self.steps, self.eval_steps = stack, plan.steps, plan.eval_steps
        self.rates, momenta = _planned(runs)
        self.rule = stacked_rule(runs, self.rates, momenta, w)
        self.rule.start(stack.weights)
        self.order = _order(plan, seeds, len(stack.data.x_train), w.device)
        self.at = {u: i for i, u in enumerate(plan.eval_steps.tolist())}
        self.losses = w.new_zeros(plan.steps, n)
        self.marks = w.new_zeros(3, len(self.at), n, dtype=torch.float64)
        self.limit = w.new_full((n,), torch.inf)
        self.dead = torch.zeros(n, dtype=torch.bool, device=w.device)
        self.measures = StackMeasures(measures, stack, len(self.at))
        self.t = self.looked = self.evaluated = 0  # updates made, looked at; evaluations made
        self.whole = True

    def evaluate(self) -> None:
        """Evaluate all runs, where it is time for that."""
        i = self.at.get(self.t)
        if i is None or i < self.evaluated:
            return
        self.marks[:, i] = marks = _evaluate(self.stack)
        if self.measures.measures:
            fine = (self.losses[self.looked : self.t] <= self.limit).all(0)
            self.measures.record(i, fine & ~self.dead & marks[0].isfinite())
        self.evaluated += 1

    def update(self) -> None:
        """Make one update of all runs."""
        t = self.t
        self.whole = False
        rows = None if self.order is None else self.order[t]
        self.losses[t], grads = self.stack.gradients(rows)
        self.rule.step(self.stack.weights, grads, t)
        if t == 0:
            largest = torch.finfo(self.losses.dtype).max
            self.limit = (DIVERGED * self.losses[0].clamp(min=1)).clamp_(max=largest)
        self.t += 1
        self.whole = True

    def look(self) -> int:
        """Every few updates bury the runs that have diverged; return the run-updates looked at.

        Diverged runs are set to zero: they stay finite, slow nothing down, and are masked later.
        """
        if self.t % CHECK_EVERY and self.t < self.steps:
            return 0
        since = self.losses[self.looked : self.t]
        gone = (~(since <= self.limit)).any(0) & ~self.dead
        if gone.any():
            self.rule.silence(gone)
            for w in self.stack.weights:
                w[gone] = 0
            self.dead |= gone
        self.looked = self.t
        return self.stack.runs * len(since)

    def _tensors(self) -> dict[str, Tensor]:
        """Return all tensors that training changes, but for the measures, to read or to fill."""
        tensors = {"losses": self.losses, "marks": self.marks}
        tensors |= {"limit": self.limit, "dead": self.dead}
        for i, (w, state) in enumerate(zip(self.stack.weights, self.rule.state, strict=True)):
            tensors[f"weights.{i}"] = w
            tensors |= {f"rule.{i}.{j}": s for j, s in enumerate(state)}
        if isinstance(self.stack, Mapped):
            tensors |= {f"buffers.{name}": b for name, b in self.stack.buffers.items()}
        return tensors

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs: copies of tensors, on the CPU, and plain numbers."""
        state: dict[str, Any] = {name: getattr(self, name) for name in COUNTS}
        with torch.inference_mode(False), torch.no_grad():
            for name, value in (self._tensors() | self.measures.state()).items():
                state[name] = value.cpu().clone() if isinstance(value, Tensor) else value
        return state

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Say whether a state is of a stack of this shape."""
        return all(
            name in state
            and state[name].shape == tensor.shape
            and state[name].dtype == tensor.dtype
            for name, tensor in self._tensors().items()
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.t, self.looked, self.evaluated = (state[name] for name in COUNTS)
        self.rule.silence(state["dead"].to(self.dead.device))
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(state[name])
        self.measures.restore(state)

    def records(self) -> list[dict[str, Any]]:
        """Find where each run diverged, and make everything after it NaN."""
        bad = (~(self.losses <= self.limit)).cpu().numpy()
        at = np.where(bad.any(0), bad.argmax(0), -1)
        end = np.where(at < 0, self.steps, at)
        loss = self.losses.T.double().cpu().numpy()
        step = np.arange(self.steps)
        loss[step > end[:, None]] = np.nan
        used = np.where(step < end[:, None], self.rates.T, np.nan)
        late = self.eval_steps > end[:, None]
        late |= (self.eval_steps == self.steps) & (at >= 0)[:, None]
        columns = {"loss": loss, "used": used, "diverged_at": at}
        marks = dict(zip(("train_loss", "val_loss", "val_accuracy"), self.marks, strict=True))
        for name, values in (marks | self.measures.columns()).items():
            columns[name] = values.transpose(0, 1).cpu().numpy().copy()
            columns[name][late] = np.nan
        return [{name: column[i] for name, column in columns.items()} for i in range(len(at))]


def _planned(runs: Sequence[Settings]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the planned rates and momenta, (steps, runs); NaN where no momentum is planned."""
    every_t = np.arange(runs[0].steps)
    rates, momenta = np.full((2, len(every_t), len(runs)), np.nan)
    for i, run in enumerate(runs):
        rule = run.full_schedule
        assert isinstance(rule, Schedule)
        rates[:, i] = rule(every_t)
        if (momentum := rule.momentum(every_t)) is not None:
            momenta[:, i] = momentum
    return rates, momenta


def _order(plan: Settings, seeds: Sequence[int], rows: int, device: torch.device) -> Tensor | None:
    """Return the rows of every batch, (steps, seeds, batch), None where each takes all."""
    if plan.batch_size is None:
        return None
    order = torch.empty(plan.steps, len(seeds), plan.batch_size, dtype=torch.int32)
    for i, seed in enumerate(seeds):
        order[:, i] = torch.from_numpy(batches(rows, plan.batch_size, plan.steps, seed))
    return order.to(device)


def _evaluate(stack: Stack) -> Tensor:
    """Return training loss, validation loss and validation accuracy, (3, runs)."""
    data = stack.data
    train, _ = _mean_loss(stack, data.x_train, data.y_train)
    return torch.stack([train, *_mean_loss(stack, data.x_val, data.y_val)])


def _mean_loss(stack: Stack, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean loss and accuracy (runs,) over rows, a block of rows at a time."""
    loss, right = torch.zeros(2, stack.runs, dtype=torch.float64, device=x.device)
    for xs, ys in zip(torch.split(x, EVAL_ROWS), torch.split(y, EVAL_ROWS), strict=True):
        z = stack.outputs(xs)
        if stack.data.loss == "mse":
            loss += (z - ys.T).square().mean(1).sum(1)
        else:
            index = ys.expand(stack.runs, 1, -1)
            loss -= torch.log_softmax(z, 1).gather(1, index).sum((1, 2))
            # z.argmax(1) == ys, the first of equals, in passes that the processor vectorises.
            if loss.isnan().any():  # torch's argmax takes the first NaN
                nan = z.isnan()
                z = torch.where(nan.any(1, keepdim=True), nan.to(z), z)
            rank = torch.arange(z.shape[1], 0, -1, dtype=z.dtype, device=z.device)
            best = (z == z.amax(1, keepdim=True)).mul(rank[:, None]).amax(1)
            right += (best == rank[ys]).sum(1)
    return loss / len(x), right / len(x) if stack.data.loss != "mse" else right * torch.nan
