"""One-cycle and its rivals by rate and weight decay, after 600 updates, on clean and wrong labels.

The network and the data are those of `one_cycle`; 13 rates, 8 decays and 10 seeds: 10,400 runs.  It
takes about four minutes on one busy core and writes lrcourse/recorded/one_cycle_decay.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.one_cycle import train as at_one_decay
from experiments.recording import Grid, Part, main, of_stacks
from lrcourse.grids import round_rates

GRID: dict[str, Any] = {
    "labels": ["clean", "40 % random"],
    "schedule": ["one-cycle", "linear to zero", "cosine", "warmup-stable-decay", "constant"],
    "weight_decay": [0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
    "lr": round_rates(0.007, 0.7, 6),
    "seed": range(10),
    "steps": 600,
}
QUICK = GRID | {"weight_decay": [0.0, 0.01], "lr": GRID["lr"][:2], "seed": range(2), "steps": 20}
# At a low rate, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {
            "labels": ["clean"],
            "schedule": ["one-cycle", "constant"],
            "weight_decay": [0.003],
            "lr": GRID["lr"][:2],
            "seed": [3],
        },
        {"loss": 1e-2},
    )
]


def train(steps: int, **settings: Any) -> xr.Dataset:
    """Train under one schedule, at all decays, rates and seeds."""
    return at_one_decay(budget=steps, steps=steps, **settings)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over labels, schedule, weight_decay, lr, seed and half."""
    return of_stacks(train, grid, ["weight_decay", "lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=3)
