"""Adam with and without warmup: a deep network and a small encoder, by rate, warmup and seed.

The network, 64-128-128-128-10 with ReLU, takes batches of 128 digits; the encoder, two blocks of
width 16, reads a digit as eight rows of pixels, in batches of 32.  Every run makes 200 updates, the
warmup among them.  It takes about six minutes on one free core and writes
lrcourse/recorded/warmup.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.warmup import NETWORKS
from lrcourse.chapters.warmup import network as build
from lrcourse.data import digits
from lrcourse.grids import round_rates
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "network": ["Adam, deep network", "Adam, encoder"],
    "warmup_steps": [0, 6, 20, 60],
    "lr": round_rates(0.002, 0.15, 6),
    "seed": range(5),
    "steps": 200,
    "eval_every": 10,
}
QUICK = GRID | {"warmup_steps": [0, 20], "lr": GRID["lr"][2:10:3], "seed": range(2), "steps": 60}
# At low rates, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"network": [name], "warmup_steps": [20], "lr": GRID["lr"][:2], "seed": [1]},
        {"val_loss": tolerance},
    )
    for name, tolerance in (("Adam, deep network", 5e-3), ("Adam, encoder", 5e-3))
]


def train(network: str, warmup_steps: int, **settings: Any) -> xr.Dataset:
    """Train one network after one warmup, at all rates and seeds."""
    plan = NETWORKS[network] | settings | {"warmup_steps": warmup_steps}
    engine = "executor" if "BatchNorm" in network else "batched"  # whichever is faster here
    how = {"engine": engine, "executor": "serial", "progress": False}
    runs = sweep(build(network), digits(), **plan, **how)
    return light(runs, ["val_loss", "val_accuracy", "diverged_at"])


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over network, warmup_steps, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
