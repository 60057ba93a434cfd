"""Checks of arguments, shared by every module.

Each check returns the value in its plain type, or raises an error that names the argument, what it
must be and what it was.  ``TypeError`` is for the wrong kind of thing, ``ValueError`` for a value
out of range.  Nothing here knows anything about learning rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

LARGEST = 2**63 - 1


def plain(value: Any) -> Any:
    """Unwrap arrays and tensors that hold one value: ``np.array(3)`` and ``torch.tensor(3)`` are 3.

    Bools keep their type: True is not the number 1 here.
    """
    if isinstance(value, np.generic) or getattr(value, "shape", None) == ():
        return value.item()
    return value


def number(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a finite float between `low` and `high`; an open end is itself excluded.

    >>> number("lr", 1, low=0)
    1.0
    >>> number("lr", float("nan"), low=0)
    Traceback (most recent call last):
        ...
    ValueError: lr must be a finite number >= 0, was nan
    >>> number("factor", 1.0, low=0, high=1, open_low=True, open_high=True)
    Traceback (most recent call last):
        ...
    ValueError: factor must be a finite number > 0 and < 1, was 1.0
    """
    limits = []
    if low is not None:
        limits.append(f"{'>' if open_low else '>='} {low:g}")
    if high is not None:
        limits.append(f"{'<' if open_high else '<='} {high:g}")
    must = " ".join(["a finite number", " and ".join(limits)]).rstrip()
    one = plain(value)
    if isinstance(one, bool) or not isinstance(one, Real):
        raise TypeError(f"{name} must be {must}, was {value!r}")
    try:
        result = float(one)
    except OverflowError:
        result = math.inf
    too_low = low is not None and (result <= low if open_low else result < low)
    too_high = high is not None and (result >= high if open_high else result > high)
    if not math.isfinite(result) or too_low or too_high:
        raise ValueError(f"{name} must be {must}, was {one!r}")
    return result


def count(name: str, value: Any, *, low: int = 0) -> int:
    """Return `value` as an int of at least `low`; bools and floats, even whole ones, are refused.

    >>> count("steps", np.int64(3), low=1)
    3
    >>> count("steps", 3.0, low=1)
    Traceback (most recent call last):
        ...
    TypeError: steps must be an integer >= 1, was 3.0
    """
    one = plain(value)
    if isinstance(one, bool) or not isinstance(one, Integral):
        raise TypeError(f"{name} must be an integer >= {low}, was {value!r}")
    if (whole := int(one)) < low:
        raise ValueError(f"{name} must be an integer >= {low}, was {one}")
    if whole > LARGEST:
        raise ValueError(f"{name} must be an integer below 2**63, was {one}")
    return whole


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool; 0, 1 and strings are refused.

    >>> flag("nesterov", 1)
    Traceback (most recent call last):
        ...
    TypeError: nesterov must be True or False, was 1
    """
    one = plain(value)
    if not isinstance(one, bool):
        raise TypeError(f"{name} must be True or False, was {value!r}")
    return one


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """Return `value` if it is one of the strings in `options`.

    >>> choice("mode", "mean", ["min", "max"])
    Traceback (most recent call last):
        ...
    ValueError: mode must be 'min' or 'max', was 'mean'
    """
    options = list(options)
    if isinstance(value, str) and value in options:
        return value
    must = " or ".join(filter(None, [", ".join(map(repr, options[:-1])), repr(options[-1])]))
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{name} must be {must}, was {value!r}")


def instance(name: str, value: Any, kind: type[T], must: str) -> T:
    """Return `value` if it is a `kind`; `must` says in words what that is.

    >>> instance("schedule", 0.1, str, "a Schedule such as Constant(0.1)")
    Traceback (most recent call last):
        ...
    TypeError: schedule must be a Schedule such as Constant(0.1), was 0.1
    """
    if isinstance(value, kind):
        return value
    raise TypeError(f"{name} must be {must}, was {value!r}")
