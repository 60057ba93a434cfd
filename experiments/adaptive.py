"""Seven optimizers on nine tasks, each at 43 rates and with 5 seeds, for 600 updates.

The tasks differ in what a rate has to cope with: depth, the units of the inputs, features of
unequal frequency.  Every method gets the same rates, from 1e-5 to 100, the same starts and the same
batches.  It takes about 17 minutes on two cores and writes lrcourse/recorded/adaptive.nc, 1.0 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.adaptive import METHODS, TASKS
from lrcourse.chapters.adaptive import task as build
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "task": TASKS,
    "optimizer": list(METHODS),
    "lr": [float(f"{10 ** (k / 6 - 5):.6g}") for k in range(43)],
    "seed": range(5),
    "steps": 600,
    "eval_every": 25,
    "batch_size": 32,
}
QUICK = GRID | {
    "task": ["digits", "tumours, standardised"],
    "optimizer": ["SGD", "AdaGrad"],
    "lr": GRID["lr"][:19],
    "seed": range(2),
}
# Rates up to 0.001, where rounding is not magnified; four digits are kept.
SLICE: list[Part] = [
    (
        {
            "task": ["digits"],
            "optimizer": ["SGD", "Nesterov", "AdaGrad", "Adam"],
            "lr": GRID["lr"][:13],
            "seed": range(2),
            "steps": 100,
        },
        {"val_loss": 2e-3, "train_loss": 2e-3},
    )
]


def train(task: str, optimizer: str, **settings: Any) -> xr.Dataset:
    """Train one method on one task, at all rates and seeds."""
    model, data = build(task)
    plan = METHODS[optimizer] | settings
    runs = sweep(model, data, **plan, engine="batched", progress=False)
    kept = light(runs, ["val_loss", "train_loss", "val_accuracy", "diverged_at"])
    return kept.assign(val_accuracy=kept.val_accuracy.isel(eval_step=-1, drop=True))


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over task, optimizer, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
