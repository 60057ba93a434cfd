"""Range tests that are too short, and range tests of networks that have trained before.

The tanh network of the first two tasks learns the digits by SGD and by Adam. A test makes 20 to
1,000 updates, or 200 after some updates of training; from there the network trains for 300 updates
at each of 25 constant rates, with ten starts.  It takes about four minutes on one busy core and
writes lrcourse/recorded/finder_traps.nc, 0.04 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from experiments import finder
from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.finder import TASKS, TRAPS, data_of, ready, trained
from lrcourse.finder import range_test
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "task": ["digits, SGD", "digits, Adam"],
    "trap": list(TRAPS),
    "lr": finder.GRID["lr"],
    "seed": range(10),
    "steps": 300,
}
QUICK = GRID | {"task": ["digits, SGD"], "trap": list(TRAPS)[:2], "lr": GRID["lr"][::6]}
SLICE: list[Part] = [
    (
        {
            "task": ["digits, SGD"],
            "trap": ["after 100 updates"],
            "lr": GRID["lr"][4:12:4],
            "seed": range(2),
        },
        {"val_loss": 5e-3},
    )
]


def started(task: str, updates: int) -> nn.Module:
    """Build a network that has trained for some updates, from the seed that torch has just got."""
    return trained(task, torch.initial_seed(), updates)


def train(task: str, trap: str, steps: int, lr: Any, seed: Sequence[int]) -> xr.Dataset:
    """Test one task in one way, and train it from there, at all rates and seeds."""
    what, (updates, before) = TASKS[task], TRAPS[trap]
    runs = sweep(
        partial(started, task, before),
        data_of(what.data),
        steps=steps,
        batch_size=what.batch_size,
        lr=lr,
        seed=seed,
        **what.settings,
        engine="batched",
        progress=False,
    )
    ends = light(runs, ["val_loss"])
    rules: dict[str, list[float]] = {}
    for start in seed:
        model, optimizer, loss, loader = ready(task, start)
        model.load_state_dict(trained(task, start, before).state_dict())
        found = range_test(model, optimizer, loss, loader, steps=updates, progress=False)
        for rule, one in found.suggestions().items():
            rules.setdefault(rule, []).append(one.lr or np.nan)
        losses = np.where(np.isfinite(found.loss), found.loss, np.inf)
        rules.setdefault("lowest loss", []).append(float(found.lr[losses.argmin()]))
    made = xr.DataArray(list(rules.values()), {"rule": list(rules), "seed": list(seed)})
    return ends.isel(eval_step=-1, drop=True).assign(
        first_loss=ends.val_loss.isel(eval_step=0, lr=0, drop=True),
        suggested=made.astype(np.float32),
    )


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over task, trap, rule, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
