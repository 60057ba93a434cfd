"""Sharpness during full-batch gradient descent, for 15 rates and 5 seeds.

A network of 4,522 weights, 64-32-32-32-10 with tanh, fits 500 digits by squared error.  Every run
makes 2,400 updates with all 500 images, in double precision.  Every 25 updates it is asked for the
largest eigenvalue of the Hessian of that loss.  (The setting is that of Cohen et al., 2021, made
small.)  It takes half an hour on one free core and writes
lrcourse/recorded/convergence.nc, 0.4 MB.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import xarray as xr
from torch import nn

from experiments.recording import Grid, Part, light, main
from lrcourse.chapters.convergence import one_hot
from lrcourse.curvature import sharpness
from lrcourse.data import digits
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "lr": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
    "seed": range(5),
    "steps": 2400,
    "eval_every": 25,
    "batch_size": None,
}
QUICK = GRID | {"lr": [0.5, 2.0, 4.0], "seed": range(2), "steps": 200}
# Up to the limit runs repeat to 1e-5 (they are kept in single precision); beyond it rounding is
# magnified by about a tenth at every update.
SLICE: list[Part] = [
    (
        {"lr": [lr], "seed": [seed], "steps": 150},
        {"loss": tolerance, "sharpness": 5e-3, "diverged_at": 0},
    )
    for lr, seed, tolerance in ((0.5, 0, 1e-5), (2.0, 1, 1e-3), (4.0, 2, 1e-3))
]


def network() -> nn.Module:
    """Build the network, in double precision."""
    return mlp((64, 32, 32, 32, 10), "tanh").double()


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over lr and seed."""
    runs = sweep(
        network,
        one_hot(digits(), rows=500),
        **grid,
        measures={"sharpness": partial(sharpness, tol=1e-3)},
        engine="executor",
        **options,
    )
    return light(runs, ["loss", "sharpness", "diverged_at", "finished"])


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK)
