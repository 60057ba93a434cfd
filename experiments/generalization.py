"""Mistakes in training and on test digits, by rate, network, wrong labels and point of reading.

Networks of 32 and of 256 ReLU units learn 400 digits in batches of 32, of whose labels none or two
fifths are drawn at random.  Every seed has a split of its own.  It took 26
minutes on one busy core and writes lrcourse/recorded/generalization.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.generalization import NETWORKS, compared

GRID: dict[str, Any] = {
    "network": list(NETWORKS),
    "noise": [0.0, 0.4],
    "lr": [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5],
    "seed": range(10),
    "steps": 4_000,
    "long": 10_000,  # below rate 0.1
}
QUICK = GRID | {"lr": [0.05, 0.2], "seed": range(2), "steps": 400, "long": 600}
# Rounding is magnified in long runs: a few digits of 997 are read otherwise.
SLICE: list[Part] = [
    (
        {"network": ["32 units"], "noise": [0.0], "lr": [0.1, 0.2], "seed": [1], "steps": 4_000},
        {"way_test": 0.1},
    )
]


def train(network: str, noise: float, seed: int, **settings: Any) -> xr.Dataset:
    """Train one network on one split, at all rates."""
    return compared(network, noise, seed, **settings)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over network, noise, seed and lr."""
    cube = of_stacks(train, grid, ["lr"], **options)
    return light(cube, list(cube.data_vars))


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
