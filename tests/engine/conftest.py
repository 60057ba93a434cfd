"""What the engine's tests share: runs trained as stacks, and the same runs made alone."""

from dataclasses import dataclass, fields
from itertools import product

import numpy as np
import pytest
import torch

from lrcourse.engine import batched, planning
from lrcourse.randomness import seeded
from lrcourse.settings import Settings
from lrcourse.training import fit

NAMES = [f.name for f in fields(Settings)]
MARKS = ("loss", "train_loss", "val_loss", "val_accuracy")


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny products gain nothing from a second thread, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(eq=False)
class Run:
    factory: object
    data: object
    settings: Settings


def runs_of(model, data, **grid):
    """Every combination of the values that stand in lists."""
    lists = {n: v if isinstance(v, list) else [v] for n, v in grid.items()}
    specs = (dict(zip(lists, values, strict=True)) for values in product(*lists.values()))
    return {(i,): Run(model, data, Settings(**spec)) for i, spec in enumerate(specs)}


def train_batched(model, data, *, device=None, size=None, **grid):
    """Train as a sweep does, in stacks; return settings and records in the grid's order."""
    options = {n: grid.pop(n) for n in ("measures", "checkpoint", "advance") if n in grid}
    runs = runs_of(model, data, **grid)
    probes, groups, single = planning.sort_runs(runs, "batched", None, device)
    assert not single
    records = {}
    for (origin, *_), by_seed in groups.items():
        probe, one = probes[origin], runs[next(iter(by_seed.values()))[0]]
        room = size or probe.runs_at_once(one.settings, len(data.x_train))
        for seeds, indices in planning.chunks(by_seed, room, 99):
            made = [seeded(model, seed).to(device) for seed in seeds]
            copies = [m for m in made for _ in range(len(indices) // len(seeds))]
            stack = probe.kind(copies, data.to(next(made[0].parameters())), len(seeds))
            settings = [runs[i].settings for i in indices]
            records |= dict(
                zip(indices, batched.train(stack, settings, seeds, **options), strict=True)
            )
    return [(runs[i].settings, records[i]) for i in runs]


def train_alone(model, data, settings, **options):
    chosen = {n: getattr(settings, n) for n in NAMES}
    return fit(seeded(model, settings.seed), data, **chosen, **options)


def assert_equal(record, history, tolerance):
    for name in MARKS:
        np.testing.assert_allclose(
            record[name], getattr(history, name), rtol=tolerance, atol=tolerance
        )
    assert np.array_equal(record["used"], history.used, equal_nan=True)
    assert record["diverged_at"] == (-1 if history.diverged_at is None else history.diverged_at)


@pytest.fixture(scope="session")
def trained():
    return train_batched


@pytest.fixture(scope="session")
def alone():
    return train_alone


@pytest.fixture(scope="session")
def same_as_alone():
    """Train a grid in stacks, compare every run with fit, and return the records."""

    def check(model, data, tolerance, **grid):
        pairs = train_batched(model, data, **grid)
        for settings, record in pairs:
            assert_equal(record, train_alone(model, data, settings), tolerance)
        return [record for _, record in pairs]

    return check
