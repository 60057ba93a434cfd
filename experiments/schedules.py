"""Digits under eleven schedules, in four worlds: batches of 4 or 64, labels clean or 40 % random.

A network of 2,410 weights, 64-32-10 with tanh, makes 1,400 updates of plain SGD, at 16 rates and
with 8 seeds: 5,632 runs.  It takes about ten minutes on two cores and writes
lrcourse/recorded/schedules.nc, 0.6 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, ends_on_halves, halves, light, main, of_stacks
from lrcourse.chapters.schedules import shapes
from lrcourse.data import digits, mislabelled
from lrcourse.grids import round_rates
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "data": ["clean", "40 % random"],
    "batch_size": [4, 64],
    "schedule": shapes(1400),
    "lr": round_rates(0.01, 3, 6),
    "seed": range(8),
    "steps": 1400,
    "eval_every": 100,
}
QUICK = GRID | {
    "schedule": shapes(200),
    "lr": GRID["lr"][7:9],
    "seed": range(2),
    "steps": 200,
}
# Over 1,400 updates rounding grows to less than a hundredth of the loss.
SLICE: list[Part] = [
    (
        {
            "schedule": {name: GRID["schedule"][name] for name in ("constant", "warm restarts")},
            "lr": GRID["lr"][2:3],
            "seed": [3],
        },
        {"val_loss": 1e-2, "used": 1e-6},
    )
]


def train(data: str, **settings: Any) -> xr.Dataset:
    """Train under one schedule in one world, at all rates and seeds."""
    labels = digits() if data == "clean" else mislabelled(digits(), 0.4)
    runs = sweep(
        mlp, labels, **settings, measures={"halves": halves}, engine="batched", progress=False
    )
    runs["half_loss"], runs["half_mistakes"] = ends_on_halves(runs)
    kept = light(runs, ["val_loss", "val_accuracy", "diverged_at", "half_loss", "half_mistakes"])
    some = [*range(0, runs.step.size, 20), runs.step.size - 1]
    return kept.assign(used=runs.used.isel(step=some).max("seed"))  # the same for all seeds


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over data, batch_size, schedule, lr and seed."""
    cube = of_stacks(train, grid, ["lr", "seed"], **options)
    return cube.assign(used=cube.used.max(["data", "batch_size"]))


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK)
