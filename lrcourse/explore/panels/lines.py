"""What an explorer can show: curves, a path over a surface, a heat map.

A panel is a value that names variables and dimensions of a dataset.  It describes itself to the
page (`spec`), says what it shows in half a sentence (`clause`), and draws its still picture
(`draw`); all three read the same `Cube`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import contourpy
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lrcourse._checks import choice
from lrcourse.explore.cube import (
    Array,
    Cube,
    Limits,
    Selection,
    extent,
    is_numeric,
    listing,
    number,
    option_labels,
    summary,
)
from lrcourse.plots import INK, MUTED, PALETTE

PAD = 0.02  # contours reach a little beyond the frame, so that their closing edges are not seen


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

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel in words and numbers, for the page."""
        raise NotImplementedError

    def clause(self, cube: Cube, at: Selection, dims: Sequence[str]) -> str:
        """What it shows at a selection, as half a sentence."""
        raise NotImplementedError

    def draw(self, ax: Axes, cube: Cube, at: Selection, dims: Sequence[str]) -> None:
        """The still picture at a selection."""
        raise NotImplementedError


def _log(log: Any, axes: str) -> None:
    if not isinstance(log, str) or set(log) - set(axes):
        raise ValueError(f"log must be some of the letters {axes!r}, was {log!r}")


def _along(cube: Cube, role: str, dim: str, variable: str) -> None:
    """Check that a curve of `variable` can be drawn along `dim`."""
    dims = cube.variable(variable, "y").dims
    if dim not in dims:
        raise ValueError(f"{role} must be a dimension of {variable} ({listing(dims)}), was {dim!r}")
    if dim == cube.band:
        raise ValueError(f"{role} must not be the band {dim!r}; band=None makes it a dimension")
    if not is_numeric(cube.values(dim)):
        raise ValueError(f"{role} must be a dimension with numbers, {dim!r} holds labels")


def _limits(name: str, values: Any) -> Limits:
    low, high = (float(v) for v in values)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"{name} must be two rising finite numbers, was {tuple(values)!r}")
    return low, high


def _visible(curve: Array) -> Array:
    return np.where(np.isfinite(curve), curve, np.nan)


