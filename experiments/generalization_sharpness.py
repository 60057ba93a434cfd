"""Sharpness and test mistakes of the runs of generalization.py, at two points of their way.

The points are 1,000 updates, and the first evaluation at a training loss of 0.1.  It took
17 minutes on one busy core and writes lrcourse/recorded/generalization_sharpness.nc, 0.03 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main
from lrcourse.chapters.generalization import COMPARED, NETWORKS, curvatures
from lrcourse.sweeps import sweep_function

GRID: dict[str, Any] = {
    "network": list(NETWORKS),
    "noise": [0.0, 0.4],
    "lr": [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
    "seed": range(5),
    "steps": 4_000,
}
QUICK = GRID | {"noise": [0.0], "lr": [0.1, 0.3], "seed": range(2)}
# At low rates, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"network": ["32 units"], "noise": [0.0], "lr": [0.1], "seed": [1]},
        {"sharpness": 0.1, "test": 0.1},
    )
]


def train(network: str, **settings: Any) -> dict[str, Any]:
    """Measure one run."""
    return curvatures(network, **settings)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over network, noise, lr and seed."""
    cube = sweep_function(train, **grid, **options)
    cube = cube.assign_coords(compared=[COMPARED[1], COMPARED[3]])
    return light(cube, ["sharpness", "test", "finished"])


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
