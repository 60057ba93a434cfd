"""What an explorer can show: curves, a path over a surface, a heat map.

A panel is a value that names variables and dimensions of a dataset.  It knows how to describe
itself to the page (`spec`) and how to draw its still picture (`draw`); both read the same `Cube`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

import contourpy
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from lrcourse._checks import choice
from lrcourse.explore.cube import (
    Array,
    Cube,
    Selection,
    extent,
    is_numeric,
    listing,
    number,
    summary,
)
from lrcourse.plots import INK, MUTED, PALETTE

Bounds = tuple[tuple[float, float], tuple[float, float]]
Rule = float | str


class Panel(Protocol):
    """One picture of an explorer."""

    title: str | None

    def variables(self) -> tuple[str, ...]:
        """The variables it shows."""

    def axes(self) -> tuple[str, ...]:
        """The dimensions that are drawn out, so that no control is needed for them."""

    def cells(self) -> tuple[str, ...]:
        """The dimensions in which a click chooses."""

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel in words and numbers for the page; `dims` can be chosen by the reader."""

    def clause(self, cube: Cube, selection: Selection, dims: Sequence[str]) -> str:
        """What it shows at a selection, as half a sentence."""

    def draw(self, ax: Axes, cube: Cube, selection: Selection, dims: Sequence[str]) -> None:
        """The still picture at a selection."""


def _axes_named(name: str, log: str, axes: str) -> str:
    if not isinstance(log, str) or set(log) - set(axes):
        raise ValueError(f"{name} must name axes out of {axes!r}, such as 'y', was {log!r}")
    return log


def _dimension(cube: Cube, role: str, dim: str, variable: str) -> str:
    dims = cube.variable(variable, "variable").dims
    if dim not in dims:
        raise ValueError(f"{role} must be a dimension of {variable} ({listing(dims)}), was {dim!r}")
    if dim == cube.band:
        raise ValueError(f"{role} must not be the band {dim!r}; pass band=None to draw along it")
    if not is_numeric(cube.values(dim)):
        raise ValueError(f"{role} must be a dimension with numbers, {dim!r} holds labels")
    return dim


def _pair(values: Sequence[float]) -> list[float]:
    low, high = map(float, values)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"limits must be two rising finite numbers, were {tuple(values)!r}")
    return [low, high]


