"""Loss and sharpness with all digits at every update, at rates from 0.5/λ₀ to 100/λ₀.

A 64-256-10 network with ReLU learns the digits by the mean squared error; λ₀ is its sharpness
before the first update.  It took 13 minutes on one busy core and writes
lrcourse/recorded/generalization_catapult.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main
from lrcourse.chapters.generalization import catapult
from lrcourse.sweeps import sweep_function

GRID: dict[str, Any] = {
    "lr": [0.5, 1.0, 1.5, 1.9, 2.5, 3.0, 4.0, 6.0, 9.0, 12.0, 14.0, 20.0, 30.0, 100.0],
    "seed": range(5),
    "steps": 250,
}
QUICK = GRID | {"lr": [1.0, 4.0], "seed": range(2), "steps": 20}
# Below 2, where rounding is not magnified.
SLICE: list[Part] = [({"lr": [1.0], "seed": [1]}, {"loss": 0.01, "sharpness": 0.1})]


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over lr, in units of 1/λ₀, and seed."""
    cube = sweep_function(catapult, **grid, **options)
    steps = grid["steps"]
    cube = cube.assign_coords(step=range(steps), eval_step=[*range(0, steps, 5), steps])
    names = ["loss", "train_loss", "sharpness", "val", "dead", "first", "diverged_at", "finished"]
    return light(cube, names)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
