"""The runs of a sweep that are still to be made, and how: in stacks, alone, here or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lrcourse.data import Data
from lrcourse.drivers import drive
from lrcourse.engine import batched, threads
from lrcourse.engine.assembly import Assembly
from lrcourse.engine.executors import completed, dumps
from lrcourse.engine.fingerprint import fingerprint
from lrcourse.engine.measures import Measure
from lrcourse.engine.memory import keep_memory
from lrcourse.engine.planning import PLAN_BYTES, Device, Groups, Probe, chunks, sort_runs
from lrcourse.engine.store import Kept
from lrcourse.grids import Index, Record
from lrcourse.randomness import batches, seeded
from lrcourse.schedules import Schedule
from lrcourse.settings import Settings
from lrcourse.training import EVALUATED, check_model, fit, one_of_many, placed

POOL_SECONDS = 20.0
MAY_BE_ABSENT = ("planned", "used_momentum")

Factory = Callable[[], nn.Module]


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


def start_of(factory: Factory, data: Data, device: Device) -> Record:
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


def check_optimizer(run: Run) -> None:
    """Build once the optimizer that a function makes, and see that the schedule can drive it."""
    if callable(run.settings.optimizer):
        model = seeded(run.factory, 0)
        with drive(run.settings.make_optimizer(model.parameters()), run.settings.full_schedule):
            pass


def made_by(
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


class Work:
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
                    with threads.that_pay():
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
        for plan, record in zip(settings, records, strict=True):
            if plan.plans_momentum and isinstance(plan.full_schedule, Schedule):
                momentum = plan.full_schedule.momentum(np.arange(plan.steps))
                record["used_momentum"] = np.where(np.isnan(record["used"]), np.nan, momentum)
        self.cube.put(
            {
                index: labelled(record, self.measures)
                for index, record in zip(indices, records, strict=True)
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

        put = partial(collect, self.cube, function, ready=partial(labelled, measures=self.measures))
        executor = self.executor
        if self.engine == "executor" and executor is None:
            executor = -1
        by_time(put, specs, executor, lambda i: advance(self.todo[i].settings.steps))


def labelled(record: Record, measures: Collection[str]) -> Record:
    """Return the arrays of a run with the names of their dimensions."""
    result: Record = {"diverged_at": ((), record["diverged_at"])}
    for name, values in record.items():
        if name != "diverged_at":
            array = np.asarray(values)
            inner = [f"{name}_{i}" for i in range(array.ndim - 1)]
            first = "eval_step" if name in EVALUATED or name in measures else "step"
            result[name] = (first, *inner), array
    return result


def fitted(runs: Mapping[Index, Run], coords: Mapping[str, Any]) -> Callable[[Index, Kept], Kept]:
    """Return what gives the record of a run the steps of its cube; what a shorter one lacks is NaN.

    Parameters
    ----------
    runs : mapping of index to Run
    coords : mapping of str to array
        ``step`` and ``eval_step`` of the cube.
    """

    def fit_in(index: Index, record: Kept) -> Kept:
        plan = runs[index].settings
        places = {
            "step": np.arange(plan.steps),
            "eval_step": np.searchsorted(coords["eval_step"], plan.eval_steps),
        }
        result = {}
        for name, (dims, array) in record[0].items():
            if dims and dims[0] in places:
                full = np.full((len(coords[dims[0]]), *array.shape[1:]), np.nan)
                full[places[dims[0]]] = array
                array = full
            result[name] = dims, array
        return result, {}

    return fit_in


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


def collect(
    cube: Assembly,
    function: Callable[[Any], Any],
    specs: Mapping[Index, Any],
    executor: Any,
    advance: Callable[[Index], Any],
    ready: Callable[[Any], Any] = lambda record: record,
) -> None:
    """Make runs, and put what they gave into the cube as they end."""
    indices = list(specs)
    for i, outcome in completed(function, list(specs.values()), executor):
        if isinstance(outcome, BaseException):
            cube.fail(indices[i], outcome)
        else:
            cube.put({indices[i]: ready(outcome)})
        advance(indices[i])


def by_time(
    put: Callable[..., None],
    specs: Mapping[Index, Any],
    executor: Any,
    advance: Callable[[Index], Any],
) -> None:
    """Stay in this process, without an executor, as long as the rest takes less than a pool.

    The first run also waits for imports that the others find made: it counts only if it is long.
    """
    indices: list[Index] = list(specs)
    took: list[float] = []
    while executor is None and len(took) < len(specs):
        index, began = indices[len(took)], time.monotonic()
        put({index: specs[index]}, "serial", advance)
        took.append(time.monotonic() - began)
        known = took[1:] or [seconds for seconds in took if seconds > POOL_SECONDS]
        left = sum(known) / max(len(known), 1) * (len(specs) - len(took))
        if left > POOL_SECONDS and _travels(put):
            break
    if rest := {index: specs[index] for index in indices[len(took) :]}:
        put(rest, executor, advance)


def _travels(put: Any) -> bool:
    """Say whether a function can be sent to another process."""
    try:
        dumps(put.args[1])
    except Exception:
        return False
    return True


def by_name(train: Callable[..., Any], spec: Record) -> Any:
    """Make one run of a function; a module-level function, so that any process can call it."""
    with one_of_many():
        return train(**spec)
