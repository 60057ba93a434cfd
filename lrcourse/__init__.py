"""The companion package of a course on the learning rate.

A learner's shelf: schedules, optimizers, training, sweeps, results and explorers.  What a chapter
uses most can be imported from here, ``from lrcourse import fit, sweep, explore``; each name loads
the module it lives in, and nothing else.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if "torch" not in sys.modules:
    # Idle threads of torch spin before they sleep, long enough to starve each other where cores are
    # shared (see engine/threads.py).  Whoever has set these keeps them.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("KMP_BLOCKTIME", "1")

if TYPE_CHECKING:
    from lrcourse.cubes import load, save
    from lrcourse.curvature import sharpness
    from lrcourse.data import digits
    from lrcourse.drivers import drive, record
    from lrcourse.exercises import check, quiz
    from lrcourse.explore import Descent, HeatMap, Lines, explore
    from lrcourse.finder import range_test
    from lrcourse.grids import round_rates
    from lrcourse.models import linear, mlp
    from lrcourse.optimizers import descents
    from lrcourse.probes import short_runs, stable_rate
    from lrcourse.randomness import seeded
    from lrcourse.results import (
        best,
        final,
        first_reached,
        good_range,
        middle,
        table,
        updates_until,
    )
    from lrcourse.sweeps import sweep, sweep_function
    from lrcourse.training import fit

__version__ = "0.1.0"

_HOME = {
    "Descent": "explore",
    "HeatMap": "explore",
    "Lines": "explore",
    "best": "results",
    "check": "exercises",
    "descents": "optimizers",
    "digits": "data",
    "drive": "drivers",
    "explore": "explore",
    "final": "results",
    "first_reached": "results",
    "fit": "training",
    "good_range": "results",
    "linear": "models",
    "load": "cubes",
    "middle": "results",
    "mlp": "models",
    "quiz": "exercises",
    "range_test": "finder",
    "record": "drivers",
    "round_rates": "grids",
    "save": "cubes",
    "seeded": "randomness",
    "sharpness": "curvature",
    "short_runs": "probes",
    "stable_rate": "probes",
    "sweep": "sweeps",
    "sweep_function": "sweeps",
    "table": "results",
    "updates_until": "results",
}

__all__ = [
    "Descent", "HeatMap", "Lines", "best", "check", "descents", "digits", "drive", "explore",
    "final", "first_reached", "fit", "good_range", "linear", "load", "middle", "mlp", "quiz",
    "range_test", "record", "round_rates", "save", "seeded", "sharpness", "short_runs",
    "stable_rate", "sweep", "sweep_function", "table", "updates_until",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lrcourse' has no attribute {name!r}")
    home = import_module(f"lrcourse.{_HOME[name]}")
    value = home if name == _HOME[name] else getattr(home, name)  # `explore` is a package to call
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
