"""Ten batch sizes under three budgets, for three optimizers, at 25 rates and with 5 seeds.

A 64-32-10 network learns 1,024 digits at a rate that falls linearly to 0.  The budgets are 4 and 16
epochs, which are as many samples for every batch size, and 128 updates.  It takes about six minutes
on one core and writes lrcourse/recorded/batch_size.nc, 0.1 MB.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.batch_size import BUDGETS, METHODS, images, updates
from lrcourse.grids import round_rates
from lrcourse.models import mlp
from lrcourse.schedules import Polynomial
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "budget": BUDGETS,
    "optimizer": list(METHODS),
    "batch_size": [2**k for k in range(1, 11)],
    "lr": round_rates(0.001, 10, 6).tolist(),
    "seed": range(5),
    "steps": 128,
}
QUICK = GRID | {
    "budget": ["4 epochs", "128 updates"],
    "optimizer": ["SGD"],
    "batch_size": [16, 128],
    "seed": range(2),
}
# Rates up to 0.02, where rounding is not magnified; four digits are kept.
SLICE: list[Part] = [
    (
        {
            "budget": ["4 epochs", "128 updates"],
            "optimizer": ["SGD", "Adam"],
            "batch_size": [32, 256],
            "lr": GRID["lr"][:9],
            "seed": range(2),
        },
        {"val_loss": 2e-3, "train_loss": 2e-3},
    )
]


def train(budget: str, optimizer: str, batch_size: int, steps: int, **grid: Any) -> xr.Dataset:
    """Train one method at one batch size under one budget, at all rates and seeds."""
    needed = updates(budget, batch_size) if "epochs" in budget else steps
    runs = sweep(
        mlp,
        images(),
        batch_size=batch_size,
        steps=needed,
        schedule=partial(Polynomial, 1.0),
        **METHODS[optimizer],
        **grid,
        engine="batched",
        progress=False,
    )
    kept = light(runs, ["val_loss", "train_loss", "diverged_at"])
    return kept.isel(eval_step=-1, drop=True)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over budget, optimizer, batch size, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
