"""SGD with momentum and large batches, with and without warmup, with and without BatchNorm.

The network of warmup.py, 64-128-128-128-10 with ReLU, takes 200 updates with batches of 256 digits,
a fifth of the training data.  It takes about two minutes on one free core and writes
lrcourse/recorded/warmup_sgd.nc, 0.05 MB.
"""

from __future__ import annotations

from typing import Any

from experiments import warmup
from experiments.recording import Part, main

GRID: dict[str, Any] = warmup.GRID | {
    "network": ["SGD + momentum", "SGD + momentum, BatchNorm"],
    "warmup_steps": [0, 20],
    "lr": [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0],
}
QUICK = GRID | {"warmup_steps": [0, 20], "lr": GRID["lr"][2:10:3], "seed": range(2), "steps": 60}
# At low rates, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"network": [name], "warmup_steps": [20], "lr": GRID["lr"][:2], "seed": [1]},
        {"val_loss": tolerance},
    )
    for name, tolerance in (("SGD + momentum", 5e-3), ("SGD + momentum, BatchNorm", 0.05))
]

make = warmup.make

if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
