"""The first 60 updates with and without warmup: loss and curvature, for Adam, its cures and SGD.

The network of warmup.py; ``lrcourse.chapters.warmup.STARTS`` lists the ways to start.  It takes
about a minute on one free core and writes lrcourse/recorded/warmup_causes.nc, 0.05 MB.
"""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main
from lrcourse.chapters.warmup import STARTS, first_steps
from lrcourse.sweeps import sweep_function

PROBES = [0, 1, 3, 8, 20, 59]
GRID: dict[str, Any] = {
    "start": [name for name in STARTS if name != "larger ε"],
    "lr": [0.05, 0.3],
    "seed": range(3),
    "steps": 60,
}
QUICK = GRID | {"start": ["no warmup", "RAdam"], "lr": [0.05], "seed": range(2), "steps": 5}
# SGD at a low rate, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"start": ["SGD without warmup", "SGD with warmup"], "lr": [0.05], "seed": [1]},
        {"loss": 0.02, "size": 0.02},
    )
]


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over start, lr and seed."""
    probes = [t for t in PROBES if t < grid["steps"]]
    probed = update_wrapper(partial(first_steps, probes=probes), first_steps)
    cube = sweep_function(probed, **grid, **options).assign_coords(probe=probes)
    names = ["loss", "size", "sharpness", "share", "diverged_at", "finished"]
    return light(cube, names)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
