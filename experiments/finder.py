"""The best rates that finders are scored against: twelve tasks at two budgets, by rate and seed.

Networks on digits, images and tables, trained by SGD, momentum, Adam and AdamW; see ``TASKS`` in
lrcourse/chapters/finder.py.  It takes about 35 minutes on one busy core and writes
lrcourse/recorded/finder.nc, 0.05 MB.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from experiments.recording import Grid, Part, light, main, of_stacks
from lrcourse.chapters.finder import FRESH, TASKS, data_of
from lrcourse.sweeps import sweep

GRID: dict[str, Any] = {
    "task": list(TASKS),
    "plan": ["short", "long", "long, falling"],
    "lr": [float(f"{10 ** (k / 4):.2g}") for k in range(-16, 9)],  # 0.0001 to 100
    "seed": range(5),
    "steps": 1000,
}
QUICK = GRID | {"task": ["digits, SGD"], "plan": ["short"], "lr": GRID["lr"][::6], "seed": range(3)}
# At low rates, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"task": [name], "plan": ["short"], "lr": GRID["lr"][4:12:4], "seed": range(2)},
        {"val_loss": 5e-3},
    )
    for name in ("digits, SGD", "deep digits with BatchNorm, AdamW", "diabetes, SGD")
]


def train(task: str, plan: str, steps: int, **grid: Any) -> xr.Dataset:
    """Train one task under one plan, at all rates and seeds; at most `steps` updates."""
    from functools import partial

    from lrcourse.schedules import Polynomial

    what = (TASKS | FRESH)[task]
    runs = sweep(
        what.factory,
        data_of(what.data),
        steps=min(steps, what.steps(plan.split(",")[0])),
        batch_size=what.batch_size,
        schedule=partial(Polynomial, 1.0) if "falling" in plan else None,
        **what.settings,
        **grid,
        engine="executor" if "BatchNorm" in task or "CNN" in task else "batched",
        executor="serial",
        progress=False,
    )
    ends = light(runs, ["val_loss", "train_loss"])
    first = ends.val_loss.isel(eval_step=0, drop=True).rename("first_loss")
    return ends.isel(eval_step=-1, drop=True).assign(first_loss=first)


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over task, plan, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
