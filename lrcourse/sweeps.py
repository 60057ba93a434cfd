"""Every experiment a labelled cube: one call trains a grid of runs.

A hyperparameter given as a sequence becomes a dimension of the returned ``xarray.Dataset``.  Small
models train together as one computation; others, and any function of your own, run through an
executor.  Either way a run of the cube is the run that ``training.fit`` makes alone, up to float
rounding.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from lrcourse._checks import choice
from lrcourse.data import Data
from lrcourse.engine import batched
from lrcourse.engine.assembly import Assembly
from lrcourse.engine.executors import completed, dumps
from lrcourse.engine.fingerprint import fingerprint
from lrcourse.engine.measures import Measure
from lrcourse.engine.memory import keep_memory
from lrcourse.engine.planning import PLAN_BYTES, Groups, Probe, chunks, sort_runs
from lrcourse.engine.store import Store
from lrcourse.grids import Axis, Index, axes_of, known, specs_of, words
from lrcourse.randomness import batches, seeded
from lrcourse.schedules import Schedule
from lrcourse.settings import Settings, takes_settings
from lrcourse.training import (
    EVALUATED,
    SETTINGS,
    check_model,
    fit,
    one_of_many,
    placed,
    progress_bar,
)

__all__ = ["sweep", "sweep_function"]

POOL_SECONDS = 20.0
OPTIONAL = ("planned", "used_momentum")

Record = dict[str, Any]
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


@takes_settings
def sweep(
    model: Factory | Mapping[str, Factory],
    data: Data | Mapping[str, Data],
    *,
    measures: Mapping[str, Measure] | None = None,
    engine: str = "auto",
    executor: Any = None,
    device: Device = None,
    resume: str | Path | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> xr.Dataset:
    r"""Train every combination of the values given, and return one labelled cube.

    Each run is ``fit(model, data, ...)``: runs that share a seed share their start and their
    batches.  The order of values is kept; a value that stands twice is refused.

    Parameters
    ----------
    model : callable, or mapping of str to callable
        A function that builds a model; several become a dimension.
    data : Data, or mapping of str to Data
    measures : mapping of str to callable, optional
        Functions of the model and the data, recorded at each evaluation as in `fit`.
    engine : {"auto", "batched", "executor"}
        "batched" trains small models as one computation, "executor" each run by itself, "auto"
        chooses by the model and by the time that a run takes.
    executor : optional
        Where single runs go: None for processes, one a core, where that pays; a number of
        processes, "serial", a ``concurrent.futures.Executor``, or a Dask ``Client`` or address.
    device : str or torch.device, optional
        Where models train; None leaves them where `model` builds them.
    resume : str or Path, optional
        A store of finished runs, an SQLite file: runs that are in it are not made again, runs made
        now are added.  A run is known by all that made it, code included, so grids may grow, shrink
        and share a store.
    progress : bool, optional
        Show a bar; None decides by where it runs.
    **settings
        The fields of `Settings`.  A list, a tuple, a range, a one-dimensional array or column, or a
        dict from labels to values becomes a dimension named like it.

    Returns
    -------
    xarray.Dataset
        ``loss`` and ``used``, the rate that the optimizer took, (..., step); ``train_loss``,
        ``val_loss``, ``val_accuracy`` and the measures (..., eval_step); ``diverged_at``, -1 for
        never, and ``finished`` (...).  ``planned`` is there where an optimizer took another rate
        than was planned, ``used_momentum`` where a schedule plans it.  Dimensions stand in the
        order given, seed last.  After divergence all is NaN.  Runs that are missing are NaN too,
        named in a warning and in ``attrs["failed"]``.

    Raises
    ------
    ValueError, TypeError
        A bad value, an unknown name, a model that cannot learn from the data, a grid that cannot
        fit in memory, or a model that engine="batched" cannot hold.

    Notes
    -----
    The batched engine works on stacks of about 16 MB, 256 MB on a GPU, or one run, and on plans of
    their batches and rates of about 128 MB each, or one seed.  Besides it holds the cube: 16 bytes
    for each run and update, at most half of the memory.  It takes no ``ReduceOnPlateau`` and no
    optimizer given as a function.  Ctrl-C returns what is finished; with `resume` a stack under way
    goes on later from where it was half a minute before, or when Ctrl-C came.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> runs = sweep(mlp, digits(), lr=[0.01, 0.1, 1.0], seed=range(2), steps=50)
    >>> dict(runs.loss.sizes)
    {'lr': 3, 'seed': 2, 'step': 50}
    """
    choice("engine", engine, ("auto", "batched", "executor"))
    known(list(settings), SETTINGS)
    if "steps" not in settings:
        raise TypeError("steps must be given: the number of updates of a run")
    grid = {"model": model, "data": data} | settings
    axes = axes_of(grid)
    _refuse_too_large(axes, settings["steps"])
    runs = {index: Run.of(spec) for index, spec in specs_of(grid, axes)}
    starts = {(id(r.factory), id(r.data)): _start(r.factory, r.data, device) for r in runs.values()}
    plans = [run.settings for run in runs.values()]
    coords = {
        "step": np.arange(max(p.steps for p in plans)),
        "eval_step": np.unique(np.concatenate([p.eval_steps for p in plans])),
    }
    attrs = _attributes(grid, axes, runs)
    with _kept(resume) as store:
        made_by = None if store is None else _made_by(runs, starts, measures)
        cube = Assembly(axes, coords, attrs, made_by, store, OPTIONAL)
        todo = {index: run for index, run in runs.items() if not cube.finished[index]}
        work = _Work(cube, todo, measures, device, engine, executor)
        with progress_bar(
            sum(run.settings.steps for run in todo.values()), "sweep", progress
        ) as bar:
            try:
                cube.attrs["engine"] = work.make(bar.update)
            except KeyboardInterrupt:
                warnings.warn("interrupted: the finished runs are kept", stacklevel=2)
        cube.warn_of_missing()
    return _with_optional(cube, runs)


def sweep_function(
    train: Callable[..., Any],
    *,
    executor: Any = None,
    resume: str | Path | None = None,
    progress: bool | None = None,
    **grid: Any,
) -> xr.Dataset:
    """Call a function of your own for every combination of the values given; return a cube.

    Parameters
    ----------
    train : callable
        Called with the plain values of a run by name, ``train(lr=0.1, seed=3)``.  It returns a
        number, a `History`, a data set, or a dict from names to numbers, arrays or (dims, array)
        pairs, of one shape and with the same coordinates in all runs.  It takes its randomness from
        its seed alone.
    executor : optional
        As in `sweep`; None stays in this process as long as starting others costs more.
    resume : str or Path, optional
        A store of finished runs, as in `sweep`.
    progress : bool, optional
        Show a bar; None decides by where it runs.
    **grid
        Sequences, which become dimensions, and values that all runs share.

    Returns
    -------
    xarray.Dataset
        What `train` returned, over the grid; ``finished`` says which runs are there.  What is
        missing is NaN, so whole numbers and bools become floats; a missing text is empty.

    Raises
    ------
    ValueError, TypeError
        A grid that cannot be, or a store that cannot be written.

    Examples
    --------
    >>> cube = sweep_function(lambda x: {"square": x ** 2}, x=[1, 2])
    >>> cube.square.values
    array([1, 4])
    """
    if not callable(train):
        raise TypeError(f"train must be a function, was {train!r:.80}")
    axes = axes_of(grid)
    specs = dict(specs_of(grid, axes))
    many, named = {axis.name for axis in axes}, getattr(train, "__qualname__", words(train))
    fixed = {n: words(v) for n, v in grid.items() if n not in many}
    with _kept(resume) as store:
        made_by = None
        if store is not None:
            code = fingerprint("function", train)
            made_by = {index: fingerprint(code, spec) for index, spec in specs.items()}
        cube = Assembly(axes, {}, {"function": named, "settings": fixed}, made_by, store)
        todo = {index: spec for index, spec in specs.items() if not cube.finished[index]}
        with progress_bar(len(todo), named, progress) as bar:
            try:
                collect = partial(_collect, cube, partial(_by_name, train))
                _by_time(collect, todo, executor, lambda index: bar.update())
            except KeyboardInterrupt:
                warnings.warn("interrupted: the finished runs are kept", stacklevel=2)
        cube.warn_of_missing()
    return cube.dataset()


def _by_name(train: Callable[..., Any], spec: Record) -> Any:
    """Make one run of a function; a module-level function, so that any process can call it."""
    with one_of_many():
        return train(**spec)


@contextmanager
def _kept(resume: str | Path | None) -> Iterator[Store | None]:
    store = None if resume is None else Store(resume)
    try:
        yield store
    finally:
        if store is not None:
            store.close()


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


def _start(factory: Factory, data: Data, device: Device) -> Record:
    """Check a model before any training; return its start under one seed."""
    model, twin = (seeded(factory, 0) for _ in range(2))
    if model is twin:
        raise ValueError("model must build a new model at every call, gave the same one twice")
    start, again = model.state_dict(), twin.state_dict()
    if start.keys() != again.keys() or any(not torch.equal(start[k], again[k]) for k in start):
        raise ValueError("model must start the same under the same torch seed, was different twice")
    kept = {name: value.clone() for name, value in start.items()}
    model = placed(model, device)
    check_model(model, data.to(next(model.parameters(), torch.zeros(1))))
    return kept


def _made_by(
    runs: Mapping[Index, Run], starts: Mapping[Any, Record], measures: Any
) -> dict[Index, str]:
    """Return the fingerprint of everything that makes each run."""
    versions = torch.__version__, np.__version__
    origins = {
        origin: fingerprint("sweep", versions, measures or {}, start)
        for origin, start in starts.items()
    }
    parts: dict[int, str] = {}
    made = {}
    for index, run in runs.items():
        for part in (run.factory, run.data):
            if id(part) not in parts:
                parts[id(part)] = fingerprint(part)
        origin = id(run.factory), id(run.data)
        plan = {f.name: getattr(run.settings, f.name) for f in fields(Settings)}
        made[index] = fingerprint(origins[origin], parts[origin[0]], parts[origin[1]], plan)
    return made


def _attributes(grid: Record, axes: Sequence[Axis], runs: Mapping[Index, Run]) -> Record:
    """Describe in words what all runs share."""
    first, many = next(iter(runs.values())), {axis.name for axis in axes}
    plan = {f.name: getattr(first.settings, f.name) for f in fields(Settings)}
    attrs: Record = {"settings": {n: words(v) for n, v in plan.items() if n not in many}}
    shared = {"model": grid["model"], "data": grid["data"]}
    return attrs | {name: words(value) for name, value in shared.items() if name not in many}


def _with_optional(cube: Assembly, runs: Mapping[Index, Run]) -> xr.Dataset:
    """Add the planned rates if any run took others, and the momentum if any schedule plans it."""
    result, steps = cube.dataset(), len(cube.coords["step"])
    for name, kept in cube.extra.items():
        if not kept:
            continue
        values = np.full((*cube.finished.shape, steps), np.nan)
        for index, run in runs.items():
            if index in kept:
                values[index] = kept[index]
            elif name == "planned" and isinstance(run.settings.rate, Schedule):
                values[index][: run.settings.steps] = run.settings.rate(
                    np.arange(run.settings.steps)
                )
        result[name] = (*cube.dims, "step"), values
    return result


class _Work:
    """The runs of a sweep that are still to be made, and how."""

    def __init__(
        self,
        cube: Assembly,
        todo: Mapping[Index, Run],
        measures: Mapping[str, Measure] | None,
        device: Device,
        engine: str,
        executor: Any,
    ) -> None:
        self.cube, self.todo, self.measures, self.device = cube, todo, measures or {}, device
        self.engine, self.executor = engine, executor

    def make(self, advance: Callable[[int], Any]) -> str:
        """Make them; return the names of the engines that did."""
        probes, groups, single = sort_runs(self.todo, self.engine, self.executor, self.device)
        parts = {"batched": groups, "executor": single}
        names = " and ".join(name for name, part in parts.items() if part)
        broken = self._train_stacks(probes, groups, advance)
        if self.engine == "auto" and broken:
            single += broken
            some = any(set(many) - set(broken) for g in groups.values() for many in g.values())
            names = "batched and executor" if some else "executor"
        self._train_singly(single, advance)
        return names

    def _train_stacks(
        self, probes: Mapping[Any, Probe], groups: Groups, advance: Callable[[int], Any]
    ) -> list[Index]:
        """Train the groups chunk by chunk and return the runs of chunks that broke."""
        if groups:
            keep_memory()
        broken: list[Index] = []
        for (origin, *_), by_seed in groups.items():
            probe, one = probes[origin], self.todo[next(iter(by_seed.values()))[0]]
            size = probe.runs_at_once(one.settings, len(one.data.x_train))
            plan = 4 * one.settings.steps * (one.settings.batch_size or 1)
            for seeds, indices in chunks(by_seed, size, PLAN_BYTES // plan):
                try:
                    self._train_chunk(probe, one, seeds, indices, advance)
                except Exception as error:
                    broken += indices
                    for index in indices:
                        self.cube.fail(index, error)
        return broken

    def _train_chunk(
        self,
        probe: Probe,
        one: Run,
        seeds: Sequence[int],
        indices: Sequence[Index],
        advance: Callable[[int], Any],
    ) -> None:
        assert probe.kind is not None
        settings = [self.todo[index].settings for index in indices]
        made = [placed(seeded(one.factory, seed), self.device) for seed in seeds]
        copies = [model for model in made for _ in range(len(indices) // len(seeds))]
        stack = probe.kind(copies, one.data.to(next(made[0].parameters())), len(seeds))
        checkpoint = None
        if self.cube.store is not None:
            together = fingerprint("stack", [self.cube.made_by[index] for index in indices])
            checkpoint = self.cube.store.checkpoint(together)
        records = batched.train(
            stack, settings, seeds, advance, measures=self.measures, checkpoint=checkpoint
        )
        self.cube.put(
            {
                index: self._placed(plan, record)
                for index, plan, record in zip(indices, settings, records, strict=True)
            }
        )
        if checkpoint is not None:
            checkpoint.drop()

    def _train_singly(self, single: Sequence[Index], advance: Callable[[int], Any]) -> None:
        """Make runs one by one, in this process as long as starting others costs more."""
        factories = {id(self.todo[i].factory): self.todo[i].factory for i in single}
        sets = {id(self.todo[i].data): self.todo[i].data for i in single}
        function = partial(
            _fit_one, list(factories.values()), list(sets.values()), self.device, self.measures
        )
        specs = {}
        for index in single:
            run = self.todo[index]
            plan = {f.name: getattr(run.settings, f.name) for f in fields(Settings)}
            where = list(factories).index(id(run.factory)), list(sets).index(id(run.data))
            specs[index] = (*where, plan)

        def placed_record(index: Index, record: Record) -> Record:
            return self._placed(self.todo[index].settings, record)

        collect = partial(_collect, self.cube, function, ready=placed_record)
        executor = self.executor
        if self.engine == "executor" and executor is None:
            executor = os.cpu_count() or 1
        _by_time(collect, specs, executor, lambda i: advance(self.todo[i].settings.steps))

    def _placed(self, plan: Settings, record: Record) -> Record:
        """Give a run's arrays the steps of the whole cube; what a shorter run lacks is NaN."""
        coords = self.cube.coords
        at = np.searchsorted(coords["eval_step"], plan.eval_steps)
        result: Record = {"diverged_at": ((), record["diverged_at"])}
        for name, values in record.items():
            if name == "diverged_at":
                continue
            marks = name in EVALUATED or name in self.measures
            dim, where = ("eval_step", at) if marks else ("step", slice(plan.steps))
            array = np.asarray(values)
            full = np.full((len(coords[dim]), *array.shape[1:]), np.nan)
            full[where] = array
            inner = [f"{name}_{i}" for i in range(array.ndim - 1)]
            result[name] = (dim, *inner), full
        rule = plan.rate
        if "used_momentum" not in result and plan.plans_momentum and isinstance(rule, Schedule):
            momentum = np.full(len(coords["step"]), np.nan)
            momentum[: plan.steps] = rule.momentum(np.arange(plan.steps))
            result["used_momentum"] = (
                "step",
                np.where(np.isnan(result["used"][1]), np.nan, momentum),
            )
        return result