@dataclass(frozen=True)
class Lines:
    """Curves of one or more variables: the median run with its quartiles, or every run.

    Parameters
    ----------
    y : a variable, or several (solid, dashed, dotted).
    x : the dimension along the axis.  If the reader can choose it elsewhere, the curve carries a
        marker at the choice, and clicking the curve chooses.
    log : axes that start logarithmic, out of ``"xy"``; the reader can switch.
    faint : a dimension whose other runs stay in sight, faintly.
    choose : show one `y` at a time, with a toggle.
    spread : ``"band"`` for quartiles, ``"runs"`` for every run of the band.
    title, ylabel : words for the panel and its axis.
    ylim, xlim : limits of the axes; from the runs that did not diverge if not given.
    hlines, vlines : reference lines, label -> number, or -> variable over the chosen dimensions.

    >>> Lines("loss", x="step", log="y").axes()
    ('step',)
    """

    y: str | Sequence[str]
    x: str = "step"
    _: KW_ONLY
    log: str = ""
    faint: str | None = None
    choose: bool = False
    spread: str = "band"
    title: str | None = None
    ylabel: str | None = None
    ylim: tuple[float, float] | None = None
    xlim: tuple[float, float] | None = None
    hlines: Mapping[str, Rule] = field(default_factory=dict)
    vlines: Mapping[str, Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (self.y,) if isinstance(self.y, str) else tuple(self.y)
        if not 1 <= len(names) <= (9 if self.choose else 3) or len(set(names)) < len(names):
            raise ValueError(f"y must be one to three different variables, was {self.y!r}")
        object.__setattr__(self, "y", names)
        _axes_named("log", self.log, "xy")
        choice("spread", self.spread, ["band", "runs"])

    def variables(self) -> tuple[str, ...]:
        """The variables it shows, with those that place reference lines."""
        rules = [v for v in (*self.hlines.values(), *self.vlines.values()) if isinstance(v, str)]
        return (*self.y, *rules)

    def axes(self) -> tuple[str, ...]:
        """The dimension along the axis."""
        return (self.x,)

    def cells(self) -> tuple[str, ...]:
        """None of its own."""
        return ()

    def _limits(self, cube: Cube, name: str, log: bool) -> list[float] | None:
        if self.ylim is not None:
            limits = _pair(self.ylim)
            return limits if limits[0] > 0 or not log else extent(np.array([limits]), log)
        return extent(cube.every_row(name, self.x), log)

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        for name in self.y:
            cube.variable(name, "y")
            _dimension(cube, "x", self.x, name)
        if self.faint is not None and self.faint not in dims:
            raise ValueError(f"faint must be a control ({listing(dims)}), was {self.faint!r}")
        x = cube.values(self.x).astype(float)
        limits = {
            name: {kind: self._limits(cube, name, kind == "log") for kind in ("linear", "log")}
            for name in self.y
        }
        possible = all(pair["log"] for pair in limits.values())
        log = self.log if possible else self.log.replace("y", "")
        return {
            "kind": "lines",
            "title": self.title or cube.words(self.y[0]),
            "ylabel": self.ylabel,
            "x": self.x,
            "y": [cube.pack(name) for name in self.y],
            "log": log,
            "xlog": bool((x > 0).all() and x.max() >= 20 * x.min()),
            "faint": self.faint,
            "choose": key if self.choose else None,
            "spread": self.spread,
            "selects": self.x in dims,
            "domain": limits,
            "xlim": None if self.xlim is None else _pair(self.xlim),
            "rules": [
                [axis, label, cube.pack(at) if isinstance(at, str) else float(at)]
                for axis, rules in (("y", self.hlines), ("x", self.vlines))
                for label, at in rules.items()
            ],
        }

    def clause(self, cube: Cube, selection: Selection, dims: Sequence[str]) -> str:
        """The last value of each curve, or the value at the chosen place."""
        at = selection[self.x] if self.x in dims else cube.ds.sizes[self.x] - 1
        place = f" at {cube.words(self.x)} {number(cube.values(self.x)[at])}"
        where = "" if self.x in dims else place
        names = [self.y[selection.get("y", 0)]] if self.choose else self.y
        parts = []
        for name in names:
            rows = cube.rows(name, selection, self.x)[:, [at]]
            low, mid, high = (float(q[0]) for q in summary(rows, cube.worst(name)))
            many = f", median of {len(rows)} {cube.band}s" if len(rows) > 1 else ""
            if not np.isfinite(mid):
                parts.append(f"no finite {cube.words(name)}{where}{many}")
                continue
            many += f" (quartiles {number(low)} to {number(high)})" if many else ""
            parts.append(f"{cube.words(name)} {number(mid)}{where}{many}")
        return "; ".join(parts)

    def draw(self, ax: Axes, cube: Cube, selection: Selection, dims: Sequence[str]) -> None:
        """Median and quartiles of each variable, crosses where runs end."""
        x = cube.values(self.x).astype(float)
        names = self.y[:1] if self.choose else self.y
        styles = [(PALETTE[0], "-"), (INK, "--"), (PALETTE[1], ":")]
        if self.faint is not None:
            for i in range(cube.ds.sizes[self.faint]):
                rows = cube.rows(names[0], {**selection, self.faint: i}, self.x)
                ax.plot(x, _visible(summary(rows)[1]), color=MUTED, alpha=0.25, lw=0.7)
        log = "y" in self.log and all(self._limits(cube, n, True) for n in names)
        ends = [e for n in names if (e := self._limits(cube, n, log)) is not None]
        ax.set_yscale("log" if log else "linear")
        ax.set_xscale("log" if "x" in self.log else "linear")
        ax.set_ylim(min(e[0] for e in ends), max(e[1] for e in ends))
        for name, (color, dash) in zip(names, styles, strict=False):
            rows = cube.rows(name, selection, self.x)
            low, mid, high = summary(rows, cube.worst(name))
            if len(rows) > 1 and self.spread == "band":
                top = np.where(np.isfinite(high), high, ax.get_ylim()[1])
                ax.fill_between(x, low, top, color=color, alpha=0.18, lw=0)
            elif len(rows) > 1:
                ax.plot(x, rows.T, color=color, alpha=0.35, lw=0.7)
            ax.plot(x, _visible(mid), color=color, ls=dash, label=cube.words(name))
            for row in rows if self.x not in dims else []:
                end = int(np.isfinite(row).sum()) - 1
                if end < len(row) - 1:
                    y = np.clip(row[max(end, 0)], *ax.get_ylim()) if end >= 0 else ax.get_ylim()[1]
                    ax.plot(x[max(end, 0)], y, "x", color=color, clip_on=False)
            if self.x in dims:
                ax.plot(x[selection[self.x]], mid[selection[self.x]], "o", color=color)
        for rules, line in ((self.hlines, ax.axhline), (self.vlines, ax.axvline)):
            for at in rules.values():
                value = cube.rows(at, selection, None)[0, 0] if isinstance(at, str) else at
                line(float(value), color=MUTED, lw=0.8, ls=":")
        ax.set_xlabel(cube.words(self.x))
        ax.set_ylabel(self.ylabel or cube.words(names[0]))
        if len(names) > 1:
            ax.legend()


def _visible(curve: Array) -> Array:
    return np.where(np.isfinite(curve), curve, np.nan)


@dataclass(frozen=True)
class Path:
    """The way of a descent over contour lines, or over a curve when there is one coordinate.

    Parameters
    ----------
    x, y : the variables that hold the coordinates (in one dimension, `y` is the loss).
    along : the dimension that the path follows.
    surface : what lies below: an object with ``value(points)`` and ``bounds``, or a function of
        points of shape (n, 2) (of (n, 1): a curve).  A pair ``(dim, [surface, ...])`` changes it
        with a control.
    bounds : the part shown, ((x low, x high), (y low, y high)); the surface's own, or the data's.
    levels : how many contours, or their values.
    faint : a dimension whose other paths stay in sight, faintly.
    equal : one unit is as long across as upwards, so that gradients cross contours at right angles.
    log : ``"y"`` for a logarithmic loss axis over a curve.

    >>> Path("x0", "x1").axes()
    ('step',)
    """

    x: str
    y: str
    _: KW_ONLY
    along: str = "step"
    surface: Any = None
    bounds: Bounds | None = None
    levels: int | Sequence[float] = 12
    faint: str | None = None
    equal: bool = False
    log: str = ""
    title: str | None = None

    def __post_init__(self) -> None:
        _axes_named("log", self.log, "y")

    def variables(self) -> tuple[str, ...]:
        """The two coordinates."""
        return self.x, self.y

    def axes(self) -> tuple[str, ...]:
        """The dimension that the path follows."""
        return (self.along,)

    def cells(self) -> tuple[str, ...]:
        """None: a path chooses nothing."""
        return ()

    @property
    def _varies(self) -> str | None:
        return self.surface[0] if isinstance(self.surface, tuple) else None

    def _surfaces(self) -> list[Any]:
        if self.surface is None:
            return []
        return list(self.surface[1]) if isinstance(self.surface, tuple) else [self.surface]

    def _is_curve(self) -> bool:
        return any(len(getattr(s, "bounds", (0, 0))) == 1 for s in self._surfaces())

    def _box(self, cube: Cube) -> tuple[list[float], list[float]]:
        """Limits of both axes."""
        if self.bounds is not None:
            return _pair(self.bounds[0]), _pair(self.bounds[1])
        boxes = [s.bounds for s in self._surfaces() if hasattr(s, "bounds")]
        shown = [
            extent(cube.every_row(n, self.along), False) or [0.0, 1.0] for n in (self.x, self.y)
        ]
        if boxes:
            shown[: len(boxes[0])] = [_pair(side) for side in boxes[0]]
        if self._is_curve():
            ground = np.array(
                [_heights(s, np.linspace(*shown[0], 240)[:, None]) for s in self._surfaces()]
            )
            shown[1] = extent(ground, False) or shown[1]
        return shown[0], shown[1]

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        for name in (self.x, self.y):
            cube.variable(name, "x" if name == self.x else "y")
            _dimension(cube, "along", self.along, name)
        for role, dim in (("faint", self.faint), ("surface", self._varies)):
            if dim is not None and dim not in dims:
                raise ValueError(f"{role} must name a control ({listing(dims)}), was {dim!r}")
        x, y = self._box(cube)
        high = extent(cube.every_row(self.y, self.along), True) if self._is_curve() else None
        result = {
            "kind": "path",
            "title": self.title or "Path",
            "xlabel": cube.words(self.x),
            "ylabel": cube.words(self.y),
            "x": cube.pack(self.x),
            "y": cube.pack(self.y),
            "along": self.along,
            "faint": self.faint,
            "equal": self.equal,
            "log": self.log if high else "",
            "ylog": high is not None,
            "selects": False,
            "domain": {"x": x, "y": {"linear": y, "log": high or [1.0, 10.0]}},
        }
        if self._is_curve():
            result["curve"] = self._curve(cube, x, key)
        elif self.surface is not None:
            sets = [self._contours(cube, s, x, y) for s in self._surfaces()]
            result["contours"] = {"dim": self._varies, "pad": PAD, "sets": sets}
        return result

    def _curve(self, cube: Cube, x: list[float], key: str) -> dict[str, Any]:
        """The ground as one more variable of the cube, over a fine axis of its own."""
        fine = np.linspace(*x, 241)
        heights = np.array([_heights(s, fine[:, None]) for s in self._surfaces()])
        name, axis = f"{key} ground", f"{key} place"
        ground = xr.DataArray(heights, dims=[self._varies or "_one", axis], coords={axis: fine})
        cube.ds = cube.ds.assign({name: ground if self._varies else ground[0]})
        return {"dim": self._varies, "name": cube.pack(name), "along": axis}

    def _contours(self, cube: Cube, surface: Any, x: list[float], y: list[float]) -> dict[str, Any]:
        """Nested regions below each level, as 16-bit places in a box a little larger than shown."""
        gx, gy, heights = _ground(surface, x, y)
        generator = contourpy.contour_generator(gx, gy, heights, fill_type="OuterOffset")
        levels: list[list[int]] = []
        points: list[Array] = []
        for level in _levels(heights, self.levels):
            outlines, offsets = generator.filled(float(heights.min()) - 1.0, level)
            levels.append([int(n) for offset in offsets for n in np.diff(offset)])
            points += outlines
        flat = np.concatenate(points) if points else np.empty((0, 2))
        low, size = np.array([gx[0], gy[0]]), np.array([gx[-1] - gx[0], gy[-1] - gy[0]])
        codes = np.rint((flat - low) / size * 65_535).clip(0, 65_535).astype("<u2")
        return {"levels": levels, "size": len(codes), "offset": cube.place(codes.tobytes())}

    def clause(self, cube: Cube, selection: Selection, dims: Sequence[str]) -> str:
        """Where the first run of the path ends."""
        (x0, x1), (y0, y1) = self._box(cube)
        x, y = (cube.rows(n, selection, self.along)[0] for n in (self.x, self.y))
        steps, name = cube.values(self.along), cube.words(self.along)
        there = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if there.size == 0:
            return "no finite point"
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        end = there[-1]
        if not inside[end]:
            out = there[~inside[there]][0]
            return f"the path leaves the picture at {name} {number(steps[out])}"
        return f"the path ends at ({number(x[end])}, {number(y[end])}) after {name} {number(steps[end])}"

    def draw(self, ax: Axes, cube: Cube, selection: Selection, dims: Sequence[str]) -> None:
        """Contours or the curve, and the path of each run."""
        x, y = self._box(cube)
        surfaces = self._surfaces()
        if surfaces:
            surface = surfaces[selection[self._varies] if self._varies else 0]
            if self._is_curve():
                fine = np.linspace(*x, 241)
                ax.plot(fine, _heights(surface, fine[:, None]), color=MUTED, lw=1)
            else:
                gx, gy, heights = _ground(surface, x, y)
                ax.contour(
                    gx, gy, heights, _levels(heights, self.levels), colors=MUTED, linewidths=0.5
                )
        for px, py in zip(
            *(cube.rows(n, selection, self.along) for n in (self.x, self.y)), strict=False
        ):
            ax.plot(px, py, "-", color=PALETTE[0], lw=1.2, marker=".", ms=3)
            ax.plot(px[0], py[0], "o", color=PALETTE[0], mfc="white")
            end = np.flatnonzero(np.isfinite(px) & np.isfinite(py))
            if end.size:
                ax.plot(px[end[-1]], py[end[-1]], "o", color=PALETTE[0])
        ax.set(xlim=x, ylim=y, xlabel=cube.words(self.x), ylabel=cube.words(self.y))
        if self.equal:
            ax.set_aspect("equal")


PAD = 0.02  # contours reach a little beyond the frame, so that their closing edges are not seen


def _heights(surface: Any, points: Array) -> Array:
    value: Callable[[Array], Any] = getattr(surface, "value", surface)
    heights = np.asarray(value(points), dtype=float)
    if heights.shape != points.shape[:-1] or not np.isfinite(heights).all():
        raise ValueError(f"surface must give a finite number for each of {len(points)} points")
    return heights


def _ground(
    surface: Any, x: list[float], y: list[float], n: int = 97
) -> tuple[Array, Array, Array]:
    """The surface on a grid a little larger than the frame, rows upwards."""
    gx, gy = (np.linspace(a - PAD * (b - a), b + PAD * (b - a), n) for a, b in (x, y))
    grid = np.stack(np.meshgrid(gx, gy), axis=-1)
    return gx, gy, _heights(surface, grid.reshape(-1, 2)).reshape(n, n)


def _levels(heights: Array, levels: int | Sequence[float]) -> list[float]:
    """Levels whose regions grow evenly, whatever the surface: quantiles of its heights."""
    if not isinstance(levels, int):
        return sorted(float(v) for v in levels)
    return [
        float(v) for v in np.quantile(heights, (np.arange(1, levels + 1) / (levels + 1)) ** 1.6)
    ]


@dataclass(frozen=True)
class HeatMap:
    """A grid of medians over two dimensions; the cell under the ring is the run shown beside it.

    Parameters
    ----------
    value : the variable in colour.
    x, y : dimensions across and upwards.
    log : colours follow the logarithm.
    missing : what to call a cell without a finite median.
    boundary : lines over the map, label -> x for each y (an array, or a variable over `y`).

    >>> HeatMap("final_loss", "lr", "momentum").axes()
    ('lr', 'momentum')
    """

    value: str
    x: str
    y: str
    _: KW_ONLY
    log: bool = False
    missing: str = "diverged"
    boundary: Mapping[str, Any] = field(default_factory=dict)
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

    def _medians(self, cube: Cube, selection: Selection) -> Array:
        array = cube.ds[self.value]
        at = {
            d: selection.get(str(d), 0) for d in array.dims if d not in (cube.band, self.x, self.y)
        }
        lead = [d for d in (cube.band,) if d in array.dims]
        cut = array.isel(at).transpose(*lead, self.y, self.x).values.astype(float)
        return _visible(summary(cut if lead else cut[None], cube.worst(self.value))[1])

    def _range(self, cube: Cube) -> tuple[list[float], bool]:
        rows = cube.every_row(self.value, self.x).reshape(-1, 1)
        limits = extent(rows, True) if self.log else None
        if limits:
            return limits, True
        finite = rows[np.isfinite(rows)]
        if finite.size == 0 or finite.min() == finite.max():
            return extent(rows, False) or [0.0, 1.0], False
        wide = extent(rows, False) or [0.0, 1.0]
        return [max(float(finite.min()), wide[0]), min(float(finite.max()), wide[1])], False

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        cube.variable(self.value, "value")
        for role, dim in (("x", self.x), ("y", self.y)):
            if dim not in cube.ds[self.value].dims or dim == cube.band:
                has = listing(d for d in cube.ds[self.value].dims if d != cube.band)
                raise ValueError(f"{role} must be a dimension of {self.value} ({has}), was {dim!r}")
        if self.x == self.y:
            raise ValueError(f"x and y must be two dimensions, both were {self.x!r}")
        limits, log = self._range(cube)
        return {
            "kind": "heat",
            "title": self.title or cube.words(self.value),
            "value": cube.pack(self.value),
            "x": self.x,
            "y": self.y,
            "log": "c" if log else "",
            "best": -cube.worst(self.value),
            "missing": self.missing,
            "domain": limits,
            "bounds": [[label, self._bound(cube, at)] for label, at in self.boundary.items()],
        }

    def _bound(self, cube: Cube, at: Any) -> list[float]:
        values = np.asarray(cube.ds[at] if isinstance(at, str) else at, dtype=float)
        if values.shape != (cube.ds.sizes[self.y],) or not np.isfinite(values).all():
            n = cube.ds.sizes[self.y]
            raise ValueError(f"boundary must hold {n} finite numbers, one for each {self.y}")
        return [float(v) for v in values]

    def clause(self, cube: Cube, selection: Selection, dims: Sequence[str]) -> str:
        """The best cell, and how many have no value."""
        grid = self._medians(cube, selection)
        parts, worst = [], cube.worst(self.value)
        if np.isfinite(grid).any():
            j, i = np.unravel_index(np.nanargmin(worst * grid), grid.shape)
            at = ", ".join(
                f"{cube.words(d)} {_text(cube.values(d)[k])}" for d, k in ((self.x, i), (self.y, j))
            )
            what = f"the {'lowest' if worst > 0 else 'highest'} {cube.words(self.value)}"
            parts.append(f"{what}, {number(grid[j, i])}, is at {at}")
        if lost := int((~np.isfinite(grid)).sum()):
            parts.append(f"{lost} of {grid.size} cells {self.missing}")
        return "; ".join(parts)

    def draw(self, ax: Axes, cube: Cube, selection: Selection, dims: Sequence[str]) -> None:
        """The grid in cividis, hatched where there is no value, the chosen cell ringed."""
        (low, high), log = self._range(cube)
        grid = self._medians(cube, selection)
        ax.set_facecolor("#eeeeee")
        ax.patch.set(hatch="////", edgecolor="#999999")
        image = ax.pcolormesh(grid, cmap="cividis", norm="log" if log else "linear")
        image.set_clim(low, high)
        for axis, dim in ((ax.xaxis, self.x), (ax.yaxis, self.y)):
            labels = [_text(v) for v in cube.values(dim)]
            every = max(1, len(labels) // 6)
            axis.set_ticks(np.arange(len(labels))[::every] + 0.5, labels[::every])
        i, j = selection[self.x], selection[self.y]
        ax.add_patch(_ring(i, j))
        ax.set(xlabel=cube.words(self.x), ylabel=cube.words(self.y))
        ax.figure.colorbar(image, ax=ax, label=cube.words(self.value))


def _ring(i: int, j: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((i, j), 1, 1, fill=False, edgecolor=PALETTE[1], lw=2)


def _text(value: Any) -> str:
    return number(float(value)) if isinstance(value, (int, float, np.number)) else str(value)
