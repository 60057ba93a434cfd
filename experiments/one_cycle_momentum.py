"""Linear one-cycle with the momentum fixed, moved against the rate, or with it, by budget and rate.

The network and the data are those of `one_cycle`, with clean labels; 17 rates and 10 seeds: 6,800
runs.  It takes about two minutes on one busy core and writes
lrcourse/recorded/one_cycle_momentum.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.one_cycle import ended
from experiments.recording import Grid, Part, halves, main, of_stacks
from lrcourse.chapters.one_cycle import BATCH, moves
from lrcourse.data import digits
from lrcourse.grids import round_rates
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "budget": [20, 60, 200, 600],
    "plan": list(moves(20)),
    "lr": round_rates(0.01, 5, 6),
    "seed": range(10),
    "steps": 600,  # of the longest run
}
QUICK = GRID | {"budget": [20], "lr": GRID["lr"][6:8], "seed": range(2), "steps": 20}
# At a low rate, where rounding is not magnified.
SLICE: list[Part] = [({"budget": [60], "lr": GRID["lr"][:2], "seed": [3]}, {"loss": 5e-3})]


def train(budget: int, plan: str, steps: int, **settings: Any) -> xr.Dataset:
    """Train with one plan of the momentum and one budget, at all rates and seeds."""
    steps = min(budget, steps)
    schedule, momentum = moves(steps)[plan]
    fixed = {} if momentum is None else {"momentum": momentum}
    how = {"measures": {"halves": halves}, "engine": "batched", "progress": False}
    run = {"schedule": schedule, "steps": steps, "batch_size": BATCH}
    return ended(sweep(mlp, digits(), **run, **settings, **fixed, **how))


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over budget, plan, lr, seed and half."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=3)
