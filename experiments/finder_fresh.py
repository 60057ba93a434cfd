"""The best rates of six more tasks, on which no rule of a finder was chosen.

See ``FRESH`` in lrcourse/chapters/finder.py.  It takes about three minutes on one busy core and
writes lrcourse/recorded/finder_fresh.nc, 0.04 MB.
"""

from __future__ import annotations

from typing import Any

from experiments import finder
from experiments.recording import Part, main
from lrcourse.chapters.finder import FRESH

GRID: dict[str, Any] = finder.GRID | {"task": list(FRESH), "plan": ["short", "long"]}
QUICK = GRID | {"task": ["wine, Adam"], "plan": ["short"], "lr": GRID["lr"][::6], "seed": range(3)}
# At low rates, where rounding is not magnified.
SLICE: list[Part] = [
    (
        {"task": ["wine, Adam"], "plan": ["short"], "lr": GRID["lr"][4:12:4], "seed": range(2)},
        {"val_loss": 5e-3},
    )
]

make = finder.make

if __name__ == "__main__":
    main(__file__, make, GRID, QUICK, digits=4)
