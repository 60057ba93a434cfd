"""Digits under eleven schedules, in four worlds: batches of 4 or 64, labels clean or 40 % random.

A network of 2,410 weights, 64-32-10 with tanh, makes 1,400 updates of plain SGD, at 11 rates and
with 8 seeds: 3,872 runs.  It takes about three minutes on two cores and writes
lrcourse/recorded/schedules.nc, 0.7 MB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from experiments.recording import main
from lrcourse.chapters.schedules import mislabelled, shapes
from lrcourse.data import Data, digits
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

STEPS = 1400
LRS = np.geomspace(0.01, 10**0.5, 11)


def labels() -> dict[str, Data]:
    """Return the digits with clean labels, and with 40 % of them replaced."""
    return {"clean": digits(), "40 % random": mislabelled(digits(), 0.4)}


def make(quick: bool = False, **options: Any) -> xr.Dataset:
    """Return the cube over data, batch_size, schedule, lr and seed."""
    grid = {"lr": LRS[5:7], "seed": range(2)} if quick else {"lr": LRS, "seed": range(8)}
    runs = sweep(
        mlp,
        labels(),
        batch_size=[4, 64],
        schedule=shapes(STEPS),
        **grid,
        steps=STEPS,
        eval_every=100,
        **options,
    )
    cube = runs[["val_loss", "val_accuracy", "train_loss"]].astype(np.float32)
    kept = [*range(0, STEPS, 20), STEPS - 1]
    rate = runs.rate.isel(step=kept).max(["data", "batch_size", "seed"])  # the same in all of them
    return cube.assign(
        rate=rate, diverged_at=runs.diverged_at, finished=runs.finished
    ).assign_attrs(runs.attrs)


if __name__ == "__main__":
    main(__file__, make)
