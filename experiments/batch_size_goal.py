"""Updates until the validation loss reaches a goal: ten batch sizes, 25 rates, 5 seeds.

A 64-32-10 network learns 1,024 digits at a constant rate, by SGD, by SGD with momentum, by Adam,
and by SGD with three tenths of the training labels drawn at random.  It takes about 25 minutes
on one busy core and writes lrcourse/recorded/batch_size_goal.nc, 0.04 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.batch_size import METHODS, images
from lrcourse.grids import round_rates
from lrcourse.models import mlp
from lrcourse.results import first_reached
from lrcourse.sweeps import sweep

WRONG = "SGD, wrong labels"
GRID: dict[str, Any] = {
    "case": [*METHODS, WRONG],
    "batch_size": [2**k for k in range(1, 11)],
    "lr": round_rates(0.001, 10, 6).tolist(),
    "seed": range(5),
    "goal": [0.9, 0.75, 0.6, 0.3, 0.2, 0.15],
    "steps": 256,
}
QUICK = GRID | {"case": ["SGD"], "batch_size": [32, 256], "seed": range(2)}
SLICE: list[Part] = [
    (
        {"case": ["SGD", "Adam"], "batch_size": [64], "lr": GRID["lr"][9:12], "seed": range(2)},
        {"updates": 0.06},  # one record sooner or later, where the loss grazes a goal
    )
]


def train(case: str, batch_size: int, steps: int, goal: Sequence[float], **grid: Any) -> xr.Dataset:
    """Train one case at one batch size, at all rates and seeds, and look 256 times on the way.

    A run lasts 4 epochs, or `steps` updates where that is longer.
    """
    longest = max(steps, 4096 // batch_size)
    runs = sweep(
        mlp,
        images(0.3 if case == WRONG else 0.0),
        batch_size=batch_size,
        steps=longest,
        eval_every=longest // steps,
        **METHODS[case.split(",")[0]],
        **grid,
        engine="batched",
        progress=False,
    )
    level = xr.DataArray(np.asarray(goal, float), {"goal": list(goal)})
    needed = [first_reached(runs.val_loss, float(g), "eval_step") for g in level]
    return light(xr.Dataset({"updates": xr.concat(needed, level.goal)}), ["updates"])


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over case, batch size, goal, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed", "goal"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK)
