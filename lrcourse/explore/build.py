"""Explorers: a cube of recorded runs that a reader walks through, with or without a kernel.

>>> import numpy as np, xarray as xr
>>> lr, step = np.geomspace(0.01, 1, 9), np.arange(50)
>>> loss = (1 - 0.8 * lr[:, None]) ** (2 * step)
>>> runs = xr.Dataset({"loss": (("lr", "step"), loss)}, {"lr": lr, "step": step})
>>> explorer = explore(runs, y="loss", x="step", log="y", start={"lr": 0.1})
>>> print(explorer.sentence())
Learning rate 0.1: loss 0.000283 at step 49.
>>> explorer.select(lr=1).selection
{'lr': 1.0}

Every dimension that no panel draws out becomes a control; `seed` becomes a band.  The controls are
ordinary ipywidgets, linked in the browser to one view that holds the cube, so the same explorer
lives in JupyterLab and in a static page.  What a panel can be is in `panels`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
import xarray as xr
from matplotlib.figure import Figure

from lrcourse import plots
from lrcourse._checks import choice, count, instance
from lrcourse.explore.cube import (
    Array,
    Cube,
    divergence,
    is_numeric,
    listing,
    option_labels,
    position,
    thinned,
)
from lrcourse.explore.panels import HeatMap, Lines, Panel, Path

__all__ = ["Explorer", "HeatMap", "Lines", "Path", "explore"]

HERE = File(__file__).parent
KINDS = {
    "slider": ipywidgets.SelectionSlider,
    "menu": ipywidgets.Dropdown,
    "buttons": ipywidgets.ToggleButtons,
}
MOST_PINS = 4


class Code(ipywidgets.Widget):  # type: ignore[misc]
    """The script and the stylesheet of all views, so that a page holds them once."""

    script = traitlets.Unicode().tag(sync=True)
    style = traitlets.Unicode().tag(sync=True)
    shared: Code | None = None

    @classmethod
    def get(cls) -> Code:
        """The one that is in use, or a new one if it was closed."""
        if cls.shared is None or cls.shared.comm is None:
            script, style = (HERE.joinpath(f"explore.{kind}").read_text() for kind in ("js", "css"))
            cls.shared = cls(script=script, style=style)
        return cls.shared


class View(anywidget.AnyWidget):
    """The drawing part of an explorer; one integer trait ``i_<dim>`` for each choice."""

    _esm = HERE / "loader.js"
    code: Any = traitlets.Instance(Code).tag(sync=True, **ipywidgets.widget_serialization)
    spec: Any = traitlets.Dict().tag(sync=True)
    data: Any = traitlets.Bytes().tag(sync=True)
    pins: Any = traitlets.List().tag(sync=True)

    def __init__(self, spec: dict[str, Any], data: bytes, pins: list[dict[str, Any]]) -> None:
        start = {f"i_{k}": traitlets.Int(i).tag(sync=True) for k, i in spec["start"].items()}
        self.add_traits(**start)
        super().__init__(code=Code.get(), spec=spec, data=data, pins=pins)

    def _get_embed_state(self, drop_defaults: bool = False) -> Any:
        """Keep the defaults: a page knows nothing of this class."""
        return super()._get_embed_state(drop_defaults=False)


class Explorer(ipywidgets.VBox):  # type: ignore[misc]
    """A row of controls above a view; made by `explore`.

    Where scripts do not run, it is its still picture and its sentence.
    """

    def __init__(
        self, cube: Cube, panels: Sequence[Panel], view: View, controls: Mapping[str, Any]
    ) -> None:
        self.cube, self.panels, self.view = cube, tuple(panels), view
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
        at = self._at()
        return {d: self.cube.values(d).tolist()[at[d]] for d in self.view.spec["named"]}

    def _at(self, panel: int = 0) -> dict[str, int]:
        """The chosen indices, with ``choice`` for the curve that a panel shows."""
        at = {key: int(getattr(self.view, f"i_{key}")) for key in self.view.spec["start"]}
        return {**at, "choice": at.get(f"choice{panel}", 0)}

    def select(self, **values: Any) -> Explorer:
        """Move to the run with these values (the nearest, for numbers)."""
        for dim, i in _places(self.cube, self.view.spec["named"], values).items():
            if dim in self.controls:
                self.controls[dim].index = i
            setattr(self.view, f"i_{dim}", i)
        return self

    def sentence(self) -> str:
        """What is shown, in words and numbers; the page says the same."""
        spec, at = self.view.spec, self._at()
        dims, named = spec["dims"], spec["named"]
        where = ", ".join(f"{dims[d]['label']} {dims[d]['labels'][at[d]]}" for d in named)
        clauses = [p.clause(self.cube, self._at(k), named) for k, p in enumerate(self.panels)]
        said = "; ".join(filter(None, dict.fromkeys(clauses)))
        text = ": ".join(filter(None, [where, said]))
        lost = spec["diverged"] and divergence(self.cube.rows(spec["diverged"], at, None)[:, 0])
        if text[:1].isascii():  # ε is a symbol: its capital would be another one
            text = text[:1].upper() + text[1:]
        return " ".join(filter(None, [f"{text}.", lost, spec["held"]]))

    def still(self) -> bytes:
        """A PNG picture of the present state, in the house style."""
        with plots.style():
            figure = Figure(figsize=(min(12.0, 5.6 * len(self.panels)), 3.6))
            axes = figure.subplots(1, len(self.panels), squeeze=False)[0]
            for k, (ax, panel) in enumerate(zip(axes, self.panels, strict=True)):
                panel.draw(ax, self.cube, self._at(k), self.view.spec["named"])
                ax.set_title(getattr(panel, "title", None) or "")
            figure.suptitle(self.view.spec["title"], x=0.01, ha="left", weight="bold")
            picture = io.BytesIO()
            figure.savefig(picture, format="png")
        return picture.getvalue()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle and {**bundle, "text/plain": self.sentence(), "image/png": self.still()}


def explore(
    ds: xr.Dataset,
    *panels: Panel,
    y: str | Sequence[str] | None = None,
    x: str = "step",
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
    ds : runs over labelled dimensions.  ``diverged_at`` (step, -1 for never) is used if present,
        else a run diverges at its first value that is not finite.  ``attrs`` of a variable may
        hold ``long_name``, and ``better``: ``"high"`` or ``"low"``.
    panels : `Lines`, `Path`, `HeatMap`, side by side where there is room.
    y, x, **lines : a single `Lines` panel, instead of `panels`.
    controls : the dimensions to offer, in order; the others stay at `start`.  As a mapping, with
        ``"slider"``, ``"menu"`` or ``"buttons"`` for each.
    band : the dimension over which curves are summarised, if the dataset has it.
    start : the first selection, dimension -> value (the nearest, for numbers); else the middle.
    pins : selections to compare with from the beginning, at most four.
    thin : keep every k-th place of a dimension, and the last: ``{"step": 10}``.
    max_bytes : the most that the cube may add to a page, in its base64 form.
    alt : what the picture is, for those who do not see it.

    Raises
    ------
    ValueError, TypeError : names that do not exist, values out of range, a cube too large.
    """
    instance("ds", ds, xr.Dataset, "an xarray.Dataset")
    if (y is None) == (not panels):
        raise ValueError("explore needs panels, or y and x for a single one, and not both")
    if lines and y is None:
        raise TypeError(f"{listing(lines)} must go to a panel, or with y")
    for panel in panels:
        instance("panel", panel, Panel, "a Lines, Path or HeatMap")
    shown: list[Panel] = list(panels) if y is None else [Lines(y, x, **lines)]
    cube = Cube(thinned(ds, thin or {}), band if band in ds.dims else None)
    _derive_divergence(cube, shown)
    free, held = _choices(cube, shown, controls)
    named = list(dict.fromkeys([*free, *(d for p in shown for d in p.cells())]))
    fixed = _places(cube, [*named, *held], start or {})
    labels = {d: option_labels(d, cube.values(d)) for d in [*named, *held]}
    at = {d: (len(labels[d]) - 1) // 2 if is_numeric(cube.values(d)) else 0 for d in named} | fixed
    texts = [f"{cube.words(d)} {labels[d][at.get(d, 0)]}" for d in held]
    at = {d: at[d] for d in named}
    cube.ds = cube.ds.isel({d: [fixed.get(d, 0)] for d in held})
    pinned = [{**at, **_places(cube, named, pin)} for pin in pins]
    if len(pinned) > MOST_PINS:
        raise ValueError(f"pins must be at most {MOST_PINS}, were {len(pinned)}")
    drawn = [panel.spec(cube, named, f"choice{k}") for k, panel in enumerate(shown)]
    widgets = {d: _control(cube, d, labels[d], at[d], controls) for d in free}
    choices = {}
    for made in drawn:
        if key := made.get("choose"):
            choices[key] = [cube.words(name) for name in made["y"]]
            widgets[key] = KINDS["buttons"](options=choices[key], description="show")
    diverged = None
    if "diverged_at" in cube.ds and set(cube.ds["diverged_at"].dims) <= {*named, *held, cube.band}:
        diverged = cube.pack("diverged_at")
    _check_size(cube, max_bytes)
    axes = dict.fromkeys(d for panel in shown for d in panel.axes())
    extra = dict.fromkeys(d for m in cube.arrays.values() for d in m["dims"] if d != cube.band)
    spec = {
        "title": title,
        "alt": alt or title or "Explorer",
        "band": cube.band,
        "named": named,
        "held": f"Held: {listing(texts)}." if texts else "",
        "start": at | dict.fromkeys(choices, 0),
        "choices": choices,
        "diverged": diverged,
        "panels": drawn,
        "arrays": cube.arrays,
        "dims": {d: _dimension(cube, d, labels.get(d)) for d in {**axes, **extra, **labels}},
    }
    colours = [{"sel": sel, "colour": k} for k, sel in enumerate(pinned, 1)]
    return Explorer(cube, shown, View(spec, cube.buffer(), colours), widgets)


def _choices(
    cube: Cube, panels: Sequence[Panel], controls: Sequence[str] | Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    """The dimensions to offer, and those that stand still."""
    free: dict[str, None] = {}
    for panel in panels:
        for name in panel.variables():
            dims = cube.variable(name, "variable").dims
            free |= dict.fromkeys(str(d) for d in dims if d not in (*panel.axes(), cube.band))
    for dim in controls or ():
        if dim not in free:
            raise ValueError(f"controls must be among {listing(free)}, had {dim!r}")
    offered = [d for d in (free if controls is None else controls) if cube.ds.sizes[d] > 1]
    return offered, [d for d in free if d not in offered]


def _places(cube: Cube, dims: Sequence[str], values: Mapping[str, Any]) -> dict[str, int]:
    for dim in values:
        if dim not in dims:
            raise ValueError(f"{dim!r} cannot be chosen; there are {listing(dims)}")
    return {dim: position(dim, cube.values(dim), value) for dim, value in values.items()}


def _dimension(cube: Cube, dim: str, labels: list[str] | None) -> dict[str, Any]:
    """A dimension for the page: words, labels if it can be chosen, numbers if it is an axis."""
    values = cube.values(dim)
    places: Array = values.astype(float) if is_numeric(values) else np.arange(float(len(values)))
    steps = np.diff(places)
    numbers: Any = places.tolist()
    if len(places) > 2 and (steps == steps[0]).all():
        numbers = {"first": numbers[0], "stride": float(steps[0])}
    rising = is_numeric(values) and bool((steps > 0).all())
    words = {"label": cube.words(dim), "labels": labels}
    return {**words, "n": len(values), "numbers": numbers, "rising": rising}


def _control(cube: Cube, dim: str, labels: list[str], index: int, controls: Any) -> Any:
    """A slider for numbers, a menu for labels, unless another kind is asked for."""
    kind = "slider" if is_numeric(cube.values(dim)) else "menu"
    if isinstance(controls, Mapping):
        kind = choice(f"controls[{dim!r}]", controls[dim], KINDS)
    return KINDS[kind](options=labels, index=index, description=cube.words(dim))


def _derive_divergence(cube: Cube, panels: Sequence[Panel]) -> None:
    """Where the dataset does not say when runs diverged: at the first value that is not finite."""
    for panel in panels:
        axis, name = panel.axes()[0], panel.variables()[0]
        array = cube.variable(name, "variable")
        if "diverged_at" in cube.ds or isinstance(panel, HeatMap) or axis not in array.dims:
            continue
        gone: xr.DataArray = array.isnull()
        if bool(gone.any()):
            first = cube.ds[axis][gone.argmax(axis)].drop_vars(axis)
            cube.ds = cube.ds.assign(diverged_at=first.where(gone.any(axis), -1))


def _check_size(cube: Cube, max_bytes: int) -> None:
    """Refuse a cube that would make the page heavy, and say what would make it light."""
    limit, size = count("max_bytes", max_bytes, low=1), cube.size * 4 / 3
    if size <= limit:
        return
    name, meta = max(cube.arrays.items(), key=lambda item: item[1]["size"])
    sizes = dict(zip(meta["dims"], meta["shape"], strict=True))
    longest = max(sizes, key=lambda d: sizes[d])
    every = next((k for k in (2, 5, 10, 20, 50, 100, 200, 500) if size / k <= limit), 1000)
    raise ValueError(
        f"the cube adds {size / 1e6:.1f} MB to the page, the limit max_bytes is "
        f"{limit / 1e6:.1f} MB; {name} has {listing(f'{d} {n}' for d, n in sizes.items())}; "
        f"thin={{{longest!r}: {every}}} would bring it to about {size / every / 1e6:.1f} MB"
    )
