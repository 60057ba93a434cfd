"""Sharpness during full-batch gradient descent, for 15 rates and 5 seeds.

A network of 4,618 weights, 64-32-32-32-10 with tanh, fits 500 digits by squared error.  Every run
makes 2,400 updates with all 500 images, in double precision.  Every 25 updates it is asked for the
largest eigenvalue of the Hessian of that loss.  (The setting is that of Cohen et al., 2021, made
small.)  It takes about six minutes on one free core and writes
lrcourse/recorded/convergence.nc, 0.4 MB.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from experiments.recording import main
from lrcourse.chapters.convergence import one_hot
from lrcourse.curvature import sharpness
from lrcourse.data import digits
from lrcourse.models import mlp
from lrcourse.randomness import seeded
from lrcourse.sweeps import sweep_function
from lrcourse.training import fit

GRID: dict[str, Any] = {
    "lr": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
    "seed": range(5),
    "steps": 2400,
    "every": 25,
}
QUICK: dict[str, Any] = GRID | {"lr": [0.5, 2.0, 4.0], "seed": range(2), "steps": 200}


def train(run: dict[str, Any]) -> dict[str, Any]:
    """Train one network; return its losses, and its sharpness after 0, 25, 50, ... updates."""
    data = one_hot(digits(), rows=500)
    model = seeded(partial(mlp, (64, 32, 32, 32, 10), "tanh"), run["seed"]).double()
    sharp = np.full(run["steps"] // run["every"] + 1, np.nan, dtype=np.float32)
    sharp[0] = sharpness(model, data, tol=1e-3)

    def measure(t: int, model: Any, loss: float) -> None:
        updates = t + 1
        if updates % run["every"] == 0:
            sharp[updates // run["every"]] = sharpness(model, data, tol=1e-3)

    history = fit(
        model,
        data,
        lr=run["lr"],
        steps=run["steps"],
        batch_size=None,
        seed=run["seed"],
        callbacks=[measure],
        progress=False,
    )
    at = history.diverged_at
    loss = history.loss.copy()
    loss[at:] = np.nan if at is not None else loss[at:]
    return {
        "loss": ("step", loss.astype(np.float32)),
        "sharpness": ("updates", sharp),
        "diverged_at": -1 if at is None else at,
    }


def make(quick: bool = False, **options: Any) -> xr.Dataset:
    """Return the cube over lr and seed."""
    grid = QUICK if quick else GRID
    cube = sweep_function(train, **grid, **options)
    return cube.assign_coords(
        step=np.arange(grid["steps"]), updates=np.arange(0, grid["steps"] + 1, grid["every"])
    )


if __name__ == "__main__":
    main(__file__, make)
