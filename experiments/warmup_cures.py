"""Warmup beside what cures its cause: accuracy and size of the updates, by rate.

The network of warmup.py under Adam, for 200 updates; ``lrcourse.chapters.warmup.STARTS`` lists the
ways to start.  It takes about four minutes on one free core and writes
lrcourse/recorded/warmup_cures.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main
from lrcourse.chapters.warmup import STARTS, first_steps
from lrcourse.sweeps import sweep_function

GRID: dict[str, Any] = {
    "start": [name for name in STARTS if "SGD" not in name],
    "lr": [0.005, 0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.3],
    "seed": range(5),
    "steps": 200,
}
QUICK = GRID | {"start": ["no warmup", "RAdam"], "lr": [0.01], "seed": range(2), "steps": 20}
# A long run magnifies rounding: sizes of single updates part first.
SLICE: list[Part] = [
    ({"start": ["no warmup", "RAdam"], "lr": GRID["lr"][:1], "seed": [1]}, {"val_accuracy": 0.01})
]


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over start, lr and seed."""
    cube = sweep_function(first_steps, **grid, **options)
    return light(cube, ["size", "val_accuracy", "diverged_at", "finished"])


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
