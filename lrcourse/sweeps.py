"""Every experiment a labelled cube: one call trains a grid of runs.

A hyperparameter given as a sequence becomes a dimension of the returned ``xarray.Dataset``.  Small
models train together as one computation; others, and any function of your own, run through an
executor.  Either way a run of the cube is the run that ``training.fit`` makes alone, up to float
rounding.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from lrcourse._checks import choice
from lrcourse.cubes import Axis, Cube, Index, Record, axes_of, load, save, specs_of
from lrcourse.data import Data
from lrcourse.engine import batched, stacks
from lrcourse.engine.executors import completed
from lrcourse.engine.memory import keep_memory
from lrcourse.engine.stacks import Stack, Unbatchable
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.randomness import batches, seeded
from lrcourse.settings import Settings, known
from lrcourse.training import fit, progress_bar

__all__ = ["load", "save", "sweep", "sweep_function"]

CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 2**28}
PLAN_BYTES = 2**27
POOL_SECONDS = 20.0
MAPPED_WEIGHTS = 3000
EVALUATED = ("train_loss", "val_loss", "val_accuracy")

Factory = Callable[[], nn.Module]
Device = str | torch.device | None


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a sweep: how to build its model, its data and its settings."""

    factory: Factory
    data: Data
    settings: Settings

    @classmethod
    def of(cls, spec: Record) -> Run:
        """Check the plain settings of a run, model and data among them."""
        factory, data = spec["model"], spec["data"]
        if isinstance(factory, nn.Module) or not callable(factory):
            raise TypeError(f"model must be a function that builds a model, was {factory!r:.80}")
        if not isinstance(data, Data):
            raise TypeError(
                "data must be a Data, whose batches a seed repeats (a loader draws its own), "
                f"was {data!r:.80}"
            )
        settings = Settings(**{n: v for n, v in spec.items() if n not in ("model", "data")})
        batches(len(data.x_train), settings.batch_size, 1, 0)  # refuses a batch of too many rows
        return cls(factory, data, settings)


