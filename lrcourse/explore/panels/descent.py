"""A descent over contour lines, or over a curve when there is one coordinate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import contourpy
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from lrcourse.explore.pack import Limits, Packed, Selection, extent
from lrcourse.explore.panels import Panel, check_along, check_limits, check_log
from lrcourse.explore.words import Array, in_words, listing
from lrcourse.plots import MUTED, PALETTE

PAD = 0.02  # contours reach a little beyond the frame, so that their closing edges are not seen


@dataclass(frozen=True)
class Descent(Panel):
    """The path of a descent over contour lines, or over a curve when there is one coordinate.

    Parameters
    ----------
    x, y : str
        The variables that hold the coordinates (in one dimension, `y` is the loss).
    along : str
        The dimension that the path follows.
    surface : object or callable or (str, list), optional
        What lies below: an object with ``value(points)`` and ``bounds``, or a function of points
        of shape (n, 2).  ``(dim, [surface, ...])`` changes it with a control.  A surface with one
        pair of bounds is a curve.
    bounds : ((float, float), (float, float)), optional
        The part shown, ((x low, x high), (y low, y high)); else the surface's, or the data's.
    levels : int or sequence of float
        How many contours, or their values.
    faint : str, optional
        A control whose other paths stay in sight, faintly.
    start : str, optional
        A control whose runs differ in where they start: the start can then be dragged.
    equal : bool
        One unit is as long across as upwards, so that gradients cross contours at right angles.
    log : {"", "y"}
        ``"y"`` for a logarithmic loss over a curve.
    title : str, optional
        Words for the panel.

    Raises
    ------
    ValueError, TypeError
        For options that do not exist; names and surfaces are checked by `explore`.

    Examples
    --------
    >>> Descent("x0", "x1").axes()
    ('step',)
    """

    x: str
    y: str
    _: KW_ONLY
    along: str = "step"
    surface: Any = None
    bounds: tuple[Limits, Limits] | None = None
    levels: int | Sequence[float] = 12
    faint: str | None = None
    start: str | None = None
    equal: bool = False
    log: str = ""
    title: str | None = None

    def __post_init__(self) -> None:
        check_log(self.log, "y")

    def variables(self) -> tuple[str, ...]:
        """The two coordinates."""
        return self.x, self.y

    def axes(self) -> tuple[str, ...]:
        """The dimension that the path follows."""
        return (self.along,)

    def _ground(self) -> tuple[str | None, list[Any]]:
        """The control that changes the surface, if one does, and the surfaces."""
        if isinstance(self.surface, tuple):
            return self.surface[0], list(self.surface[1])
        return None, [] if self.surface is None else [self.surface]

    def _is_curve(self) -> bool:
        return any(len(getattr(s, "bounds", "xy")) == 1 for s in self._ground()[1])

    def _box(self, packed: Packed) -> tuple[Limits, Limits]:
        if self.bounds is not None:
            return check_limits("bounds", self.bounds[0]), check_limits("bounds", self.bounds[1])
        surfaces = self._ground()[1]
        sides = [check_limits("bounds", b) for s in surfaces[:1] for b in getattr(s, "bounds", ())]
        if self._is_curve():
            heights = [_heights(s, np.linspace(*sides[0], 241)[:, None]) for s in surfaces]
            sides.append(extent(np.array(heights), False) or (0.0, 1.0))
        for name in (self.x, self.y)[len(sides) :]:
            sides.append(extent(packed.curves(name, self.along), False) or (0.0, 1.0))
        return sides[0], sides[1]

    def spec(self, packed: Packed, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        for name in (self.x, self.y):
            check_along(packed, "along", self.along, name)
        varies, surfaces = self._ground()
        for role, dim in (("faint", self.faint), ("start", self.start), ("surface", varies)):
            if dim is not None and dim not in dims:
                raise ValueError(f"{role} must name a control ({listing(dims)}), was {dim!r}")
        if varies is not None and len(surfaces) != packed.ds.sizes[varies]:
            n = packed.ds.sizes[varies]
            raise ValueError(f"surface must hold {n} surfaces, one for each {varies}")
        x, y = self._box(packed)
        high = extent(packed.curves(self.y, self.along), True) if self._is_curve() else None
        result: dict[str, Any] = {
            "kind": "descent",
            "title": self.title,
            "xlabel": packed.long_name(self.x),
            "ylabel": packed.long_name(self.y),
            "x": packed.pack(self.x),
            "y": packed.pack(self.y),
            "along": self.along,
            "faint": self.faint,
            "start": self.start,
            "equal": self.equal,
            "log": self.log if high else "",
            "ylog": high is not None,
            "domain": {"x": x, "y": {"linear": y, "log": high}},
        }
        if self._is_curve():
            name, axis, fine = f"{key} ground", f"{key} place", np.linspace(*x, 241)
            heights = xr.DataArray(
                np.array([_heights(s, fine[:, None]) for s in surfaces]),
                dims=[varies or "only", axis],
                coords={axis: fine},
            )
            packed.ds = packed.ds.assign({name: heights if varies else heights[0]})
            result["curve"] = {"dim": varies, "name": packed.pack(name), "along": axis}
        elif surfaces:
            sets = [self._contours(packed, s, x, y) for s in surfaces]
            result["contours"] = {"dim": varies, "pad": PAD, "sets": sets}
        return result

    def _contours(self, packed: Packed, surface: Any, x: Limits, y: Limits) -> dict[str, Any]:
        """The region below each level, as 16-bit places in a box a little larger than shown."""
        gx, gy, heights = _grid(surface, x, y)
        generator = contourpy.contour_generator(gx, gy, heights, fill_type="OuterOffset")
        levels: list[list[int]] = []
        points: list[Array] = []
        for level in _levels(heights, self.levels):
            region: Any = generator.filled(float(heights.min()) - 1.0, level)
            levels.append([int(n) for offsets in region[1] for n in np.diff(offsets)])
            points += region[0]
        low, size = np.array([gx[0], gy[0]]), np.array([np.ptp(gx), np.ptp(gy)])
        flat = np.concatenate([np.empty((0, 2)), *points])
        codes = np.rint((flat - low) / size * 65_535).clip(0, 65_535).astype("<u2")
        return {"levels": levels, "size": len(codes), "offset": packed.place(codes.tobytes())}

    def clause(self, packed: Packed, at: Selection, dims: Sequence[str]) -> str:
        """Where the first run of the path ends."""
        box = self._box(packed)
        points = np.stack([packed.rows(n, at, self.along)[0] for n in (self.x, self.y)])
        steps, name = packed.values(self.along), packed.long_name(self.along)
        seen = np.flatnonzero(np.isfinite(points).all(axis=0))
        if seen.size == 0:
            return "no finite point"
        low, high = np.array(box).T[..., None]
        inside = ((points >= low) & (points <= high)).all(axis=0)
        if not inside[seen[-1]]:
            out = seen[~inside[seen]][0]
            return f"the path leaves the picture at {name} {in_words(steps[out])}"
        grains = [10.0 ** (np.floor(np.log10(b - a)) - 3) for a, b in box]
        ends = zip(points[:, seen[-1]], grains, strict=True)
        pair = ", ".join(in_words(round(v / grain) * grain) for v, grain in ends)
        return f"the path ends at ({pair}) after {name} {in_words(steps[seen[-1]])}"

    def draw(self, ax: Axes, packed: Packed, at: Selection, dims: Sequence[str]) -> None:
        """Contours or the curve, and the path of each run."""
        x, y = self._box(packed)
        varies, surfaces = self._ground()
        surface = surfaces[at[varies] if varies else 0] if surfaces else None
        if surface is not None and self._is_curve():
            fine = np.linspace(*x, 241)
            ax.plot(fine, _heights(surface, fine[:, None]), color=MUTED, lw=1)
        elif surface is not None:
            gx, gy, heights = _grid(surface, x, y)
            levels = _levels(heights, self.levels)
            ax.contour(gx, gy, heights, levels, colors=MUTED, linewidths=0.5)
        xs, ys = (packed.rows(name, at, self.along) for name in (self.x, self.y))
        for px, py in zip(*np.broadcast_arrays(xs, ys), strict=True):
            seen = np.isfinite(px) & np.isfinite(py)
            ax.plot(px[seen], py[seen], ".-", color=PALETTE[0], lw=1.2, ms=3)
            ax.plot(px[seen][:1], py[seen][:1], "o", color=PALETTE[0], mfc="white")
            ax.plot(px[seen][-1:], py[seen][-1:], "o" if seen.all() else "x", color=PALETTE[0])
        ax.set(xlim=x, ylim=y, xlabel=packed.long_name(self.x), ylabel=packed.long_name(self.y))
        ax.set_aspect("equal" if self.equal else "auto")


def _heights(surface: Any, points: Array) -> Array:
    value: Callable[[Array], Any] = getattr(surface, "value", surface)
    heights = np.asarray(value(points), dtype=float)
    if heights.shape != points.shape[:-1] or not np.isfinite(heights).all():
        raise ValueError(f"surface must give a finite number for each of {len(points)} points")
    return heights


def _grid(surface: Any, x: Limits, y: Limits, n: int = 97) -> tuple[Array, Array, Array]:
    """The surface on a grid a little larger than the frame, rows upwards."""
    gx, gy = (np.linspace(a - PAD * (b - a), b + PAD * (b - a), n) for a, b in (x, y))
    points = np.stack(np.meshgrid(gx, gy), axis=-1).reshape(-1, 2)
    return gx, gy, _heights(surface, points).reshape(n, n)


def _levels(heights: Array, levels: int | Sequence[float]) -> list[float]:
    """Levels whose regions grow evenly, whatever the surface: quantiles of its heights."""
    if not isinstance(levels, int):
        return sorted(float(v) for v in levels)
    shares = (np.arange(1, levels + 1) / (levels + 1)) ** 1.6
    return [float(v) for v in np.quantile(heights, shares)]
