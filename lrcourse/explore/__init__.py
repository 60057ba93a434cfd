"""Explorers: a cube of recorded runs that a reader walks through, with or without a kernel.

>>> import numpy as np, xarray as xr
>>> lr, step = np.geomspace(0.01, 1, 9), np.arange(50)
>>> loss = (1 - 0.8 * lr[:, None]) ** (2 * step)
>>> runs = xr.Dataset({"loss": (("lr", "step"), loss)}, {"lr": lr, "step": step})
>>> explorer = explore(runs, y="loss", x="step", log="y", start={"lr": 0.1})
>>> print(explorer.sentence())
Learning rate 0.1: loss 0.000283 at step 49.

Every dimension that no panel draws out becomes a control; `seed` becomes a band.  The controls are
ordinary ipywidgets, linked in the browser to one view that holds the cube, so the same explorer
lives in JupyterLab and in a static page.  What a panel can be is in `panels`.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import anywidget
import ipywidgets
import traitlets
import xarray as xr
from matplotlib.figure import Figure

from lrcourse import plots
from lrcourse._checks import choice, count, instance
from lrcourse.explore.cube import (
    Cube,
    is_numeric,
    listing,
    number,
    option_labels,
    position,
    thinned,
)
from lrcourse.explore.panels import HeatMap, Lines, Panel, Path

__all__ = ["Explorer", "HeatMap", "Lines", "Path", "explore"]

HERE = FilePath(__file__).parent


class View(anywidget.AnyWidget):
    """The drawing part of an explorer; one integer trait ``i_<dim>`` for each choice."""

    _esm = HERE / "explore.js"
    _css = HERE / "explore.css"
    spec = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    pins = traitlets.List().tag(sync=True)

    def __init__(self, spec: dict[str, Any], data: bytes, pins: list[dict[str, Any]]) -> None:
        self.add_traits(
            **{f"i_{k}": traitlets.Int(i).tag(sync=True) for k, i in spec["start"].items()}
        )
        super().__init__(spec=spec, data=data, pins=pins)

    def _get_embed_state(self, drop_defaults: bool = False) -> Any:
        """Keep the defaults: the page knows none of this class."""
        return super()._get_embed_state(drop_defaults=False)


class Explorer(ipywidgets.VBox):  # type: ignore[misc]
    """A row of controls above a view; made by `explore`.

    Shown without scripts, it is its still picture and its sentence.
    """

    def __init__(
        self, cube: Cube, panels: Sequence[Panel], view: View, controls: Mapping[str, Any]
    ) -> None:
        self.cube = cube
        self.panels = tuple(panels)
        self.view = view
        self.controls = dict(controls)
        self._links = [
            ipywidgets.jslink((control, "index"), (view, f"i_{key}"))
            for key, control in controls.items()
        ]
        row = ipywidgets.Box(list(controls.values()))
        row.add_class("lrx-controls")
        super().__init__([row, view] if controls else [view])
        self.add_class("lrx")

    @property
    def selection(self) -> dict[str, Any]:
        """The chosen value of each dimension."""
        return {d: self.cube.values(d)[self._index(d)].item() for d in self.view.spec["named"]}

    def _index(self, key: str) -> int:
        return int(getattr(self.view, f"i_{key}"))

    def _indices(self) -> dict[str, int]:
        return {key: self._index(key) for key in self.view.spec["start"]}

    def select(self, **values: Any) -> Explorer:
        """Move to the runs with these values (the nearest, for numbers)."""
        places = _places(self.cube, self.view.spec["named"], values)
        for dim, i in places.items():
            if dim in self.controls:
                self.controls[dim].index = i
            setattr(self.view, f"i_{dim}", i)
        return self

    def sentence(self) -> str:
        """What is shown, in words and numbers: the same sentence as in the page."""
        spec, at = self.view.spec, self._indices()
        where = ", ".join(
            f"{spec['dims'][d]['label']} {spec['dims'][d]['labels'][at[d]]}" for d in spec["named"]
        )
        said = "; ".join(c for p in self.panels if (c := p.clause(self.cube, at, spec["named"])))
        text = f"{where}: {said}" if where else said
        lost = (
            _divergence(self.cube.rows(spec["diverged"], at, None)[:, 0])
            if spec["diverged"]
            else ""
        )
        return " ".join(filter(None, [f"{text[:1].upper()}{text[1:]}.", lost, spec["held"]]))

    def still(self) -> bytes:
        """A PNG picture of the present state."""
        with plots.style():
            figure = Figure(figsize=(min(12.0, 5.6 * len(self.panels)), 3.6))
            for ax, panel in zip(
                figure.subplots(1, len(self.panels), squeeze=False)[0], self.panels, strict=True
            ):
                panel.draw(ax, self.cube, self._indices(), self.view.spec["named"])
            figure.suptitle(
                self.view.spec["title"], x=0.01, ha="left", fontsize="medium", fontweight="bold"
            )
            picture = io.BytesIO()
            figure.savefig(picture, format="png")
        return picture.getvalue()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        return bundle | {"text/plain": self.sentence(), "image/png": self.still()}


def explore(
    ds: xr.Dataset,
    *panels: Panel,
    y: str | Sequence[str] | None = None,
    x: str | None = None,
    title: str = "",
    controls: Sequence[str] | Mapping[str, str] | None = None,
    band: str | None = "seed",
    start: Mapping[str, Any] | None = None,
    pins: Sequence[Mapping[str, Any]] = (),
    thin: Mapping[str, int] | None = None,
    max_bytes: int = 1_500_000,
    alt: str | None = None,
    **lines: Any,
) -> Explorer:
    """Make an explorer of the runs in a dataset.

    Parameters
    ----------
    ds : runs over labelled dimensions; ``diverged_at`` (step, -1 for never) is used if present,
        otherwise a run diverges at its first value that is not finite.
    panels : `Lines`, `Path`, `HeatMap`, side by side where there is room.
    y, x, **lines : a single `Lines` panel, instead of `panels`.
    controls : the dimensions to offer, in order; the others stay at `start`.  As a mapping, with
        ``"slider"``, ``"menu"`` or ``"buttons"`` for each.
    band : the dimension over which curves are summarised, if the dataset has it.
    start : the first selection, dimension -> value (the nearest, for numbers); else the middle.
    pins : selections to compare with from the beginning, at most four.
    thin : keep every k-th place of a dimension, such as ``{"step": 10}``.
    max_bytes : the most that the cube may add to a page, in its base64 form.
    alt : what the picture is, for those who do not see it.

    Raises
    ------
    ValueError, TypeError : names that do not exist, values out of range, a cube too large.
    """
    instance("ds", ds, xr.Dataset, "an xarray.Dataset")
    if (y is None) == (not panels):
        raise ValueError("explore needs panels, or y and x for a single one, and not both")
    if y is not None:
        panels = (Lines(y, x or "step", **lines),)
    elif lines or x is not None:
        raise TypeError(
            f"{listing(['x'] * (x is not None) + list(lines))} only go with y, not with panels"
        )
    for panel in panels:
        instance("panel", panel, (Lines, Path, HeatMap), "a Lines, Path or HeatMap")  # type: ignore[arg-type]
    cube = Cube(thinned(ds, thin or {}), band if band in ds.dims else None)
    _derive_divergence(cube, panels)
    free, held = _choices(cube, panels, controls)
    fixed = _places(cube, [*free, *held], start or {})
    named = [*free, *dict.fromkeys(d for p in panels for d in p.cells() if d not in free)]
    labels = {d: option_labels(d, cube.values(d)) for d in [*named, *held]}
    indices = {
        d: fixed.get(d, (len(labels[d]) - 1) // 2 if is_numeric(cube.values(d)) else 0)
        for d in named
    }
    if held:
        cube.ds = cube.ds.isel({d: [fixed.get(d, 0)] for d in held})
    spec: dict[str, Any] = {
        "title": title,
        "alt": alt or title or "Explorer",
        "band": cube.band,
        "named": named,
        "held": _held(cube, held),
        "start": dict(indices),
        "choices": {},
        "diverged": None,
        "panels": [panel.spec(cube, named, f"y{k}") for k, panel in enumerate(panels)],
    }
    if "diverged_at" in cube.ds and set(cube.ds["diverged_at"].dims) <= {*named, *held, cube.band}:
        spec["diverged"] = cube.pack("diverged_at")
    spec["arrays"] = cube.arrays
    used = dict.fromkeys(d for meta in cube.arrays.values() for d in meta["dims"] if d != cube.band)
    axes = [d for p in panels for d in p.axes()]
    spec["dims"] = {d: _dimension(cube, d, labels.get(d)) for d in [*named, *axes, *used]}
    widgets = {d: _control(cube, d, labels[d], indices[d], controls) for d in free}
    for k, (panel, made) in enumerate(zip(panels, spec["panels"], strict=True)):
        if made.get("choose"):
            spec["choices"][f"y{k}"] = options = [cube.arrays[n]["label"] for n in made["y"]]
            spec["start"][f"y{k}"] = 0
            widgets[f"y{k}"] = ipywidgets.ToggleButtons(options=options, description="show")
    _check_size(cube, max_bytes)
    pinned = [
        {"sel": indices | _places(cube, named, pin), "colour": colour}
        for colour, pin in zip(itertools.count(1), pins)
    ]
    if len(pinned) > 4:
        raise ValueError(f"pins must be at most 4, were {len(pinned)}")
    return Explorer(cube, panels, View(spec, cube.buffer(), pinned), widgets)


def _choices(
    cube: Cube, panels: Sequence[Panel], controls: Sequence[str] | Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    """The dimensions to offer, and those that stand still."""
    free: dict[str, None] = {}
    for panel in panels:
        for name in panel.variables():
            dims = cube.variable(name, "variable").dims
            free |= dict.fromkeys(str(d) for d in dims if d not in (*panel.axes(), cube.band))
    single = [d for d in free if cube.ds.sizes[d] == 1]
    offered = [d for d in free if d not in single]
    if controls is None:
        return offered, single
    for dim in controls:
        if dim not in free:
            raise ValueError(f"controls must be among {listing(free)}, had {dim!r}")
    chosen = [d for d in controls if d in offered]
    return chosen, [d for d in free if d not in chosen]


def _places(cube: Cube, dims: Sequence[str], values: Mapping[str, Any]) -> dict[str, int]:
    for dim in values:
        if dim not in dims:
            raise ValueError(f"{dim!r} cannot be chosen; there are {listing(dims)}")
    return {dim: position(dim, cube.values(dim), value) for dim, value in values.items()}


def _dimension(cube: Cube, dim: str, labels: list[str] | None) -> dict[str, Any]:
    """A dimension for the page: words, size, labels if it is chosen, numbers if it is an axis."""
    values = cube.values(dim)
    numbers: Any = list(range(len(values)))
    if is_numeric(values):
        numbers = [float(v) for v in values]
    if len(numbers) > 2 and all(
        v == numbers[0] + i * (numbers[1] - numbers[0]) for i, v in enumerate(numbers)
    ):
        numbers = {"first": numbers[0], "stride": numbers[1] - numbers[0]}
    return {"label": cube.words(dim), "n": len(values), "labels": labels, "numbers": numbers}


def _control(cube: Cube, dim: str, labels: list[str], index: int, controls: Any) -> Any:
    """A slider for numbers, a menu for labels, unless another kind is asked for."""
    kinds = {
        "slider": ipywidgets.SelectionSlider,
        "menu": ipywidgets.Dropdown,
        "buttons": ipywidgets.ToggleButtons,
    }
    kind = "slider" if is_numeric(cube.values(dim)) else "menu"
    if isinstance(controls, Mapping):
        kind = choice(f"controls[{dim!r}]", controls[dim], kinds)
    return kinds[kind](
        options=labels,
        index=index,
        description=cube.words(dim),
        style={"description_width": "initial"},
    )


def _held(cube: Cube, held: Sequence[str]) -> str:
    if not held:
        return ""
    texts = [
        f"{cube.words(d)} {number(v) if is_numeric(cube.values(d)) else v}"
        for d in held
        for v in cube.values(d)
    ]
    return f"Held: {listing(texts)}."


def _derive_divergence(cube: Cube, panels: Sequence[Panel]) -> None:
    """Where the dataset does not say when runs diverged, take the first value that is not finite."""
    if "diverged_at" in cube.ds:
        return
    for panel in panels:
        axis, names = panel.axes()[0], panel.variables()
        if (
            isinstance(panel, HeatMap)
            or axis not in cube.ds.dims
            or not is_numeric(cube.values(axis))
        ):
            continue
        array = cube.ds[names[0]]
        gone = ~xr.apply_ufunc(_finite, array)
        if axis in array.dims and bool(gone.any()):
            cube.ds = cube.ds.assign(
                diverged_at=cube.ds[axis][gone.argmax(axis)].where(gone.any(axis), -1)
            )
            return


def _finite(values: Any) -> Any:
    return abs(values) < float("inf")


def _divergence(at: Any) -> str:
    steps = [t for t in at if t >= 0]
    if not steps:
        return f"None of the {len(at)} runs diverged." if len(at) > 1 else ""
    first = number(min(steps))
    if len(at) == 1:
        return f"The run diverged at step {first}."
    many = f"All {len(at)}" if len(steps) == len(at) else f"{len(steps)} of {len(at)}"
    return f"{many} runs diverged, the first at step {first}."


def _check_size(cube: Cube, max_bytes: int) -> None:
    """Refuse a cube that would make the page heavy, and say what would make it light."""
    limit, size = count("max_bytes", max_bytes, low=1), cube.size * 4 / 3
    if size <= limit:
        return
    name, meta = max(cube.arrays.items(), key=lambda item: item[1]["size"])
    longest = max(zip(meta["shape"], meta["dims"], strict=True))[1]
    every = next((k for k in (2, 5, 10, 20, 50, 100, 200, 500) if size / k <= limit), 1000)
    shape = " × ".join(f"{d} {n}" for d, n in zip(meta["dims"], meta["shape"], strict=True))
    raise ValueError(
        f"the cube adds {size / 1e6:.1f} MB to the page, more than max_bytes={limit / 1e6:.1f} MB; "
        f"{name} has {shape}; thin={{{longest!r}: {every}}} would bring it to about "
        f"{size / every / 1e6:.1f} MB"
    )
