"""Digits that carry a synthetic patch: what is learned at which rate, and when the rate falls.

A network of 256 ReLU units trains on 1,000 rows of `lrcourse.chapters.generalization.two_patterns`
in batches of 32, at a constant rate or at one that falls to a tenth after 1,000 of 4,000 updates.
Every seed has data of its own.  It took 16 minutes on one busy core and writes
lrcourse/recorded/generalization_patterns.nc, 0.1 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.generalization import PLANS, SETS, learned

GRID: dict[str, Any] = {
    "kind": list(SETS),
    "plan": list(PLANS),
    "lr": [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
    "seed": range(10),
    "steps": 4_000,
}
QUICK = GRID | {"lr": [0.1, 0.5], "seed": range(2), "steps": 80}
# At a low rate, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"kind": ["digits and patches"], "plan": ["constant"], "lr": [0.05, 0.1], "seed": [1]},
        {"pixels": 0.1},
    )
]


def train(kind: str, plan: str, seed: int, **settings: Any) -> xr.Dataset:
    """Train on one draw of the rows, at all rates."""
    return learned(kind, plan, seed, **settings)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over kind, plan, seed and lr."""
    cube = of_stacks(train, grid, ["lr"], **options)
    return light(cube, ["train_loss", "pixels", "patches", "finished"])


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