@dataclass(frozen=True)
class Lines(Panel):
    """Curves of one or more variables: the median run with its quartiles, or every run.

    Parameters
    ----------
    y : a variable, or up to three (solid, dashed, dotted).
    x : the dimension along the axis.  If it is also a control, the curve carries a marker at the
        choice, and clicking the curve chooses.
    log : axes that start logarithmic, out of ``"xy"``; the reader can switch.
    faint : a control whose other runs stay in sight, faintly.
    choose : show one `y` at a time, with a toggle.
    spread : ``"band"`` for quartiles, ``"runs"`` for every run of the band.
    title, ylabel : words for the panel and its axis.
    xlim, ylim : limits of the axes, else from the runs that did not diverge.
    hlines, vlines : reference lines, label -> number, or -> variable over the controls.

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
    xlim: Limits | None = None
    ylim: Limits | None = None
    hlines: Mapping[str, float | str] = field(default_factory=dict)
    vlines: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (self.y,) if isinstance(self.y, str) else tuple(self.y)
        most = 9 if self.choose else 3
        if not 1 <= len(names) <= most or len(set(names)) < len(names):
            raise ValueError(f"y must be one to {most} different variables, was {self.y!r}")
        object.__setattr__(self, "y", names)
        _log(self.log, "xy")
        choice("spread", self.spread, ["band", "runs"])

    def variables(self) -> tuple[str, ...]:
        """The variables it shows, with those that place reference lines."""
        rules = (*self.hlines.values(), *self.vlines.values())
        return (*self.y, *(v for v in rules if isinstance(v, str)))

    def axes(self) -> tuple[str, ...]:
        """The dimension along the axis."""
        return (self.x,)

    def _domain(self, cube: Cube, name: str, log: bool) -> Limits | None:
        rows = cube.curves(name, self.x, quartiles=self.spread == "band")
        if self.ylim is None:
            return extent(rows, log)
        low, high = _limits("ylim", self.ylim)
        return (low, high) if low > 0 or not log else None

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        for name in self.y:
            _along(cube, "x", self.x, name)
        if "x" in self.log and not (cube.values(self.x) > 0).any():
            raise ValueError(f"log='x' needs positive values of {self.x}")
        if self.faint is not None and self.faint not in dims:
            raise ValueError(f"faint must be a control ({listing(dims)}), was {self.faint!r}")
        x = cube.values(self.x)
        domain = {
            name: {"linear": self._domain(cube, name, False), "log": self._domain(cube, name, True)}
            for name in self.y
        }
        possible = all(pair["log"] for pair in domain.values())
        rules = [("y", *rule) for rule in self.hlines.items()]
        rules += [("x", *rule) for rule in self.vlines.items()]
        return {
            "kind": "lines",
            "title": self.title,
            "ylabel": self.ylabel,
            "x": self.x,
            "y": [cube.pack(name) for name in self.y],
            "log": self.log if possible else self.log.replace("y", ""),
            "xlog": bool(x.min() > 0 and x.max() >= 20 * x.min()),
            "faint": self.faint,
            "choose": key if self.choose else None,
            "spread": self.spread,
            "selects": self.x in dims,
            "domain": domain,
            "xlim": self.xlim and _limits("xlim", self.xlim),
            "rules": [
                (axis, label, cube.pack(at) if isinstance(at, str) else float(at))
                for axis, label, at in rules
            ],
        }

    def _shown(self, at: Selection) -> Sequence[str]:
        return [self.y[at["choice"]]] if self.choose else self.y

    def clause(self, cube: Cube, at: Selection, dims: Sequence[str]) -> str:
        """The last value of each curve, or the value at the chosen place."""
        k = at[self.x] if self.x in dims else cube.ds.sizes[self.x] - 1
        place = f" at {cube.words(self.x)} {number(cube.values(self.x)[k])}"
        where = "" if self.x in dims else place
        parts = []
        for name in self._shown(at):
            rows = cube.rows(name, at, self.x)
            low, mid, high = (float(q[k]) for q in summary(rows, cube.worst(name)))
            label, many = cube.words(name), f"{len(rows)} {cube.band}s"
            spread = f", median of {many}"
            spread += f" (quartiles {number(low)} to {number(high)})" if low < high else ""
            if np.isfinite(mid):
                parts.append(f"{label} {number(mid)}{where}{spread if len(rows) > 1 else ''}")
            elif len(rows) > 1:
                parts.append(f"no finite median {label}{where} ({many})")
            else:
                parts.append(f"no finite {label}{where}")
        return "; ".join(parts)

    def draw(self, ax: Axes, cube: Cube, at: Selection, dims: Sequence[str]) -> None:
        """Median and quartiles of each variable, crosses where runs end."""
        x, names = cube.values(self.x).astype(float), self._shown(at)
        log = "y" in self.log and all(self._domain(cube, n, True) for n in names)
        ends = [limits for n in names if (limits := self._domain(cube, n, log))]
        bottom, top = min(e[0] for e in ends), max(e[1] for e in ends)
        ax.set(xscale="log" if "x" in self.log else "linear", yscale="log" if log else "linear")
        wide = x[x > 0] if "x" in self.log else x
        ax.set(ylim=(bottom, top), xlim=self.xlim or (wide.min(), wide.max()))
        ax.set_xlabel(cube.words(self.x))
        ax.set_ylabel(self.ylabel or (cube.words(names[0]) if len(names) == 1 else ""))
        for i in range(cube.ds.sizes[self.faint]) if self.faint else ():
            mid = summary(cube.rows(names[0], {**at, self.faint or "": i}, self.x))[1]
            ax.plot(x, _visible(mid), color=MUTED, alpha=0.25, lw=0.7)
        looks = ((PALETTE[0], "-"), (INK, "--"), (MUTED, ":"))
        for name, (color, dash) in zip(names, looks, strict=False):
            rows, worst = cube.rows(name, at, self.x), cube.worst(name)
            low, mid, high = (q.clip(bottom, top) for q in summary(rows, worst))
            if len(rows) > 1 and self.spread == "band":
                ax.fill_between(x, low, high, color=color, alpha=0.18, lw=0)
            elif len(rows) > 1:
                ax.plot(x, rows.T, color=color, alpha=0.35, lw=0.7)
            mid = summary(rows, worst)[1]
            ax.plot(x, _visible(mid), color=color, ls=dash, label=cube.words(name))
            if self.x in dims:
                ax.plot(x[at[self.x]], mid[at[self.x]], "o", color=color)
                continue
            for row in rows:
                seen = np.flatnonzero(np.isfinite(row))
                k = seen[-1] if seen.size else 0
                if k < len(row) - 1:
                    y = float(np.clip(row[k], bottom, top)) if seen.size else top
                    ax.plot(x[k], y, "x", color=color, clip_on=False)
        for rules, line in ((self.hlines, ax.axhline), (self.vlines, ax.axvline)):
            for rule in rules.values():
                value = cube.rows(rule, at, None)[0, 0] if isinstance(rule, str) else rule
                line(float(value), color=MUTED, lw=0.8, ls=":")
        if len(names) > 1:
            ax.legend()


@dataclass(frozen=True)
class Path(Panel):
    """The way of a descent over contour lines, or over a curve when there is one coordinate.

    Parameters
    ----------
    x, y : the variables that hold the coordinates (in one dimension, `y` is the loss).
    along : the dimension that the path follows.
    surface : what lies below: an object with ``value(points)`` and ``bounds``, or a function of
        points of shape (n, 2).  ``(dim, [surface, ...])`` changes it with a control.  A surface
        with one pair of bounds is a curve.
    bounds : the part shown, ((x low, x high), (y low, y high)); else the surface's, or the data's.
    levels : how many contours, or their values.
    faint : a control whose other paths stay in sight, faintly.
    equal : one unit is as long across as upwards, so that gradients cross contours at right angles.
    log : ``"y"`` for a logarithmic loss over a curve.

    >>> Path("x0", "x1").axes()
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
    equal: bool = False
    log: str = ""
    title: str | None = None

    def __post_init__(self) -> None:
        _log(self.log, "y")

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

    def _box(self, cube: Cube) -> tuple[Limits, Limits]:
        if self.bounds is not None:
            return _limits("bounds", self.bounds[0]), _limits("bounds", self.bounds[1])
        surfaces = self._ground()[1]
        sides = [_limits("bounds", b) for s in surfaces[:1] for b in getattr(s, "bounds", ())]
        if self._is_curve():
            heights = [_heights(s, np.linspace(*sides[0], 241)[:, None]) for s in surfaces]
            sides.append(extent(np.array(heights), False) or (0.0, 1.0))
        for name in (self.x, self.y)[len(sides) :]:
            sides.append(extent(cube.curves(name, self.along), False) or (0.0, 1.0))
        return sides[0], sides[1]

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        for name in (self.x, self.y):
            _along(cube, "along", self.along, name)
        varies, surfaces = self._ground()
        for role, dim in (("faint", self.faint), ("surface", varies)):
            if dim is not None and dim not in dims:
                raise ValueError(f"{role} must name a control ({listing(dims)}), was {dim!r}")
        if varies is not None and len(surfaces) != cube.ds.sizes[varies]:
            n = cube.ds.sizes[varies]
            raise ValueError(f"surface must hold {n} surfaces, one for each {varies}")
        x, y = self._box(cube)
        high = extent(cube.curves(self.y, self.along), True) if self._is_curve() else None
        result: dict[str, Any] = {
            "kind": "path",
            "title": self.title,
            "xlabel": cube.words(self.x),
            "ylabel": cube.words(self.y),
            "x": cube.pack(self.x),
            "y": cube.pack(self.y),
            "along": self.along,
            "faint": self.faint,
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
            cube.ds = cube.ds.assign({name: heights if varies else heights[0]})
            result["curve"] = {"dim": varies, "name": cube.pack(name), "along": axis}
        elif surfaces:
            sets = [self._contours(cube, s, x, y) for s in surfaces]
            result["contours"] = {"dim": varies, "pad": PAD, "sets": sets}
        return result

    def _contours(self, cube: Cube, surface: Any, x: Limits, y: Limits) -> dict[str, Any]:
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
        return {"levels": levels, "size": len(codes), "offset": cube.place(codes.tobytes())}

    def clause(self, cube: Cube, at: Selection, dims: Sequence[str]) -> str:
        """Where the first run of the path ends."""
        box = self._box(cube)
        points = np.stack([cube.rows(n, at, self.along)[0] for n in (self.x, self.y)])
        steps, name = cube.values(self.along), cube.words(self.along)
        seen = np.flatnonzero(np.isfinite(points).all(axis=0))
        if seen.size == 0:
            return "no finite point"
        low, high = np.array(box).T[..., None]
        inside = ((points >= low) & (points <= high)).all(axis=0)
        if not inside[seen[-1]]:
            out = seen[~inside[seen]][0]
            return f"the path leaves the picture at {name} {number(steps[out])}"
        grains = [10.0 ** (np.floor(np.log10(b - a)) - 3) for a, b in box]
        pair = [number(round(v / g) * g) for v, g in zip(points[:, seen[-1]], grains, strict=True)]
        return f"the path ends at ({', '.join(pair)}) after {name} {number(steps[seen[-1]])}"

    def draw(self, ax: Axes, cube: Cube, at: Selection, dims: Sequence[str]) -> None:
        """Contours or the curve, and the path of each run."""
        x, y = self._box(cube)
        varies, surfaces = self._ground()
        surface = surfaces[at[varies] if varies else 0] if surfaces else None
        if surface is not None and self._is_curve():
            fine = np.linspace(*x, 241)
            ax.plot(fine, _heights(surface, fine[:, None]), color=MUTED, lw=1)
        elif surface is not None:
            gx, gy, heights = _grid(surface, x, y)
            levels = _levels(heights, self.levels)
            ax.contour(gx, gy, heights, levels, colors=MUTED, linewidths=0.5)
        xs, ys = (cube.rows(name, at, self.along) for name in (self.x, self.y))
        for px, py in zip(*np.broadcast_arrays(xs, ys), strict=True):
            seen = np.isfinite(px) & np.isfinite(py)
            ax.plot(px[seen], py[seen], ".-", color=PALETTE[0], lw=1.2, ms=3)
            ax.plot(px[seen][:1], py[seen][:1], "o", color=PALETTE[0], mfc="white")
            ax.plot(px[seen][-1:], py[seen][-1:], "o" if seen.all() else "x", color=PALETTE[0])
        ax.set(xlim=x, ylim=y, xlabel=cube.words(self.x), ylabel=cube.words(self.y))
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


@dataclass(frozen=True)
class HeatMap(Panel):
    """A grid of medians over two dimensions; the cell in the ring is the run shown beside it.

    Parameters
    ----------
    value : the variable in colour.
    x, y : dimensions across and upwards.
    log : colours follow the logarithm.
    missing : what to call a cell without a finite median.
    boundary : lines over the map, label -> x for each y (numbers, or a variable over `y`).
    mark : ring the best cell and name it; False where neither end of the scale is better.

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

    def _medians(self, cube: Cube, at: Selection) -> Array:
        """One number for each y (rows) and x (columns)."""
        places = [{**at, self.y: j} for j in range(cube.ds.sizes[self.y])]
        rows = (cube.rows(self.value, place, self.x) for place in places)
        return np.array([_visible(summary(r, cube.worst(self.value))[1]) for r in rows])

    def _domain(self, cube: Cube) -> tuple[Limits, bool]:
        """The range of the colours, and if they follow the logarithm; outliers get the last one."""
        values = cube.curves(self.value, self.x).ravel()
        values = values[np.isfinite(values)]
        if self.log and (values > 0).any() and values.min() >= 0:
            low = float(values[values > 0].min())
            high = min(float(values.max()), 100 * float(np.median(values)) or np.inf)
            return (max(low, high * 1e-16), high) if low < high else (low / 2, low * 2), True
        return extent(values[:, None], False, pad=False) or (0.0, 1.0), False

    def spec(self, cube: Cube, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        has = [d for d in cube.variable(self.value, "value").dims if d != cube.band]
        for role, dim in (("x", self.x), ("y", self.y)):
            if dim not in has:
                must = f"a dimension of {self.value} ({listing(has)})"
                raise ValueError(f"{role} must be {must}, was {dim!r}")
        if self.x == self.y:
            raise ValueError(f"x and y must be two dimensions, both were {self.x!r}")
        limits, log = self._domain(cube)
        return {
            "kind": "heat",
            "title": self.title or cube.words(self.value),
            "value": cube.pack(self.value),
            "x": self.x,
            "y": self.y,
            "log": "colour" if log else "",
            "best": -cube.worst(self.value) if self.mark else 0,
            "missing": self.missing,
            "domain": limits,
            "bounds": [(label, self._bound(cube, at)) for label, at in self.boundary.items()],
        }

    def _bound(self, cube: Cube, at: Any) -> list[float]:
        source = cube.variable(at, "boundary") if isinstance(at, str) else at
        values = np.asarray(source, dtype=float)
        n = cube.ds.sizes[self.y]
        if not is_numeric(cube.values(self.x)) or (np.diff(cube.values(self.x)) <= 0).any():
            raise ValueError(f"boundary needs rising numbers along x, {self.x} has none")
        if values.shape != (n,) or not np.isfinite(values).all():
            raise ValueError(f"boundary must hold {n} finite numbers, one for each {self.y}")
        return [float(v) for v in values]

    def clause(self, cube: Cube, at: Selection, dims: Sequence[str]) -> str:
        """The best cell, and how many have no value."""
        grid, worst, parts = self._medians(cube, at), cube.worst(self.value), []
        if self.mark and np.isfinite(grid).any():
            j, i = np.unravel_index(np.nanargmin(worst * grid), grid.shape)
            labels = [option_labels(d, cube.values(d))[k] for d, k in ((self.x, i), (self.y, j))]
            what = f"the {'lowest' if worst > 0 else 'highest'} {cube.words(self.value)}"
            where = f"{cube.words(self.x)} {labels[0]}, {cube.words(self.y)} {labels[1]}"
            parts.append(f"{what}, {number(grid[j, i])}, is at {where}")
        if lost := int((~np.isfinite(grid)).sum()):
            parts.append(f"{lost} of {grid.size} cells {self.missing}")
        return "; ".join(parts)

    def draw(self, ax: Axes, cube: Cube, at: Selection, dims: Sequence[str]) -> None:
        """The grid in cividis, hatched where there is no value, the chosen cell ringed."""
        (low, high), log = self._domain(cube)
        ax.patch.set(hatch="////", edgecolor=MUTED, facecolor="white")
        grid, norm = self._medians(cube, at), "log" if log else "linear"
        image = ax.pcolormesh(grid, cmap="cividis", norm=norm)
        image.set_clim(low, high)
        for axis, dim in ((ax.xaxis, self.x), (ax.yaxis, self.y)):
            labels = option_labels(dim, cube.values(dim))
            every = -(-len(labels) // 6)
            axis.set_ticks(np.arange(len(labels))[::every] + 0.5, labels[::every])
        ax.add_patch(Rectangle((at[self.x], at[self.y]), 1, 1, fill=False, ec=PALETTE[1], lw=2))
        ax.set(xlabel=cube.words(self.x), ylabel=cube.words(self.y))
        ax.figure.colorbar(image, ax=ax, label=cube.words(self.value))