def _fit_one(
    factories: Sequence[Factory],
    sets: Sequence[Data],
    device: Device,
    measures: Mapping[str, Measure],
    spec: tuple[int, int, Any],
) -> Record:
    """Make one run alone; a module-level function, so that any process can call it."""
    with one_of_many():
        history = fit(
            factories[spec[0]],
            sets[spec[1]],
            measures=measures,
            device=device,
            progress=False,
            **spec[2],
        )
    at = -1 if history.diverged_at is None else history.diverged_at
    record = {"loss": history.loss, "used": history.used, "diverged_at": at} | history.measures
    took = np.isfinite(history.used)
    if not np.array_equal(history.planned[took], history.used[took]):
        record["planned"] = history.planned
    if history.used_momentum is not None:
        record["used_momentum"] = history.used_momentum
    return record | {name: getattr(history, name) for name in EVALUATED}


def _collect(
    cube: Assembly,
    function: Callable[[Any], Any],
    specs: Mapping[Index, Any],
    executor: Any,
    advance: Callable[[Index], Any],
    ready: Callable[[Index, Any], Any] = lambda index, record: record,
) -> None:
    """Make runs, and put what they gave into the cube as they end."""
    indices = list(specs)
    for i, outcome in completed(function, list(specs.values()), executor):
        if isinstance(outcome, BaseException):
            cube.fail(indices[i], outcome)
        else:
            cube.put({indices[i]: ready(indices[i], outcome)})
        advance(indices[i])


def _by_time(
    collect: Callable[..., None],
    specs: Mapping[Index, Any],
    executor: Any,
    advance: Callable[[Index], Any],
) -> None:
    """Stay in this process, without an executor, as long as the rest takes less than a pool."""
    began, made, indices = time.monotonic(), 0, list(specs)
    while executor is None and made < len(specs):
        index = indices[made]
        collect({index: specs[index]}, "serial", advance)
        made += 1
        left = (time.monotonic() - began) / made * (len(specs) - made)
        if left > POOL_SECONDS and _travels(collect):
            break
    if rest := {index: specs[index] for index in indices[made:]}:
        collect(rest, executor, advance)


def _travels(collect: Any) -> bool:
    """Say whether a function can be sent to another process."""
    try:
        dumps(collect.args[1])
    except Exception:
        return False
    return True
