"""How long a warmup: from 0 to 200 updates, by rate, by β2 of Adam and by the length of the run.

The network of warmup.py under Adam.  It takes about four minutes on one free core and writes
lrcourse/recorded/warmup_length.nc, 0.03 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.warmup import RUNS
from lrcourse.chapters.warmup import network as build
from lrcourse.data import digits
from lrcourse.grids import round_rates
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "run": list(RUNS),
    "warmup_steps": [0, 6, 20, 60, 200],
    "lr": round_rates(0.03, 0.2, 6),
    "seed": range(3),
    "batch_size": 128,
    "optimizer": "adam",
    "steps": 200,
}
QUICK = GRID | {"warmup_steps": [0, 20], "lr": GRID["lr"][:2], "seed": range(2), "steps": 40}
# At a low rate, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"run": ["β₂ = 0.999"], "warmup_steps": [200], "lr": GRID["lr"][:1], "seed": [1]},
        {"val_accuracy": 0.02},
    )
]


def train(run: str, warmup_steps: int, steps: int, **settings: Any) -> xr.Dataset:
    """Train one kind of run after one warmup, at all rates and seeds."""
    beta2, times = RUNS[run]
    plan = settings | {"warmup_steps": warmup_steps, "steps": times * steps, "betas": (0.9, beta2)}
    runs = sweep(build("Adam, deep network"), digits(), **plan, engine="batched", progress=False)
    kept = light(runs, ["val_accuracy", "diverged_at"])
    return kept.assign(val_accuracy=kept.val_accuracy.isel(eval_step=-1, drop=True))[
        ["val_accuracy", "diverged_at"]
    ].drop_vars(["step", "eval_step"], errors="ignore")


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over run, warmup_steps, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
