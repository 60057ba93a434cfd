"""The companion package of a course on the learning rate.

A learner's shelf: schedules, optimizers, training, sweeps, results and explorers.  What a chapter
uses most can be imported from here, ``from lrcourse import fit, sweep, explore``; each name loads
the module it lives in, and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrcourse.cubes import load, save
    from lrcourse.explore import explore
    from lrcourse.optimizers import descents
    from lrcourse.sweeps import sweep, sweep_function
    from lrcourse.training import fit

__version__ = "0.1.0"

_HOME = {
    "descents": "optimizers",
    "explore": "explore",
    "fit": "training",
    "load": "cubes",
    "save": "cubes",
    "sweep": "sweeps",
    "sweep_function": "sweeps",
}

__all__ = [
    "descents", "explore", "fit", "load", "save", "sweep", "sweep_function",
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
