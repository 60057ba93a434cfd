"""From a dataset and panels to an explorer: what is drawn, what becomes a control, what travels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import xarray as xr

from lrcourse._checks import choice, count, instance
from lrcourse.explore.pack import Packed, places, thinned
from lrcourse.explore.panels import Panel
from lrcourse.explore.panels.heat import HeatMap
from lrcourse.explore.panels.lines import LOST, Lines
from lrcourse.explore.widget import Explorer, View
from lrcourse.explore.words import Array, is_numeric, listing, option_labels

KINDS = {
    "slider": ipywidgets.SelectionSlider,
    "menu": ipywidgets.Dropdown,
    "buttons": ipywidgets.ToggleButtons,
}
MOST_PINS = 4


def explore(
    ds: xr.Dataset,
    *panels: Panel,
    y: str | Sequence[str] | None = None,
    x: str = "step",
    title: str = "",
    caption: str = "",
    says: str | None = None,
    controls: Sequence[str] | Mapping[str, str] | None = None,
    band: str | None = "seed",
    start: Mapping[str, Any] | None = None,
    pins: Sequence[Mapping[str, Any]] = (),
    play: str | None = None,
    thin: Mapping[str, int] | None = None,
    max_bytes: int = 1_500_000,
    alt: str | None = None,
    **lines: Any,
) -> Explorer:
    """Make an explorer of the runs in a dataset.

    Every dimension that no panel draws out becomes a control, `band` the spread of the curves.

    Parameters
    ----------
    ds : xarray.Dataset
        Runs over labelled dimensions.  ``diverged_at`` (the step, -1 for never, NaN for a run that
        is missing) is used if present, else a run diverges at its first value that is not finite.
        ``attrs`` of a variable may hold ``long_name``, and ``better``: ``"high"`` or ``"low"``.
    *panels : Lines, Descent or HeatMap
        What to draw, side by side where there is room.
    y, x, **lines
        The arguments of a single `Lines`, instead of `panels`.
    title : str
        What the figure finds or asks, above it; figures with a title are numbered in a page.
    caption : str
        One or two sentences below it: what was trained, and what the marks mean.
    says : str, optional
        A variable of texts over dimensions that can be chosen: what each state means, in words.
        It is the sentence below the figure, where else the values that are shown are read out.
    controls : sequence of str, or mapping from str to {"slider", "menu", "buttons"}, optional
        The dimensions to offer, in order; the others stay at `start`.
    band : str, optional
        The dimension over which curves are summarised, if the dataset has it.
    start : mapping from str to value, optional
        The first selection, dimension -> value (the nearest, for numbers); else the middle.
    pins : sequence of mappings
        Selections to compare with from the beginning, at most four.
    play : str, optional
        A dimension that is time: a button draws the runs along it, as slowly as a reader follows.
    thin : mapping from str to int, optional
        Keep every k-th place of a dimension, and the last: ``{"step": 10}``.
    max_bytes : int
        The most that the runs may add to a page, in their base64 form.
    alt : str, optional
        What the picture is, for those who do not see it; else the title.

    Returns
    -------
    Explorer

    Raises
    ------
    ValueError
        For names that do not exist, values out of range, a cube too large for a page.
    TypeError
        For an argument of the wrong kind.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> steps = xr.DataArray(np.arange(4.0), dims="step")
    >>> rates = xr.DataArray([0.1, 0.5], dims="lr", coords={"lr": [0.1, 0.5]})
    >>> runs = xr.Dataset({"loss": (1 - rates) ** steps})
    >>> explorer = explore(runs, y="loss", title="A parabola", start={"lr": 0.5})
    >>> print(explorer.sentence())
    Learning rate 0.5: loss 0.125 at step 3.
    """
    if not isinstance(ds, xr.Dataset):
        raise TypeError(f"ds must be an xarray.Dataset, was a {type(ds).__name__}")
    shown = _panels(panels, y, x, lines)
    _check_words(title=title, caption=caption, says=says, alt=alt, band=band, play=play)
    packed = Packed(thinned(ds, {} if thin is None else thin), band if band in ds.dims else None)
    _derive_divergence(packed, shown)
    free, held = _choices(packed, shown, controls)
    named = list(dict.fromkeys([*free, *(d for p in shown for d in p.cells())]))
    fixed = places(packed, [*named, *held], {} if start is None else start, "start")
    labels = {d: option_labels(d, packed.values(d)) for d in [*named, *held]}
    texts = [f"{packed.long_name(d)} {labels[d][fixed.get(d, 0)]}" for d in held]
    middle = {d: (len(labels[d]) - 1) // 2 if is_numeric(packed.values(d)) else 0 for d in named}
    at = {d: fixed.get(d, middle[d]) for d in named}
    packed.ds = packed.ds.isel({d: [fixed.get(d, 0)] for d in held})
    chosen = {*named, *held, packed.band}
    if "diverged_at" in packed.ds and set(packed.ds["diverged_at"].dims) <= chosen:
        packed.diverged = packed.pack("diverged_at")
    pinned = [{**at, **pin} for pin in _pins(packed, named, pins)]
    drawn = [panel.spec(packed, named, f"choice{k}") for k, panel in enumerate(shown)]
    widgets = {d: _control(packed, d, labels[d], at[d], controls) for d in free}
    choices = {}
    for made in drawn:
        if key := made.get("choose"):
            choices[key] = [packed.long_name(name) for name in made["y"]]
            widgets[key] = KINDS["buttons"](options=choices[key], description="show")
    _check_size(packed, max_bytes)
    axes = dict.fromkeys(d for panel in shown for d in panel.axes())
    if play is not None and (play not in axes or play in named):
        along = listing(d for d in axes if d not in named)
        raise ValueError(f"play must be a dimension along an axis ({along}), was {play!r}")
    extra = dict.fromkeys(d for m in packed.arrays.values() for d in m["dims"] if d != packed.band)
    spec = {
        "title": title,
        "caption": caption,
        "says": None if says is None else _texts(packed, says, [*named, *held]),
        "alt": alt or title or "Explorer",
        "band": packed.band,
        "named": named,
        "held": f"Held: {listing(texts)}." if texts else "",
        "start": at | dict.fromkeys(choices, 0),
        "choices": choices,
        "play": play,
        "diverged": packed.diverged,
        "panels": drawn,
        "arrays": packed.arrays,
        "dims": {d: _dimension(packed, d, labels.get(d)) for d in {**axes, **extra, **labels}},
    }
    colours = [{"sel": sel, "colour": k} for k, sel in enumerate(pinned, 1)]
    return Explorer(packed, shown, View(spec, packed.buffer(), colours), widgets)


def _panels(
    panels: tuple[Panel, ...], y: str | Sequence[str] | None, x: str, lines: dict[str, Any]
) -> list[Panel]:
    """The panels that were given, or the one that `y`, `x` and `lines` describe."""
    if (y is None) == (not panels):
        raise ValueError("explore needs panels, or y and x for a single one, and not both")
    if lines and y is None:
        raise TypeError(f"{listing(lines)} must go to a panel, or with y")
    for panel in panels:
        instance("panel", panel, Panel, "a Lines, Descent or HeatMap")
    return list(panels) if y is None else [Lines(y, x, **lines)]


def _check_words(**given: Any) -> None:
    for name, text in given.items():
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name} must be a string, was {text!r}")


def _texts(packed: Packed, name: str, dims: Sequence[str]) -> dict[str, Any]:
    """A variable of texts for the page: each text once, and which one each state has."""
    if name not in packed.ds.data_vars:
        has = listing(packed.ds.data_vars)
        raise ValueError(f"says must be a variable of the dataset ({has}), was {name!r}")
    array = packed.ds[name]
    texts = array.values.astype(object)
    if not all(isinstance(text, str) and text for text in texts.flat):
        raise TypeError(f"says must hold a text for every state, {name!r} does not")
    if strange := [d for d in array.dims if d not in dims]:
        raise ValueError(
            f"says must vary over dimensions that can be chosen ({listing(dims)}), "
            f"{name!r} has {listing(strange)}"
        )
    each, at = np.unique(texts.astype(str), return_inverse=True)
    where = {"dims": [str(d) for d in array.dims], "shape": list(array.shape)}
    return {**where, "texts": each.tolist(), "at": at.ravel().tolist()}


def _pins(packed: Packed, named: list[str], pins: Any) -> list[dict[str, int]]:
    if isinstance(pins, (str, Mapping)) or not isinstance(pins, Sequence):
        raise TypeError(f"pins must be a list of selections such as {{'lr': 0.1}}, was {pins!r}")
    if len(pins) > MOST_PINS:
        raise ValueError(f"pins must be at most {MOST_PINS}, were {len(pins)}")
    return [places(packed, named, pin, f"pins[{k}]") for k, pin in enumerate(pins)]


def _choices(
    packed: Packed, panels: Sequence[Panel], controls: Sequence[str] | Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    """The dimensions to offer, and those that stand still."""
    if controls is not None and (
        isinstance(controls, str) or not isinstance(controls, (Sequence, Mapping))
    ):
        must = "a list of dimensions, or a mapping from them to kinds of control"
        raise TypeError(f"controls must be {must}, was {controls!r}")
    free: dict[str, None] = {}
    for panel in panels:
        for name in panel.variables():
            dims = packed.variable(name, "variable").dims
            free |= dict.fromkeys(str(d) for d in dims if d not in (*panel.axes(), packed.band))
    for dim in controls or ():
        if dim not in free:
            raise ValueError(f"controls must be among {listing(free)}, had {dim!r}")
    offered = [d for d in (free if controls is None else controls) if packed.ds.sizes[d] > 1]
    return offered, [d for d in free if d not in offered]


def _dimension(packed: Packed, dim: str, labels: list[str] | None) -> dict[str, Any]:
    """A dimension for the page: words, labels if it can be chosen, numbers if it is an axis."""
    values = packed.values(dim)
    at: Array = values.astype(float) if is_numeric(values) else np.arange(float(len(values)))
    steps = np.diff(at)
    numbers: Any = at.tolist()
    if len(at) > 2 and (steps == steps[0]).all():
        numbers = {"first": numbers[0], "stride": float(steps[0])}
    rising = is_numeric(values) and bool((steps > 0).all())
    words = {"label": packed.long_name(dim), "labels": labels}
    return {**words, "n": len(values), "numbers": numbers, "rising": rising}


def _control(packed: Packed, dim: str, labels: list[str], index: int, controls: Any) -> Any:
    """A slider for numbers, a menu for labels, unless another kind is asked for."""
    kind = "slider" if is_numeric(packed.values(dim)) else "menu"
    if isinstance(controls, Mapping):
        kind = choice(f"controls[{dim!r}]", controls[dim], KINDS)
    return KINDS[kind](options=labels, index=index, description=packed.long_name(dim))


def _derive_divergence(packed: Packed, panels: Sequence[Panel]) -> None:
    """Where the dataset does not say when runs diverged: at the first value that is not finite."""
    for panel in panels:
        axis, name = panel.axes()[0], panel.variables()[0]
        array = packed.variable(name, "variable")
        if "diverged_at" in packed.ds or isinstance(panel, HeatMap) or axis not in array.dims:
            continue
        if isinstance(panel, Lines) and panel.missing != LOST:
            continue
        gone: xr.DataArray = array.isnull()
        if bool(gone.any()):
            first = packed.ds[axis][gone.argmax(axis)].drop_vars(axis, errors="ignore")
            packed.ds = packed.ds.assign(diverged_at=first.where(gone.any(axis), -1))


def _check_size(packed: Packed, max_bytes: int) -> None:
    """Refuse a packed that would make the page heavy, and say what would make it light."""
    limit, size = count("max_bytes", max_bytes, low=1), packed.size * 4 / 3
    if size <= limit:
        return
    name, meta = max(packed.arrays.items(), key=lambda item: item[1]["size"])
    sizes = dict(zip(meta["dims"], meta["shape"], strict=True))
    longest = max(sizes, key=lambda d: sizes[d])
    every = next((k for k in (2, 5, 10, 20, 50, 100, 200, 500) if size / k <= limit), 1000)
    raise ValueError(
        f"the cube adds {size / 1e6:.1f} MB to the page, the limit max_bytes is "
        f"{limit / 1e6:.1f} MB; {name} has {listing(f'{d} {n}' for d, n in sizes.items())}; "
        f"thin={{{longest!r}: {every}}} would bring it to about {size / every / 1e6:.1f} MB"
    )
