"""Numbers, names and selections in words, as `words.js` writes them in the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lrcourse._tables import WORDS

Array = NDArray[Any]

SPOKEN = WORDS | {"step": "step", "eval_step": "step"}


def in_words(value: float, digits: int = 3) -> str:
    """Write a number to three significant digits, whole numbers in full.

    >>> [in_words(v) for v in (0.031623, 300, -2.5, 3.2e-5, 1e-6, 123456.7)]
    ['0.0316', '300', '−2.5', '3.2×10⁻⁵', '10⁻⁶', '1.23×10⁵']
    """
    if math.isnan(value):
        return "no value"
    size, sign = abs(float(value)), "−" if value < 0 else ""
    if math.isinf(size):
        return sign + "∞"
    if size.is_integer() and size < 1e7 and (size < 1e5 or float(f"{size:.{digits}g}") != size):
        return f"{sign}{int(size)}"
    mantissa, power = f"{size:.{digits - 1}e}".split("e")
    if -4 <= int(power) < 5:
        return sign + _strip(f"{size:.{max(0, digits - 1 - int(power))}f}")
    ten = "10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return sign + ("" if float(mantissa) == 1 else _strip(mantissa) + "×") + ten


def _strip(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def listing(names: Iterable[Any]) -> str:
    """Names as a sentence shows them.

    >>> listing(["lr", "seed"])
    'lr, seed'
    >>> listing([])
    'none'
    """
    return ", ".join(map(str, names)) or "none"


def is_numeric(values: Array) -> bool:
    """Whether a coordinate holds numbers (bools are labels)."""
    return bool(np.issubdtype(values.dtype, np.number))


def option_labels(name: str, values: Array) -> list[str]:
    """One text for each value of a dimension, with as many digits as it takes to tell them apart.

    >>> option_labels("lr", np.array([0.1, 0.1001, 0.2]))
    ['0.1', '0.1001', '0.2']
    """
    seen, times = np.unique(values.astype(str), return_counts=True)
    if (times > 1).any():
        twice = listing(seen[times > 1])
        raise ValueError(f"dimension {name} must have distinct values, has {twice} repeatedly")
    for digits in range(3, 18):
        labels = [in_words(v, digits) if is_numeric(values) else str(v) for v in values]
        if len(set(labels)) == len(labels):
            break
    return labels


def each_state(words: Callable[..., str], *arrays: xr.DataArray) -> xr.DataArray:
    """A text for every state of some arrays, which are broadcast against each other.

    `words` gets one value of each array, as a number or a text of Python; for a variable of texts
    that `explore` takes as `says`.

    >>> lr = xr.DataArray([0.1, 3.0], dims="lr", coords={"lr": [0.1, 3.0]})
    >>> each_state(lambda rate, limit: "low" if rate < limit else "high", lr, lr * 0 + 2).values
    array(['low', 'high'], dtype=object)
    """
    wide = xr.broadcast(*xr.align(*arrays, join="exact"))
    states = zip(*(array.values.ravel().tolist() for array in wide), strict=True)
    texts = np.array([words(*state) for state in states], dtype=object)
    return xr.DataArray(texts.reshape(wide[0].shape), wide[0].coords, wide[0].dims)


def value_text(
    label: str, where: str, quartiles: tuple[float, float, float], runs: int, band: str | None
) -> str:
    """A median with its quartiles, for `runs` runs of the band.

    >>> value_text("loss", " at step 9", (0.4, 0.5, 0.6), 5, "seed")
    'loss 0.5 at step 9, median of 5 seeds (quartiles 0.4 to 0.6)'
    >>> value_text("loss", "", (1.0, float("inf"), float("inf")), 5, "seed")
    'no finite median loss (5 seeds)'
    """
    low, mid, high = quartiles
    many = f"{runs} {band}s"
    if not math.isfinite(mid):
        return (
            f"no finite median {label}{where} ({many})"
            if runs > 1
            else (f"no finite {label}{where}")
        )
    spread = f" (quartiles {in_words(low)} to {in_words(high)})" if low < high else ""
    return f"{label} {in_words(mid)}{where}" + (f", median of {many}{spread}" if runs > 1 else "")


def divergence(at: Array) -> str:
    """How many of the runs diverged, and when the first did; -1 for never, NaN for a missing run.

    >>> divergence(np.array([-1, 12, 30]))
    '2 of 3 runs diverged, the first at step 12.'
    >>> divergence(np.array([-1, 12, np.nan]))
    '1 of 3 runs diverged, the first at step 12; 1 is missing.'
    """
    n, steps, missing = len(at), at[at >= 0], int(np.isnan(at).sum())
    if missing == n:
        return "The run is missing." if n == 1 else f"All {n} runs are missing."
    if n == 1:
        return f"The run diverged at step {in_words(steps[0])}." if len(steps) else ""
    rest = f"; {missing} {'is' if missing == 1 else 'are'} missing" if missing else ""
    if not len(steps):
        return f"None of the {n} runs diverged{rest}."
    many = f"All {n}" if len(steps) == n else f"{len(steps)} of {n}"
    return f"{many} runs diverged, the first at step {in_words(steps.min())}{rest}."
