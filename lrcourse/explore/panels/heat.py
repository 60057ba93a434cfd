"""A grid of medians, in which a reader chooses a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from lrcourse.explore.pack import Limits, Packed, Selection, extent
from lrcourse.explore.panels import Panel, check_limits, visible
from lrcourse.explore.words import Array, in_words, is_numeric, listing, option_labels
from lrcourse.plots import MUTED, PALETTE
from lrcourse.results import quartiles

PARTED = LinearSegmentedColormap.from_list(
    "parted", ["#08519c", "#4292c6", "#9ecae1", "#f3f3f3", "#fdbe85", "#e6701e", "#a63603"]
)  # as in heat.js


@dataclass(frozen=True)
class HeatMap(Panel):
    """A grid of medians over two dimensions; the cell in the ring is the run shown beside it.

    Parameters
    ----------
    value : str
        The variable in colour.
    x, y : str
        Dimensions across and upwards.
    log : bool
        Colours follow the logarithm.
    missing : str
        What to call a cell without a finite median.
    boundary : mapping from str to sequence of float or str
        Lines over the map, label -> x for each y (numbers, or a variable over `y`).
    limits : (float, float), optional
        The ends of the colours, else from the values; what lies outside gets the colour of the end.
        With `centre` they reach as far on its other side.
    centre : float, optional
        A neutral value: colours part there, blue below and orange above.
    mark : bool
        Ring the best cell and name it; False where neither end of the scale is better.
    title : str, optional
        Words for the panel, else those of `value`.

    Examples
    --------
    >>> HeatMap("final_loss", "lr", "momentum").cells()
    ('lr', 'momentum')
    """

    value: str
    x: str
    y: str
    _: KW_ONLY
    log: bool = False
    missing: str = "diverged"
    boundary: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits | None = None
    centre: float | None = None
    mark: bool = True
    title: str | None = None

    def variables(self) -> tuple[str, ...]:
        """The variable in colour."""
        return (self.value,)

    def axes(self) -> tuple[str, ...]:
        """Across and upwards."""
        return self.x, self.y

    def cells(self) -> tuple[str, ...]:
        """A click chooses both."""
        return self.x, self.y

    def _medians(self, packed: Packed, at: Selection) -> Array:
        """One number for each y (rows) and x (columns)."""
        places = [{**at, self.y: j} for j in range(packed.ds.sizes[self.y])]
        rows = (packed.rows(self.value, place, self.x) for place in places)
        return np.array([visible(quartiles(r, packed.worst(self.value))[1]) for r in rows])

    def _blank(self, packed: Packed, at: Selection, grid: Array) -> Array:
        """The cells that have no number because runs are missing."""
        blank = np.zeros(grid.shape, dtype=bool)
        if packed.diverged is None or not packed.ds[packed.diverged].isnull().any():
            return blank
        for j, i in np.argwhere(~np.isfinite(grid)):
            blank[j, i] = packed.missing({**at, self.x: int(i), self.y: int(j)}).any()
        return blank

    def _domain(self, packed: Packed) -> tuple[Limits, bool]:
        """The range of the colours, and if they follow the logarithm; outliers get the last one."""
        limits, log = self._range(packed)
        if self.centre is None:
            return limits, log
        if not np.isfinite(self.centre) or (log and self.centre <= 0):
            must = "a positive finite number" if log else "a finite number"
            raise ValueError(f"centre must be {must}, was {self.centre!r}")
        if log:
            reach = max(limits[1] / self.centre, self.centre / limits[0])
            return (self.centre / reach, self.centre * reach), True
        reach = max(limits[1] - self.centre, self.centre - limits[0])
        return (self.centre - reach, self.centre + reach), False

    def _range(self, packed: Packed) -> tuple[Limits, bool]:
        if self.limits is not None:
            low, high = check_limits("limits", self.limits)
            return (low, high), self.log and low > 0
        values = packed.curves(self.value, self.x).ravel()
        values = values[np.isfinite(values)]
        if self.log and (values > 0).any() and values.min() >= 0:
            low = float(values[values > 0].min())
            high = min(float(values.max()), 100 * float(np.median(values)) or np.inf)
            return (max(low, high * 1e-16), high) if low < high else (low / 2, low * 2), True
        return extent(values[:, None], False, pad=False) or (0.0, 1.0), False

    def spec(self, packed: Packed, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        has = [d for d in packed.variable(self.value, "value").dims if d != packed.band]
        for role, dim in (("x", self.x), ("y", self.y)):
            if dim not in has:
                must = f"a dimension of {self.value} ({listing(has)})"
                raise ValueError(f"{role} must be {must}, was {dim!r}")
        if self.x == self.y:
            raise ValueError(f"x and y must be two dimensions, both were {self.x!r}")
        limits, log = self._domain(packed)
        return {
            "kind": "heat",
            "title": self.title or packed.long_name(self.value),
            "value": packed.pack(self.value),
            "x": self.x,
            "y": self.y,
            "log": "colour" if log else "",
            "best": -packed.worst(self.value) if self.mark else 0,
            "missing": self.missing,
            "domain": limits,
            "centre": self.centre,
            "bounds": [(label, self._bound(packed, at)) for label, at in self.boundary.items()],
        }

    def _bound(self, packed: Packed, at: Any) -> list[float]:
        source = packed.variable(at, "boundary") if isinstance(at, str) else at
        values = np.asarray(source, dtype=float)
        n = packed.ds.sizes[self.y]
        if not is_numeric(packed.values(self.x)) or (np.diff(packed.values(self.x)) <= 0).any():
            raise ValueError(f"boundary needs rising numbers along x, {self.x} has none")
        if values.shape != (n,) or not np.isfinite(values).all():
            raise ValueError(f"boundary must hold {n} finite numbers, one for each {self.y}")
        return [float(v) for v in values]

    def clause(self, packed: Packed, at: Selection, dims: Sequence[str]) -> str:
        """The best cell, and how many have no value."""
        grid, worst, parts = self._medians(packed, at), packed.worst(self.value), []
        if self.mark and np.isfinite(grid).any():
            j, i = np.unravel_index(np.nanargmin(worst * grid), grid.shape)
            labels = [option_labels(d, packed.values(d))[k] for d, k in ((self.x, i), (self.y, j))]
            what = f"the {'lowest' if worst > 0 else 'highest'} {packed.long_name(self.value)}"
            where = (
                f"{packed.long_name(self.x)} {labels[0]}, {packed.long_name(self.y)} {labels[1]}"
            )
            parts.append(f"{what}, {in_words(grid[j, i])}, is at {where}")
        missing = int(self._blank(packed, at, grid).sum())
        if lost := int((~np.isfinite(grid)).sum()) - missing:
            parts.append(f"{lost} of {grid.size} cells {self.missing}")
        if missing:
            parts.append(f"{missing} of {grid.size} cells missing")
        return "; ".join(parts)

    def draw(self, ax: Axes, packed: Packed, at: Selection, dims: Sequence[str]) -> None:
        """The grid in cividis, hatched where there is no value, the chosen cell ringed."""
        (low, high), log = self._domain(packed)
        ax.patch.set(hatch="////", edgecolor=MUTED, facecolor="white")
        grid, norm = self._medians(packed, at), "log" if log else "linear"
        colours = "cividis" if self.centre is None else PARTED
        image = ax.pcolormesh(grid, cmap=colours, norm=norm)
        image.set_clim(low, high)
        for j, i in np.argwhere(self._blank(packed, at, grid)):
            ax.add_patch(Rectangle((i, j), 1, 1, fc="white", ec="none"))
        for axis, dim in ((ax.xaxis, self.x), (ax.yaxis, self.y)):
            labels = option_labels(dim, packed.values(dim))
            every = -(-len(labels) // 6)
            axis.set_ticks(np.arange(len(labels))[::every] + 0.5, labels[::every])
        ax.add_patch(Rectangle((at[self.x], at[self.y]), 1, 1, fill=False, ec=PALETTE[1], lw=2))
        ax.set(xlabel=packed.long_name(self.x), ylabel=packed.long_name(self.y))
        ax.figure.colorbar(image, ax=ax, label=packed.long_name(self.value))
