"""One-cycle and its rivals under budgets of 20 to 600 updates, on clean and on wrong labels.

A 64-32-10 network with tanh learns the digits in batches of 32, with SGD and momentum, at 14 rates
and with 10 seeds: 8,960 runs.  It takes about two minutes on one busy core and writes
lrcourse/recorded/one_cycle.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, ends_on_halves, halves, light, main, of_stacks
from lrcourse.chapters.one_cycle import BATCH, rivals
from lrcourse.data import digits, mislabelled
from lrcourse.grids import round_rates
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "labels": ["clean", "40 % random"],
    "budget": [20, 60, 200, 600],
    "schedule": list(rivals(20)),
    "lr": round_rates(0.007, 1, 6),
    "seed": range(10),
    "steps": 600,  # of the longest run
}
QUICK = GRID | {"budget": [20], "lr": GRID["lr"][6:8], "seed": range(2), "steps": 20}
# At a low rate, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"labels": ["40 % random"], "budget": [60], "lr": GRID["lr"][:2], "seed": [3]},
        {"loss": 5e-3},
    )
]


def ended(runs: xr.Dataset) -> xr.Dataset:
    """Return loss and mistakes on the two halves of the validation digits when runs end."""
    loss, wrong = ends_on_halves(runs.transpose(*runs.diverged_at.dims, ...))
    kept = xr.Dataset({"loss": loss, "mistakes": 100 * wrong}).where(runs.diverged_at < 0)
    return light(runs.assign(kept), [*kept, "diverged_at"])


def train(labels: str, budget: int, schedule: str, steps: int, **settings: Any) -> xr.Dataset:
    """Train under one schedule and budget, at all rates and seeds."""
    data = digits() if labels == "clean" else mislabelled(digits(), 0.4)
    steps = min(budget, steps)
    plan, momentum = rivals(steps)[schedule]
    fixed = {} if momentum is None else {"momentum": momentum}
    how = {"measures": {"halves": halves}, "engine": "batched", "progress": False}
    return ended(
        sweep(mlp, data, schedule=plan, steps=steps, batch_size=BATCH, **settings, **fixed, **how)
    )


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over labels, budget, schedule, lr, seed and half."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=3)
