"""Seven optimizers on nine tasks, each at 43 rates and with 5 seeds, for 600 updates.

The tasks differ in what a rate has to cope with: depth, the units of the inputs, features of
unequal frequency.  Every method gets the same rates, from 1e-5 to 100, the same starts and the same
batches.  It takes about ten minutes on two cores and writes lrcourse/recorded/adaptive.nc, 1.3 MB.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from sklearn.datasets import load_breast_cancer, load_digits

from experiments.recording import main
from lrcourse.data import Data, digits, split, words
from lrcourse.models import mlp
from lrcourse.sweeps import Factory, sweep, sweep_function

METHODS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "Nesterov": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "AdaGrad": {"optimizer": "adagrad"},
    "RMSprop": {"optimizer": "rmsprop"},
    "Adam": {"optimizer": "adam"},
    "AdamW": {"optimizer": "adamw", "weight_decay": 0.01},
}
TEXTS = {f"words, Zipf {zipf:g}": zipf for zipf in (0, 0.5, 1, 1.5)}
TASKS = [
    "digits",
    "digits, six layers",
    "digits, raw pixels",
    "tumours, standardised",
    "tumours, own units",
    *TEXTS,
]
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


def task(name: str) -> tuple[Factory, Data]:
    """Return the model and the data of a task; nothing is downloaded."""
    if name in TEXTS:
        return partial(mlp, (500, 4)), words(TEXTS[name])
    if name.startswith("digits"):
        raw = split(name, *load_digits(return_X_y=True), scale=False)
        deep = partial(mlp, (64, 32, 32, 32, 32, 32, 10), "relu")
        return deep if "six" in name else mlp, raw if "raw" in name else digits()
    x, y = load_breast_cancer(return_X_y=True)
    data = split(name, x, y, scale=False)
    if "standardised" in name:
        size, mean = data.x_train.std(0), data.x_train.mean(0)
        scaled = [(part - mean) / size for part in (data.x_train, data.x_val)]
        data = Data(name, scaled[0], data.y_train, scaled[1], data.y_val)
    return partial(mlp, (30, 16, 2), "relu"), data


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
