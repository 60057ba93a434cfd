"""Which runs of a sweep train together, and which alone.

``Probe`` builds a model once and says how it can be stacked.  ``sort_runs`` parts runs into groups
that one stack can hold and single ones; ``chunks`` cuts a group into stacks of a bounded size.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from lrcourse.data import Data
from lrcourse.engine import batched, stacks
from lrcourse.engine.stacks import Stack, Unbatchable
from lrcourse.grids import Index
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.randomness import seeded
from lrcourse.settings import Settings

CHUNK_BYTES = {"cpu": 32 * 2**20, "cuda": 2**28}
PLAN_BYTES = 2**27
MAPPED_WEIGHTS = 3000

Device = str | torch.device | None
Groups = dict[tuple[Any, ...], dict[int, list[Index]]]


class Planned(Protocol):
    """One run: how to build its model, its data and its settings."""

    @property
    def factory(self) -> Callable[[], nn.Module]: ...  # noqa: D102

    @property
    def data(self) -> Data: ...  # noqa: D102

    @property
    def settings(self) -> Settings: ...  # noqa: D102


@dataclass(frozen=True)
class Probe:
    """What a model tells about itself: how it can be stacked, or why not, and its size.

    Attributes
    ----------
    kind : type[Stack] | None
        The stack that holds it, None where none can.
    why : str
        Why none can.
    weights, per_row, bytes : int
        Numbers in its weights, numbers it computes for a row, bytes of a number.
    place : str
        Type of the device of its weights.
    """

    kind: type[Stack] | None
    why: str
    weights: int
    per_row: int
    bytes: int
    place: str

    @classmethod
    def of(cls, run: Planned, device: Device) -> Probe:
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
        """Return how many runs fit in a chunk: weights, gradients, state and activations.

        Parameters
        ----------
        settings : Settings
            Of one of the runs; they agree in steps and batch size.
        rows : int
            Rows of the training data.
        """
        batch = rows if settings.batch_size is None else settings.batch_size
        assess = max(batch, batched.EVAL_ROWS)
        numbers = 3 * self.weights + self.per_row * (2 * batch + assess)
        room = CHUNK_BYTES.get(self.place, 2**28) // (self.bytes * numbers)
        return max(1, min(room, PLAN_BYTES // (8 * self.bytes * settings.steps)))


def sort_runs(
    runs: Mapping[Index, Planned], engine: str, executor: Any, device: Device
) -> tuple[dict[Any, Probe], Groups, list[Index]]:
    """Part the runs into groups that can be stacked, by seed, and those that go alone.

    Parameters
    ----------
    runs : mapping of index to Planned
    engine : {"auto", "batched", "executor"}
    executor : Any
        With "auto", any but None sends every run there.
    device : str, torch.device or None

    Returns
    -------
    probes : dict
        From an origin, the identities of factory and data, to its `Probe`.
    groups : dict
        From a key that begins with an origin to a dict from seed to the runs' indices.
    single : list of index

    Raises
    ------
    ValueError
        A run that engine="batched" cannot hold, and why.
    """
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
        if engine == "batched" and why:
            raise ValueError(f"engine 'batched' cannot hold {run.factory!r:.60}: {why}")
        if why or (engine == "auto" and not probes[origin].pays()):
            single.append(index)
        else:
            key = (p.optimizer, p.nesterov, p.batch_size, p.steps, p.eval_every)
            groups[(origin, *key)][p.seed].append(index)
    return probes, groups, single


def chunks(
    by_seed: Mapping[int, list[Index]], size: int, seeds_at_once: int
) -> Iterator[tuple[list[int], list[Index]]]:
    """Yield (seeds, runs seed by seed) of about `size` runs, with equally many for each seed.

    Parameters
    ----------
    by_seed : mapping of seed to the indices of its runs
    size : int
        Runs of a chunk.
    seeds_at_once : int
        Most seeds in a chunk.
    """
    alike = defaultdict(list)
    for seed, indices in by_seed.items():
        alike[len(indices)].append(seed)
    for count, seeds in alike.items():
        together = max(1, min(size // count, seeds_at_once))
        for part in np.array_split(seeds, math.ceil(len(seeds) / together)):
            for piece in np.array_split(np.arange(count), math.ceil(count * len(part) / size)):
                yield part.tolist(), [by_seed[seed][i] for seed in part for i in piece]
