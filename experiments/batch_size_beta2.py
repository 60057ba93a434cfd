"""Adam with seven half-lives of its second moment at five batch sizes, 19 rates, 5 seeds.

A 64-32-10 network learns 1,024 digits for 8 epochs at a rate that falls linearly to 0.  A half-life
of h updates is a beta2 of 2 ** (-1/h), from 0.5 to 0.9998.  It takes eight minutes on one busy core
and writes lrcourse/recorded/batch_size_beta2.nc, 0.03 MB.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.batch_size import images
from lrcourse.grids import round_rates
from lrcourse.models import mlp
from lrcourse.schedules import Polynomial
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "half_life": [4**k for k in range(7)],
    "batch_size": [4**k for k in range(5)],
    "lr": round_rates(0.0003, 0.3, 6).tolist(),
    "seed": range(5),
    "steps": 8192,
}
QUICK = GRID | {"half_life": [1, 64], "batch_size": [64], "seed": range(2)}
# Rates up to 0.007, where rounding is not magnified; four digits are kept.
SLICE: list[Part] = [
    (
        {"half_life": [4, 256], "batch_size": [64], "lr": GRID["lr"][:9], "seed": range(2)},
        {"val_loss": 5e-3},
    )
]


def train(half_life: int, batch_size: int, steps: int, **grid: Any) -> xr.Dataset:
    """Train Adam at one half-life and batch size; `steps` are those of a batch of one."""
    runs = sweep(
        mlp,
        images(),
        optimizer="adam",
        betas=(0.9, 2 ** (-1 / half_life)),
        batch_size=batch_size,
        steps=steps // batch_size,
        schedule=partial(Polynomial, 1.0),
        **grid,
        engine="batched",
        progress=False,
    )
    return light(runs, ["val_loss", "diverged_at"]).isel(eval_step=-1, drop=True)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over half-life, batch size, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
