"""What an explorer can show: curves, a descent over a surface, a heat map.

A panel is a value that names variables and dimensions of a dataset.  It describes itself to the
page (`Panel.spec`), says what it shows in half a sentence (`Panel.clause`), and draws its still
picture (`Panel.draw`); all three read the same `Packed`.  Each kind has a module, and beside it the
script of the same name that draws it in the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lrcourse.explore.pack import Limits, Packed, Selection
from lrcourse.explore.words import Array, is_numeric, listing


class Panel:
    """One picture of an explorer; `dims` are the dimensions that a reader can choose in."""

    def variables(self) -> tuple[str, ...]:
        """The variables it shows."""
        raise NotImplementedError

    def axes(self) -> tuple[str, ...]:
        """The dimensions that are drawn out, so that they need no control."""
        raise NotImplementedError

    def cells(self) -> tuple[str, ...]:
        """The dimensions in which a click chooses, also without a control."""
        return ()

    def spec(self, packed: Packed, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel in words and numbers, for the page."""
        raise NotImplementedError

    def clause(self, packed: Packed, at: Selection, dims: Sequence[str]) -> str:
        """What it shows at a selection, as half a sentence."""
        raise NotImplementedError

    def draw(self, ax: Axes, packed: Packed, at: Selection, dims: Sequence[str]) -> None:
        """The still picture at a selection."""
        raise NotImplementedError


def check_log(log: Any, axes: str) -> None:
    """Check which axes start logarithmic."""
    if not isinstance(log, str) or set(log) - set(axes):
        raise ValueError(f"log must be some of the letters {axes!r}, was {log!r}")


def check_along(packed: Packed, role: str, dim: str, variable: str) -> None:
    """Check that a curve of `variable` can be drawn along `dim`."""
    dims = packed.variable(variable, "y").dims
    if dim not in dims:
        raise ValueError(f"{role} must be a dimension of {variable} ({listing(dims)}), was {dim!r}")
    if dim == packed.band:
        raise ValueError(f"{role} must not be the band {dim!r}; band=None makes it a dimension")
    if not is_numeric(packed.values(dim)):
        raise ValueError(f"{role} must be a dimension with numbers, {dim!r} holds labels")


def check_limits(name: str, values: Any) -> Limits:
    """Return `values` as two rising numbers."""
    low, high = (float(v) for v in values)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"{name} must be two rising finite numbers, was {tuple(values)!r}")
    return low, high


def visible(curve: Array) -> Array:
    """The finite part of a curve."""
    return np.where(np.isfinite(curve), curve, np.nan)
