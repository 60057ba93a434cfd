"""Digits under eleven schedules, in four worlds: batches of 4 or 64, labels clean or 40 % random.

A network of 2,410 weights, 64-32-10 with tanh, makes 1,400 updates of plain SGD, at 11 rates and
with 8 seeds: 3,872 runs.  It takes about three minutes on two cores and writes
lrcourse/recorded/schedules.nc, 0.7 MB.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from experiments.recording import main
from lrcourse.data import Data, digits
from lrcourse.models import mlp
from lrcourse.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Polynomial,
    Schedule,
    Step,
    WarmupStableDecay,
)
from lrcourse.sweeps import sweep

STEPS = 1400
LRS = np.geomspace(0.01, 10**0.5, 11)


def shapes(steps: int, end: float = 0.01) -> dict[str, Schedule]:
    """Return eleven schedules of one run; those that fall, fall to `end` times their peak."""
    return {
        "constant": Constant(1.0),
        "step": Step(1.0, steps // 5, gamma=end ** (1 / 4)),
        "multi-step": MultiStep(1.0, [steps // 2, 3 * steps // 4], gamma=end ** (1 / 2)),
        "exponential": Exponential(1.0, gamma=end ** (1 / steps)),
        "inverse-time": InverseTime(1.0, decay_rate=1 / end - 1, decay_steps=steps),
        "linear": Polynomial(1.0, steps, floor=end),
        "quadratic": Polynomial(1.0, steps, power=2.0, floor=end),
        "cosine": Cosine(1.0, steps, floor=end),
        "warm restarts": CosineRestarts(1.0, steps // 7, multiply=2, floor=end),
        "warmup-stable-decay": WarmupStableDecay.fractions(1.0, steps, floor=end),
        "one-cycle": OneCycle(1.0, steps, final_div_factor=1 / (25 * end), momentum_range=None),
    }


def mislabelled(data: Data, fraction: float, seed: int = 0) -> Data:
    """Return `data` with that fraction of the training labels drawn at random."""
    rng, y = np.random.default_rng(seed), data.y_train.clone()
    rows = rng.permutation(len(y))[: round(fraction * len(y))]
    y[rows] = torch.from_numpy(rng.integers(0, 10, len(rows)))
    return replace(data, y_train=y)


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
