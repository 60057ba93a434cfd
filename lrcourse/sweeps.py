"""Every experiment a labelled cube: one call trains a grid of runs.

A hyperparameter given as a sequence becomes a dimension of the returned ``xarray.Dataset``.  Small
models train together as one computation; others, and any function of your own, run through an
executor.  Either way a run of the cube is the run that ``training.fit`` makes alone, up to float
rounding.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from lrcourse._checks import choice
from lrcourse.data import Data
from lrcourse.engine import threads
from lrcourse.engine.assembly import Assembly
from lrcourse.engine.executors import check_executor
from lrcourse.engine.fingerprint import fingerprint
from lrcourse.engine.measures import Measure, checked
from lrcourse.engine.planning import Device
from lrcourse.engine.running import (
    MAY_BE_ABSENT,
    Factory,
    Run,
    Work,
    by_name,
    by_time,
    check_optimizer,
    collect,
    fitted,
    made_by,
    start_of,
)
from lrcourse.engine.store import Store
from lrcourse.grids import Axis, Index, Record, axes_of, known, specs_of, stable_repr
from lrcourse.schedules import Schedule
from lrcourse.settings import SETTINGS, Settings, takes_settings
from lrcourse.training import progress_bar

__all__ = ["sweep", "sweep_function"]


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
    The batched engine works on stacks of about 32 MB, 256 MB on a GPU, or one run, and on plans of
    their batches and rates of about 128 MB each, or one seed.  Besides it holds the cube: 16 bytes
    for each run and update, at most half of the memory.  It takes no ``ReduceOnPlateau`` and no
    optimizer given as a function.  Ctrl-C returns what is finished; with `resume` a stack under way
    goes on later from where it was half a minute before, or when Ctrl-C came.

    A stack adds up in another order than a run alone, so that the two differ by rounding.  Batch
    normalisation at a high rate magnifies it: in single precision, accuracies after 200 updates
    parted by up to 0.17, as they do when one weight of the start moves by its last digit; in double
    precision they agree.

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
    check_executor(executor)
    measures = checked(measures)
    if "steps" not in settings:
        raise TypeError("steps must be given: the number of updates of a run")
    grid = {"model": model, "data": data} | settings
    axes = axes_of(grid)
    _refuse_too_large(axes, settings["steps"])
    runs = {index: Run.of(spec) for index, spec in specs_of(grid, axes)}
    with threads.that_pay():
        origins = {key_of(run): run for run in runs.values()}
        starts = {key: start_of(run.factory, run.data, device) for key, run in origins.items()}
        rules = {
            (*key_of(run), id(run.settings.optimizer), run.settings.plans_momentum): run
            for run in runs.values()
        }
        for run in rules.values():
            check_optimizer(run)
        return _make(grid, axes, runs, starts, measures, engine, executor, device, resume, progress)


def _make(
    grid: Record,
    axes: Sequence[Axis],
    runs: Mapping[Index, Run],
    starts: Mapping[Any, Record],
    measures: Mapping[str, Measure],
    engine: str,
    executor: Any,
    device: Device,
    resume: str | Path | None,
    progress: bool | None,
) -> xr.Dataset:
    """Make the runs that are not in the store, and return the cube of all."""
    plans = [run.settings for run in runs.values()]
    coords = {
        "step": np.arange(max(p.steps for p in plans)),
        "eval_step": np.unique(np.concatenate([p.eval_steps for p in plans])),
    }
    attrs = _attributes(grid, axes, runs)
    with _kept(resume) as store:
        names = None if store is None else made_by(runs, starts, measures)
        cube = Assembly(axes, coords, attrs, names, store, MAY_BE_ABSENT, fitted(runs, coords))
        todo = {index: run for index, run in runs.items() if not cube.finished[index]}
        work = Work(cube, todo, measures, device, engine, executor)
        with progress_bar(
            sum(run.settings.steps for run in todo.values()), "sweep", progress
        ) as bar:
            try:
                cube.attrs["engine"] = work.make(bar.update)
            except KeyboardInterrupt:
                warnings.warn("interrupted: the finished runs are kept", stacklevel=3)
        cube.warn_of_missing(4)
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
    check_executor(executor)
    axes = axes_of(grid)
    specs = dict(specs_of(grid, axes))
    many, named = {axis.name for axis in axes}, getattr(train, "__qualname__", stable_repr(train))
    fixed = {n: stable_repr(v) for n, v in grid.items() if n not in many}
    with _kept(resume) as store:
        names = None
        if store is not None:
            code = fingerprint("function", train)
            names = {index: fingerprint(code, spec) for index, spec in specs.items()}
        cube = Assembly(axes, {}, {"function": named, "settings": fixed}, names, store)
        todo = {index: spec for index, spec in specs.items() if not cube.finished[index]}
        with progress_bar(len(todo), named, progress) as bar:
            try:
                put = partial(collect, cube, partial(by_name, train))
                by_time(put, todo, executor, lambda index: bar.update())
            except KeyboardInterrupt:
                warnings.warn("interrupted: the finished runs are kept", stacklevel=2)
        cube.warn_of_missing()
    return cube.dataset()


@contextmanager
def _kept(resume: str | Path | None) -> Iterator[Store | None]:
    store = None if resume is None else Store(resume)
    try:
        yield store
    finally:
        if store is not None:
            store.close()


def key_of(run: Run) -> tuple[int, int]:
    """Return what runs of one model and one data set have in common."""
    return id(run.factory), id(run.data)


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


def _attributes(grid: Record, axes: Sequence[Axis], runs: Mapping[Index, Run]) -> Record:
    """Describe in words what all runs share."""
    first, many = next(iter(runs.values())), {axis.name for axis in axes}
    plan = {f.name: getattr(first.settings, f.name) for f in fields(Settings)}
    attrs: Record = {"settings": {n: stable_repr(v) for n, v in plan.items() if n not in many}}
    shared = {"model": grid["model"], "data": grid["data"]}
    return attrs | {name: stable_repr(value) for name, value in shared.items() if name not in many}


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
            elif name == "planned" and isinstance(run.settings.full_schedule, Schedule):
                values[index][: run.settings.steps] = run.settings.full_schedule(
                    np.arange(run.settings.steps)
                )
        result[name] = (*cube.dims, "step"), values
    return result
