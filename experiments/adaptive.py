"""Seven optimizers on nine tasks, each at 43 rates and with 5 seeds, for 600 updates.

The tasks differ in what a rate has to cope with: depth, the units of the inputs, features of
unequal frequency.  Every method gets the same rates, from 1e-5 to 100, the same starts and the same
batches.  It takes about ten minutes on two cores and writes lrcourse/recorded/adaptive.nc, 1.3 MB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from experiments.recording import main
from lrcourse.chapters.adaptive import METHODS, TASKS, task
from lrcourse.sweeps import sweep, sweep_function

GRID: dict[str, Any] = {
    "task": TASKS,
    "optimizer": list(METHODS),
    "decades": 7,
    "seeds": 5,
    "steps": 600,
    "every": 25,
}
QUICK: dict[str, Any] = GRID | {
    "task": ["digits", "tumours, standardised"],
    "optimizer": ["SGD", "AdaGrad"],
    "decades": 3,
    "seeds": 2,
}


def rates(decades: int) -> list[float]:
    """Return six rates a decade, from 1e-5 on."""
    return [float(f"{10 ** (k / 6 - 5):.6g}") for k in range(6 * decades + 1)]


def train(run: dict[str, Any]) -> xr.Dataset:
    """Train one method on one task at all rates and seeds."""
    runs = sweep(
        *task(run["task"]),
        **METHODS[run["optimizer"]],
        lr=rates(run["decades"]),
        seed=range(run["seeds"]),
        steps=run["steps"],
        eval_every=run["every"],
        batch_size=32,
        engine="batched",
        progress=False,
    )
    kept = runs[["val_loss", "train_loss"]].map(four_digits)
    kept["val_accuracy"] = runs.val_accuracy.isel(eval_step=-1, drop=True).astype(np.float32)
    return kept.assign(diverged_at=runs.diverged_at.astype(np.int16))


def four_digits(values: xr.DataArray) -> xr.DataArray:
    """Round to 13 bits, a relative error below 1/8,000, so that a file of them packs well."""
    bits = values.astype(np.float32).values.view(np.uint32)
    rounded = np.where(np.isfinite(values), (bits + np.uint32(512)) & np.uint32(0xFFFFFC00), bits)
    return values.copy(data=rounded.astype(np.uint32).view(np.float32))


def make(quick: bool = False, **options: Any) -> xr.Dataset:
    """Return the cube over task, optimizer, lr and seed."""
    return sweep_function(train, **(QUICK if quick else GRID), **options)


if __name__ == "__main__":
    main(__file__, make)
