"""Momentum on digits: five rules, by batch, by rate and by effective rate, eight seeds.

A network of 2,410 weights, 64-32-10 with tanh, makes 300 updates of SGD without momentum, with
momentum 0.5, 0.9 and 0.99, and with Nesterov's 0.9; a batch holds 16 digits, 64, or all 1,347.
Each rule runs at 25 rates, and at 31 effective rates: the rate divided by 1 - momentum, at which
rules can be compared.  It takes about eight minutes on two cores and writes
lrcourse/recorded/momentum.nc, 0.2 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.momentum import RULES
from lrcourse.data import digits
from lrcourse.grids import round_rates
from lrcourse.models import mlp
from lrcourse.results import final
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "rule": list(RULES),
    "batch": ["16", "64", "all"],
    "lr": round_rates(0.001, 10, 6).tolist(),
    "effective": round_rates(0.01, 1000, 6).tolist(),
    "seed": range(8),
    "steps": 300,
    "eval_every": 20,
}
QUICK = GRID | {
    "rule": GRID["rule"][::2],
    "batch": GRID["batch"][:2],
    "lr": [0.01, 0.1],
    "effective": [0.1, 1.0],
    "seed": range(2),
    "steps": 100,
}
# Below the rates at which runs turn unsteady, rounding stays far below the four digits kept.
SLICE: list[Part] = [
    (
        {"rule": rules, "batch": batch, "lr": [0.01], "effective": [0.1, 1.0], "seed": [1, 4]},
        {"val_loss": 2e-3, "train_loss": 2e-3, "val_loss_at_lr": 2e-3},
    )
    for rules, batch in ((["0", "Nesterov 0.9"], ["all"]), (["0.9"], ["16", "64"]))
]


def train(
    rule: str, batch: str, lr: Sequence[float], effective: Sequence[float], **settings: Any
) -> xr.Dataset:
    """Train by one rule with one size of batch, at all rates of both axes and with all seeds."""
    how, size = RULES[rule], None if batch == "all" else int(batch)
    shrunk = [float(f"{e * (1 - how['momentum']):.6g}") for e in effective]
    runs = sweep(
        mlp,
        digits(),
        lr=sorted({*lr, *shrunk}),
        batch_size=size,
        **how,
        **settings,
        engine="batched",
        progress=False,
    )
    ends = final(runs)
    at = runs[["train_loss"]].assign(val_loss=ends).sel(lr=shrunk).rename(lr="effective")
    kept = at.assign_coords(effective=list(effective)).assign(val_loss_at_lr=ends.sel(lr=list(lr)))
    return light(kept, list(kept.data_vars))


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over rule, batch, lr or effective, and seed."""
    return of_stacks(train, grid, ["lr", "effective", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
