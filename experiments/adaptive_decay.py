"""Adam with three kinds of weight decay, over rate x decay: 13 rates, 21 decays, 5 seeds.

A network of 4,810 weights, 64-64-10 with ReLU, sees 200 digits, of which a fifth got a random
label: without decay it learns those labels too.  The kinds are an L2 term in the gradient of Adam,
AdamW as torch has it, which shrinks weights by ``lr * decay``, and AdamW as published, which
shrinks them by ``decay`` alone.  It takes about 25 minutes on two cores and writes
lrcourse/recorded/adaptive_decay.nc, 0.2 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.adaptive import few
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "kind": ["Adam + L2", "AdamW as in torch", "AdamW as published"],
    "lr": [float(f"{10 ** (k / 4 - 4):.6g}") for k in range(13)],
    "decay": [float(f"{10 ** (k / 4 - 4):.6g}") for k in range(21)],
    "seed": range(5),
    "steps": 1200,
    "eval_every": 100,
    "batch_size": 50,
}
QUICK = GRID | {
    "lr": GRID["lr"][4:7:2],
    "decay": GRID["decay"][:3],
    "seed": range(2),
    "steps": 200,
}
SLICE: list[Part] = [
    (
        {"lr": [1e-3], "decay": GRID["decay"][:13], "seed": range(2), "steps": 100},
        {"val_loss": 2e-3},  # four digits are kept
    )
]


def train(kind: str, lr: float, decay: Sequence[float], **settings: Any) -> xr.Dataset:
    """Train one kind of decay at one rate, with all decays and seeds."""
    share = 1 / lr if "published" in kind else 1.0
    runs = sweep(
        partial(mlp, (64, 64, 10), "relu"),
        few(),
        optimizer="adam" if "L2" in kind else "adamw",
        lr=lr,
        weight_decay=[share * each for each in decay],
        **settings,
        engine="batched",
        progress=False,
    )
    kept = light(runs, ["val_loss", "val_accuracy", "train_loss", "diverged_at"])
    return kept.rename(weight_decay="decay").assign_coords(decay=decay)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over kind, lr, decay and seed."""
    return of_stacks(train, grid, ["decay", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