def sweep(
    model: Factory | Mapping[str, Factory],
    data: Data | Mapping[str, Data],
    *,
    engine: str = "auto",
    executor: Any = None,
    device: Device = None,
    resume: str | Path | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> xr.Dataset:
    r"""Train every combination of the values given, and return one labelled cube.

    Each run is ``fit(seeded(model, seed), data, ...)``: runs that share a seed share their start
    and their batches.  The order of values is kept; a value that stands twice is refused.

    Parameters
    ----------
    model : a function that builds a model, or a dict from labels to such functions
    data : a ``Data``, or a dict from labels to them
    engine : "batched" trains small models as one computation, "executor" each run by itself,
        "auto" chooses by the model and by the time that a run takes
    executor : where single runs go, see ``executors.completed``; None for processes, one a core
    device : where models train; None leaves them where `model` builds them
    resume : a file that keeps finished runs; a later call makes only the missing ones, also those
        of a grid with new values
    progress : show a bar; None decides by where it runs
    **settings : the fields of ``Settings``; a sequence, or a dict from labels to values, becomes a
        dimension named like it

    Returns
    -------
    xr.Dataset
        ``loss`` and ``rate`` (..., step), the rate being the one used; ``train_loss``,
        ``val_loss`` and ``val_accuracy`` (..., eval_step); ``diverged_at``, -1 for never, and
        ``finished`` (...).  Dimensions stand in the order given, seed last.  After divergence all
        is NaN.  Runs that failed are NaN too, named in a warning and in ``attrs["failed"]``.

    Raises
    ------
    ValueError, TypeError : a bad value, an unknown name, a grid that cannot fit in memory, or a
        model that engine="batched" cannot hold

    Notes
    -----
    The batched engine works on stacks of about 16 MB, 256 MB on a GPU, or one run, and on plans of
    their batches and rates of about 128 MB each, or one seed.  Besides it holds the cube: 16 bytes
    for each run and update, at most half of the memory.  It takes no ``ReduceOnPlateau`` and no
    optimizer given as a function.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> runs = sweep(mlp, digits(), lr=[0.01, 0.1, 1.0], seed=range(2), steps=50)
    >>> dict(runs.loss.sizes)
    {'lr': 3, 'seed': 2, 'step': 50}
    """
    choice("engine", engine, ("auto", "batched", "executor"))
    known(settings)
    if "steps" not in settings:
        raise TypeError("steps must be given: the number of updates of a run")
    grid = {"model": model, "data": data} | settings
    axes = axes_of(grid)
    _refuse_too_large(axes, settings["steps"])
    runs = {index: Run.of(spec) for index, spec in specs_of(grid, axes)}
    plans = [run.settings for run in runs.values()]
    coords = {
        "step": np.arange(max(p.steps for p in plans)),
        "eval_step": np.unique(np.concatenate([p.eval_steps for p in plans])),
    }
    cube = Cube(axes, coords, _attributes(runs, axes), resume)
    todo = {index: run for index, run in runs.items() if not cube.finished[index]}
    bar = progress_bar(sum(run.settings.steps for run in todo.values()), "sweep", progress)
    with bar:
        probes, groups, single = _sort(todo, engine, executor, device)
        parts = {"batched": groups, "executor": single}
        cube.attrs["engine"] = " and ".join(name for name, part in parts.items() if part)
        try:
            broken = _train_stacks(cube, todo, probes, groups, device, bar.update)
            if engine == "auto" and broken:
                single += broken
                some = any(set(many) - set(broken) for g in groups.values() for many in g.values())
                cube.attrs["engine"] = "batched and executor" if some else "executor"
            _train_singly(cube, {i: todo[i] for i in single}, engine, executor, device, bar.update)
        except KeyboardInterrupt:
            warnings.warn("interrupted: the finished runs are kept", stacklevel=2)
    return cube.done()


def sweep_function(
    train: Callable[[Record], Mapping[str, Any] | xr.Dataset],
    *,
    executor: Any = None,
    resume: str | Path | None = None,
    progress: bool | None = None,
    **grid: Any,
) -> xr.Dataset:
    """Call a function of your own for every combination of the values given; return a cube.

    Parameters
    ----------
    train : called with a dict of plain values, one for each name of the grid; returns a data set,
        or a dict from names to numbers, arrays or (dims, array) pairs, of one shape in all runs.
        It must be picklable and take its randomness from its seed alone
    executor, resume, progress : as in `sweep`
    **grid : sequences, which become dimensions, and values that all runs share

    Examples
    --------
    >>> cube = sweep_function(lambda run: {"square": run["x"] ** 2}, x=[1, 2], executor="serial")
    >>> cube.square.values
    array([1, 4])
    """
    axes = axes_of(grid)
    specs = dict(specs_of(grid, axes))
    named = getattr(train, "__qualname__", _words(train))
    fixed = {n: _words(v) for n, v in grid.items() if n not in {axis.name for axis in axes}}
    attrs = {"function": named, "settings": fixed, "fingerprint": _digest(named, fixed)}
    attrs["labels"] = _labels(axes)
    cube = Cube(axes, {}, attrs, resume)
    todo = {index: spec for index, spec in specs.items() if not cube.finished[index]}
    with progress_bar(len(todo), named, progress) as bar:
        try:
            for index, record in _outcomes(cube, train, todo, executor):
                if isinstance(record, xr.Dataset):
                    cube.coords |= {str(n): c.values for n, c in record.coords.items() if c.ndim}
                    record = {str(n): (v.dims, v.values) for n, v in record.data_vars.items()}
                try:
                    cube.put(index, dict(record))
                except (TypeError, ValueError) as error:
                    cube.failed[index] = _in_words(error)
                bar.update()
        except KeyboardInterrupt:
            warnings.warn("interrupted: the finished runs are kept", stacklevel=2)
    return cube.done()


def _refuse_too_large(axes: Sequence[Axis], steps: Any) -> None:
    runs = math.prod(len(axis.values) for axis in axes)
    several = steps.values() if isinstance(steps, dict) else np.atleast_1d(steps).tolist()
    longest = max((n for n in several if isinstance(n, int)), default=0)
    size, room = 16 * runs * longest, _memory() // 2
    if size > room:
        raise ValueError(
            f"the cube of {runs:,} runs x {longest:,} steps would take {size / 1e9:,.1f} GB, more "
            f"than the {room / 1e9:,.1f} GB that half of the memory holds: sweep fewer values or "
            "steps, or a part at a time"
        )


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30


def _words(value: Any) -> str:
    """Return the repr, without the addresses that differ from one session to the next."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(_words(parts).encode()).hexdigest()[:16]


def _checksum(tensors: Any) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _meaning(name: str, value: Any) -> str:
    """Return a digest of what a label stands for."""
    if name == "model" and callable(value):
        return _digest(_start(value))
    if isinstance(value, Data):
        return _checksum([value.x_train, value.y_train, value.x_val, value.y_val])
    return _digest(value)


def _labels(axes: Sequence[Axis]) -> Record:
    """Return what the labels of the dimensions stand for that are not their own values."""
    return {
        axis.name: {
            str(label): _meaning(axis.name, value)
            for label, value in zip(axis.labels, axis.values, strict=True)
        }
        for axis in axes
        if not all(isinstance(v, bool | int | float | str | None) for v in axis.values)
    }


def _attributes(runs: Mapping[Index, Run], axes: Sequence[Axis]) -> Record:
    """Describe what all runs share; the fingerprint tells experiments apart, not their grids."""
    first, many = next(iter(runs.values())), {axis.name for axis in axes}
    fixed = {
        f.name: _words(getattr(first.settings, f.name))
        for f in fields(Settings)
        if f.name not in many
    }
    attrs: Record = {"settings": fixed}
    shared: list[Any] = [fixed]
    if "model" not in many:
        attrs["model"], start = _start(first.factory)
        shared += [attrs["model"], start]
    if "data" not in many:
        d = first.data
        attrs["data"] = repr(d)
        shared += [_checksum([d.x_train, d.y_train, d.x_val, d.y_val])]
    return attrs | {"fingerprint": _digest(*shared), "labels": _labels(axes)}


def _start(factory: Factory) -> tuple[str, str]:
    """Return a model's layers in words and the checksum of its start under one seed."""
    model, twin = (seeded(factory, 0) for _ in range(2))
    if model is twin:
        raise ValueError("model must build a new model at every call, gave the same one twice")
    start = _checksum(model.state_dict().values())
    if start != _checksum(twin.state_dict().values()):
        raise ValueError("model must start the same under the same torch seed, was different twice")
    return " ".join(_words(model).split()), start


Groups = dict[tuple[Any, ...], dict[int, list[Index]]]


@dataclass(frozen=True)
class Probe:
    """What a model tells about itself: how it can be stacked, or why not, and its size."""

    kind: type[Stack] | None
    why: str
    weights: int
    per_row: int
    bytes: int
    place: str

    @classmethod
    def of(cls, run: Run, device: Device) -> Probe:
        """Build the model once and look."""
        model, seen = seeded(run.factory, 0).to(device), [0]
        weights = list(model.parameters())
        data = run.data.to(weights[0])
        kind, why = None, ""
        try:
            kind = stacks.stack_for(model, data)
            for part in (p for p in model.modules() if not list(p.children())):
                part.register_forward_hook(
                    lambda m, x, out: seen.append(out.numel() // 2 if torch.is_tensor(out) else 0)
                )
            model.eval()(data.x_train[:2])
        except Unbatchable as reason:
            why = str(reason)
        numbers = sum(w.numel() for w in weights)
        one = weights[0]
        return cls(kind, why, numbers, sum(seen), one.element_size(), one.device.type)

    def pays(self) -> bool:
        """Say whether a stack is known to be faster than single runs."""
        small = self.weights <= MAPPED_WEIGHTS or self.place != "cpu"
        return self.kind is stacks.Perceptrons or (self.kind is not None and small)

    def runs_at_once(self, settings: Settings, rows: int) -> int:
        """Return how many runs fit in a chunk: weights, gradients, state and activations."""
        batch = rows if settings.batch_size is None else settings.batch_size
        assess = max(batch, batched.EVAL_ROWS)
        numbers = 3 * self.weights + self.per_row * (2 * batch + assess)
        room = CHUNK_BYTES.get(self.place, 2**28) // (self.bytes * numbers)
        return max(1, min(room, PLAN_BYTES // (8 * self.bytes * settings.steps)))


def _sort(
    runs: Mapping[Index, Run], engine: str, executor: Any, device: Device
) -> tuple[dict[Any, Probe], Groups, list[Index]]:
    """Part the runs into groups that can be stacked, by seed, and those that go alone."""
    probes: dict[Any, Probe] = {}
    groups: Groups = defaultdict(lambda: defaultdict(list))
    single = []
    for index, run in runs.items():
        p, origin = run.settings, (id(run.factory), id(run.data))
        if engine == "executor" or (engine == "auto" and (executor is not None or len(runs) == 1)):
            single.append(index)
            continue
        if origin not in probes:
            probes[origin] = Probe.of(run, device)
        why = probes[origin].why
        if not isinstance(p.optimizer, str):
            why = "its optimizer is a function"
        elif isinstance(p.schedule, ReduceOnPlateau):
            why = "a ReduceOnPlateau decides during the run"
        elif p.optimizer == "adagrad" and p.rate.momentum(0) is not None:
            why = "adagrad has no momentum for its schedule to plan"
        if engine == "batched" and why:
            raise ValueError(f"engine 'batched' cannot hold {run.factory!r:.60}: {why}")
        if why or (engine == "auto" and not probes[origin].pays()):
            single.append(index)
        else:
            key = (p.optimizer, p.nesterov, p.batch_size, p.steps, p.eval_every)
            groups[(origin, *key)][p.seed].append(index)
    return probes, groups, single


def _chunks(
    by_seed: Mapping[int, list[Index]], size: int, seeds_at_once: int
) -> Iterator[tuple[list[int], list[Index]]]:
    """Yield (seeds, runs seed by seed) of about `size` runs, with equally many for each seed."""
    alike = defaultdict(list)
    for seed, indices in by_seed.items():
        alike[len(indices)].append(seed)
    for count, seeds in alike.items():
        together = max(1, min(size // count, seeds_at_once))
        for part in np.array_split(seeds, math.ceil(len(seeds) / together)):
            for piece in np.array_split(np.arange(count), math.ceil(count * len(part) / size)):
                yield part.tolist(), [by_seed[seed][i] for seed in part for i in piece]


def _train_stacks(
    cube: Cube,
    runs: Mapping[Index, Run],
    probes: Mapping[Any, Probe],
    groups: Groups,
    device: Device,
    advance: Callable[[int], Any],
) -> list[Index]:
    """Train the groups chunk by chunk and return the runs of chunks that broke."""
    keep_memory()
    for (origin, *_), by_seed in groups.items():
        probe, one = probes[origin], runs[next(iter(by_seed.values()))[0]]
        assert probe.kind is not None
        size = probe.runs_at_once(one.settings, len(one.data.x_train))
        plan = 4 * one.settings.steps * (one.settings.batch_size or 1)
        for seeds, indices in _chunks(by_seed, size, PLAN_BYTES // plan):
            settings = [runs[index].settings for index in indices]
            try:
                made = [seeded(one.factory, seed).to(device) for seed in seeds]
                copies = [model for model in made for _ in range(len(indices) // len(seeds))]
                data = one.data.to(next(made[0].parameters()))
                stack = probe.kind(copies, data, len(seeds))
                for index, record in zip(
                    indices, batched.train(stack, settings, seeds, advance), strict=True
                ):
                    cube.put(index, _placed(cube, runs[index].settings, record))
            except Exception as error:
                cube.failed |= {index: _in_words(error) for index in indices}
    return list(cube.failed)


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def _outcomes(
    cube: Cube, function: Callable[[Any], Any], specs: Mapping[Index, Any], executor: Any
) -> Iterator[tuple[Index, Any]]:
    """Yield the results of runs as they end; note in the cube those that failed."""
    indices = list(specs)
    for i, outcome in completed(function, list(specs.values()), executor):
        if isinstance(outcome, BaseException):
            cube.failed[indices[i]] = _in_words(outcome)
        else:
            yield indices[i], outcome


def _fit_one(
    factories: Sequence[Factory], sets: Sequence[Data], device: Device, spec: tuple[int, int, Any]
) -> Record:
    """Make one run alone; a module-level function, so that any process can call it."""
    model, data, settings = factories[spec[0]], sets[spec[1]], spec[2]
    history = fit(seeded(model, settings["seed"]).to(device), data, progress=False, **settings)
    if history.interrupted:
        raise KeyboardInterrupt
    at = -1 if history.diverged_at is None else history.diverged_at
    names = ("loss", *EVALUATED)
    record = {"loss": history.loss, "used": history.used, "diverged_at": at}
    return record | {name: getattr(history, name) for name in names}


def _train_singly(
    cube: Cube,
    runs: Mapping[Index, Run],
    engine: str,
    executor: Any,
    device: Device,
    advance: Callable[[int], Any],
) -> None:
    """Make runs one by one; with engine "auto" here, as long as starting processes costs more."""
    factories = {id(run.factory): run.factory for run in runs.values()}
    sets = {id(run.data): run.data for run in runs.values()}
    function = partial(_fit_one, list(factories.values()), list(sets.values()), device)
    specs = {
        index: (
            list(factories).index(id(run.factory)),
            list(sets).index(id(run.data)),
            {f.name: getattr(run.settings, f.name) for f in fields(Settings)},
        )
        for index, run in runs.items()
    }

    def collect(specs: Mapping[Index, Any], executor: Any) -> None:
        for index, record in _outcomes(cube, function, specs, executor):
            cube.put(index, _placed(cube, runs[index].settings, record))
            advance(runs[index].settings.steps)

    began, made = time.monotonic(), 0
    while engine == "auto" and executor is None and made < len(specs):
        index = list(specs)[made]
        collect({index: specs[index]}, "serial")
        made += 1
        if (time.monotonic() - began) / made * (len(specs) - made) > POOL_SECONDS:
            break
    if rest := {index: specs[index] for index in list(specs)[made:]}:
        collect(rest, executor)


def _placed(cube: Cube, settings: Settings, record: Record) -> Record:
    """Give a run's arrays the steps of the whole cube; what a shorter run lacks is NaN."""
    at = np.searchsorted(cube.coords["eval_step"], settings.eval_steps)
    placed: Record = {"diverged_at": ((), record["diverged_at"])}
    for name in ("loss", "used", *EVALUATED):
        dim, where = ("eval_step", at) if name in EVALUATED else ("step", slice(settings.steps))
        values = np.full(len(cube.coords[dim]), np.nan)
        values[where] = record[name]
        placed[name] = dim, values
    return placed
