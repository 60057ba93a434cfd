"""What finders see and suggest: eighteen tasks, five starts each.

Of each start it records the losses of a range test at 200 rising rates, the largest stable rate,
and the best of eleven runs at a tenth of each budget.  It takes about six minutes on one busy core
and writes lrcourse/recorded/finder_tests.nc, 0.06 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from experiments.recording import Grid, Part, main, of_stacks
from lrcourse.chapters.finder import FRESH, SHORT_RATES, TASKS, ready
from lrcourse.finder import BLOWN, range_test
from lrcourse.probes import short_runs, stable_rate

BUDGETS = ["short", "long"]
GRID: dict[str, Any] = {
    "task": list(TASKS | FRESH),
    "lr": np.geomspace(1e-6, 1e4, 200).tolist(),
    "seed": range(5),
    "steps": 200,
}
QUICK = GRID | {"task": ["digits, SGD", "wine, Adam"], "seed": range(3)}
# The first half of the rates, before the loss moves much: the rest magnifies rounding.
SLICE: list[Part] = [
    (
        {"task": ["digits, SGD", "deep digits, momentum"], "lr": GRID["lr"][:100], "seed": [1]},
        {"loss": 5e-3, "first_loss": 1e-4},
    )
]


def train(task: str, lr: Sequence[float], seed: Sequence[int], steps: int) -> xr.Dataset:
    """Try all finders on one task, from every start."""
    losses, starts = np.full((len(lr), len(seed)), np.nan), np.full(len(seed), np.nan)
    blown, stable = np.zeros(len(seed), np.int8), np.full(len(seed), np.nan)
    tenth = np.full((len(BUDGETS), len(seed)), np.nan)
    for k, start in enumerate(seed):
        parts = ready(task, start)
        found = range_test(*parts, low=lr[0], high=lr[-1], steps=len(lr), progress=False)
        finite = np.where(np.isfinite(found.loss), found.loss, np.nan)
        losses[: len(finite), k], starts[k] = finite, found.first_loss
        blown[k] = found.stopped in BLOWN
        stable[k] = stable_rate(*parts, progress=False).suggest("stable").lr or np.nan
        for i, budget in enumerate(BUDGETS):
            updates = (TASKS | FRESH)[task].steps(budget) // 10
            short = short_runs(*parts, steps=updates, rates=SHORT_RATES, progress=False)
            tenth[i, k] = short.suggest().lr or np.nan
    return xr.Dataset(
        {
            "loss": (("lr", "seed"), losses.astype(np.float32)),
            "first_loss": ("seed", starts.astype(np.float32)),
            "blown": ("seed", blown),
            "stable": ("seed", stable.astype(np.float32)),
            "tenth": (("plan", "seed"), tenth.astype(np.float32)),
        },
        {"lr": list(lr), "seed": list(seed), "plan": BUDGETS},
    )


def make(grid: Grid, **options: Any) -> xr.Dataset:
    """Return the cube over task, plan, lr and seed."""
    return of_stacks(train, grid, ["lr", "seed"], **options)


if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=5)
