"""Measures: functions of a model and its data that a run records at its evaluations.

``measured`` calls one as every training loop here does.  ``StackMeasures`` keeps the measures of a
whole stack, and computes for all runs at once where ``torch.func.vmap`` can follow.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrcourse.data import Data
from lrcourse.engine.stacks import Stack

Measure = Callable[[nn.Module, Data], Any]

TAKEN = {
    *("loss", "used", "planned", "used_momentum", "diverged_at", "finished"),
    *("train_loss", "val_loss", "val_accuracy", "step", "eval_step", "model", "data"),
}

AT_ONCE = 2**22  # numbers of input, of all runs together, that a mapped measure takes at a time
AGREE = {torch.float64: 1e-8, torch.float32: 1e-4}


def checked(measures: Any) -> dict[str, Measure]:
    """Return the measures as a dict, or refuse in words what is none.

    >>> checked({"loss": abs})
    Traceback (most recent call last):
        ...
    ValueError: measures must have names of their own, 'loss' is a variable of every run
    """
    if measures is None:
        return {}
    if not isinstance(measures, Mapping):
        raise TypeError(f"measures must be a dict from names to functions, was {measures!r:.80}")
    for name, f in measures.items():
        if name in TAKEN:
            raise ValueError(
                f"measures must have names of their own, {name!r} is a variable of every run"
            )
        if not isinstance(name, str) or not callable(f):
            raise TypeError(f"measures must be a dict from names to functions, had {name!r}: {f!r}")
    return dict(measures)


def measured(name: str, f: Measure, model: nn.Module, data: Data) -> NDArray[np.float64]:
    """Return ``f(model, data)`` as an array; f sees the model in eval mode and may take gradients.

    Parameters
    ----------
    name : str
        What error texts call it.
    f : callable
        Returns a number, a tensor or an array.
    model : torch.nn.Module
        Comes back in the mode it was in.
    data : Data

    Raises
    ------
    TypeError
        A result that is no number and no array of numbers.
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            value = f(model, data)
    finally:
        for part, training in modes:
            part.training = training
    try:
        if isinstance(value, Tensor):
            value = value.detach().cpu()
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"measure {name!r} must return a number or an array of numbers, was {value!r:.80}"
        ) from None


class _Measuring(nn.Module):
    """A module around a model whose forward is a measure of that model."""

    def __init__(self, f: Measure, model: nn.Module, data: Data) -> None:
        super().__init__()
        self.f, self.model, self.data = f, model, data

    def forward(self) -> Any:
        return self.f(self.model, self.data)


class StackMeasures:
    """What the runs of a stack measured: for each name an array (evaluations, runs, ...).

    A measure is mapped over the stack if it can be and agrees with single runs the first time;
    otherwise it is called run by run.
    """

    def __init__(self, measures: Mapping[str, Measure], stack: Stack, evaluations: int) -> None:
        self.measures, self.stack, self.evaluations = measures, stack, evaluations
        self.values: dict[str, Tensor] = {}
        self.mapped: dict[str, bool] = {}

    def record(self, i: int, alive: Tensor) -> None:
        """Measure the runs that the mask `alive` (runs,) names, as evaluation i.

        An evaluation that is interrupted leaves no trace.
        """
        runs = alive.nonzero().flatten().tolist()
        if not runs:
            return
        mapped, rows = dict(self.mapped), {}
        for name, f in self.measures.items():
            if mapped.get(name):
                rows[name] = self._at_once(f)[alive.cpu()]
            else:
                rows[name] = self._singly(name, f, runs)
            if name not in mapped:
                mapped[name] = self._agrees(f, runs, rows[name])
        self.mapped = mapped
        for name, values in rows.items():
            self._keep(name, i, runs, values)

    def columns(self) -> dict[str, Tensor]:
        """Return the arrays; NaN where nothing was measured."""
        nothing = torch.full((self.evaluations, self.stack.runs), torch.nan, dtype=torch.float64)
        return {name: self.values.get(name, nothing) for name in self.measures}

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, as a flat dict."""
        values = {f"measure.{name}": v for name, v in self.values.items()}
        return values | {f"mapped.{name}": flag for name, flag in self.mapped.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name in self.measures:
            if f"mapped.{name}" in state:
                self.mapped[name] = bool(state[f"mapped.{name}"])
                self.values[name] = state[f"measure.{name}"].clone()

    def _keep(self, name: str, i: int, runs: list[int], rows: Tensor) -> None:
        if name not in self.values:
            shape = self.evaluations, self.stack.runs, *rows.shape[1:]
            self.values[name] = torch.full(shape, torch.nan, dtype=torch.float64)
        kept = self.values[name]
        if kept.shape[2:] != rows.shape[1:]:
            raise _changed(name, kept.shape[2:], rows.shape[1:])
        kept[i, runs] = rows

    def _singly(self, name: str, f: Measure, runs: list[int]) -> Tensor:
        rows: list[NDArray[np.float64]] = []
        for run in runs:
            rows.append(measured(name, f, self.stack.module(run), self.stack.data))
            if rows[-1].shape != rows[0].shape:
                raise _changed(name, rows[0].shape, rows[-1].shape)
        return torch.from_numpy(np.stack(rows))

    def _at_once(self, f: Measure) -> Tensor:
        """Map the measure over all runs, so many at a time that their inputs fit `AT_ONCE`."""
        model, data = self.stack.module(0).eval(), self.stack.data
        outer = _Measuring(f, model, data).eval()

        def call(state: dict[str, Tensor]) -> Any:
            return torch.func.functional_call(outer, state, ())

        state = {f"model.{name}": values for name, values in self.stack.named_state().items()}
        of_one = len(data.x_train) * max(64, math.prod(data.x_train.shape[1:]))
        together = max(1, AT_ONCE // of_one)
        with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")
            values: Tensor = torch.func.vmap(call, chunk_size=together)(state)
        return values.detach().cpu().double()

    def _agrees(self, f: Measure, runs: list[int], rows: Tensor) -> bool:
        """Say whether the measure can be mapped and then gives what it gave run by run."""
        try:
            values = self._at_once(f)[runs]
        except Exception:  # whatever keeps it from being mapped, run by run is right
            return False
        tolerance = AGREE.get(self.stack.weights[0].dtype, 1e-2)
        size = tolerance * rows.nan_to_num(0, 0, 0).abs().amax().item() if rows.numel() else 0
        return values.shape == rows.shape and torch.allclose(
            values, rows, rtol=tolerance, atol=size, equal_nan=True
        )


def _changed(name: str, first: tuple[int, ...], then: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"measure {name!r} must keep one shape, was {tuple(first)}, then {tuple(then)}"
    )
