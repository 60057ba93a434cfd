"""Adam with three kinds of weight decay, over rate x decay: 13 rates, 21 decays, 5 seeds.

A network of 4,810 weights, 64-64-10 with ReLU, sees 200 digits, of which a fifth got a random
label: without decay it learns those labels too.  The kinds are an L2 term in the gradient of Adam,
AdamW as torch has it, which shrinks weights by ``lr * decay``, and AdamW as published, which
shrinks them by ``decay`` alone.  It takes about five minutes on two cores and writes
lrcourse/recorded/adaptive_decay.nc, 0.3 MB.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from experiments.adaptive import four_digits
from experiments.recording import main
from lrcourse.chapters.adaptive import few
from lrcourse.models import mlp
from lrcourse.sweeps import sweep, sweep_function

KINDS = ["Adam + L2", "AdamW as in torch", "AdamW as published"]
GRID: dict[str, Any] = {
    "kind": KINDS,
    "lr": [float(f"{10 ** (k / 4 - 4):.6g}") for k in range(13)],
    "decays": 21,
    "seeds": 5,
    "steps": 1200,
    "every": 100,
}
QUICK: dict[str, Any] = GRID | {"lr": GRID["lr"][4:7:2], "decays": 3, "seeds": 2, "steps": 200}


def train(run: dict[str, Any]) -> xr.Dataset:
    """Train one kind of decay at one rate, with all decays and seeds."""
    decays = [float(f"{10 ** (k / 4 - 4):.6g}") for k in range(run["decays"])]
    share = 1 / run["lr"] if "published" in run["kind"] else 1.0
    runs = sweep(
        partial(mlp, (64, 64, 10), "relu"),
        few(),
        optimizer="adam" if "L2" in run["kind"] else "adamw",
        lr=run["lr"],
        weight_decay=[share * decay for decay in decays],
        seed=range(run["seeds"]),
        steps=run["steps"],
        eval_every=run["every"],
        batch_size=50,
        engine="batched",
        progress=False,
    ).rename(weight_decay="decay")
    kept = runs[["val_loss", "val_accuracy", "train_loss"]].map(four_digits)
    kept["diverged_at"] = runs.diverged_at.astype(np.int16)
    return kept.assign_coords(decay=decays)


def make(quick: bool = False, **options: Any) -> xr.Dataset:
    """Return the cube over kind, lr, decay and seed."""
    return sweep_function(train, **(QUICK if quick else GRID), **options)


if __name__ == "__main__":
    main(__file__, make)
