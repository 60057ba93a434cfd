"""Range tests with batches of four sizes, and whole trainings with them.

The tanh network of the first two tasks learns the digits by SGD and by Adam.  From each of ten
starts there is a range test at 200 rising rates, and 300 updates at each of 25 constant rates.  It
takes about two minutes on one busy core and writes lrcourse/recorded/finder_batches.nc, 0.05 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from experiments import finder, finder_tests
from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.finder import TASKS, data_of, ready
from lrcourse.finder import range_test
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "task": ["digits, SGD", "digits, Adam"],
    "batch_size": [4, 16, 64, 256],
    "lr": finder.GRID["lr"],
    "seed": range(10),
    "steps": 300,
}
QUICK = GRID | {"task": ["digits, SGD"], "batch_size": [64], "lr": GRID["lr"][::6]}
SLICE: list[Part] = [
    (
        {
            "task": ["digits, SGD"],
            "batch_size": [64],
            "lr": GRID["lr"][4:12:4],
            "seed": range(2),
        },
        {"val_loss": 5e-3},
    )
]


def train(task: str, batch_size: int, steps: int, lr: Any, seed: Sequence[int]) -> xr.Dataset:
    """Test and train one task with one batch size, at all rates and seeds."""
    what, rates = TASKS[task], finder_tests.GRID["lr"]
    runs = sweep(
        what.factory,
        data_of(what.data),
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        **what.settings,
        engine="batched",
        progress=False,
    )
    ends = light(runs, ["val_loss"]).isel(eval_step=-1, drop=True)
    losses = np.full((len(rates), len(seed)), np.nan, np.float32)
    for k, start in enumerate(seed):
        found = range_test(
            *ready(task, start, batch_size),
            low=rates[0],
            high=rates[-1],
            steps=len(rates),
            progress=False,
        )
        losses[: len(found.loss), k] = np.where(np.isfinite(found.loss), found.loss, np.nan)
    return ends.assign_coords(rate=rates).assign(test=(("rate", "seed"), losses))


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over task, batch size, lr, rate and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
