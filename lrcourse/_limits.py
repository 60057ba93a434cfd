"""What every hyperparameter may be, wherever it is given: one table, one sentence for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lrcourse._checks import count, flag, number

_share = partial(number, low=0, high=1, open_high=True)


def _betas(name: str, value: Any) -> tuple[float, float]:
    must = f"{name} must be two numbers >= 0 and < 1, such as (0.9, 0.999)"
    if not isinstance(value, Sequence) and getattr(value, "shape", None) != (2,):
        raise TypeError(f"{must}, was {value!r}")
    pair = tuple(value)
    if isinstance(value, str) or len(pair) != 2:
        raise ValueError(f"{must}, was {value!r}")
    return _share(name, pair[0]), _share(name, pair[1])


LIMITS: dict[str, Callable[[str, Any], Any]] = {
    "steps": partial(count, low=1),
    "lr": partial(number, low=0),
    "warmup_steps": count,
    "batch_size": partial(count, low=1),
    "momentum": _share,
    "nesterov": flag,
    "betas": _betas,
    "alpha": _share,
    "eps": partial(number, low=0),
    "weight_decay": partial(number, low=0),
    "clip": partial(number, low=0, open_low=True),
    "noise": partial(number, low=0),
    "seed": count,
    "eval_every": partial(count, low=1),
}


def limited(name: str, value: Any) -> Any:
    """Return the value of a hyperparameter in its plain type, or refuse it in words.

    >>> limited("momentum", 1)
    Traceback (most recent call last):
        ...
    ValueError: momentum must be a finite number >= 0 and < 1, was 1
    """
    return LIMITS[name](name, value)
