"""A dataset made ready to travel: its arrays in one binary buffer.

Nothing here draws.  `Packed` reads slices for the still picture and packs the same arrays for the
page; `pack.js` unpacks them with the formulas written at `Packed.pack`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lrcourse._checks import count
from lrcourse.explore.words import SPOKEN, Array, in_words, is_numeric, listing
from lrcourse.results import quartiles

Selection = Mapping[str, int]
Limits = tuple[float, float]

EXACT_SIZE = 20_000  # up to this many numbers an array travels as float32, above as 16-bit codes
MISSING = 65_535


def position(name: str, values: Array, wanted: Any) -> int:
    """The index of `wanted` among a dimension's values: equal for labels, nearest for numbers.

    >>> position("lr", np.array([0.001, 0.01, 0.1]), 0.02)
    1
    """
    if getattr(wanted, "shape", None) == ():  # one value in an array
        wanted = wanted.item()
    if not is_numeric(values):
        for i, value in enumerate(values):
            if value == wanted or str(value) == str(wanted):
                return i
        raise ValueError(f"{name} must be one of {listing(values)}, was {wanted!r}")
    if isinstance(wanted, bool) or not isinstance(wanted, (int, float, np.number)):
        raise TypeError(f"{name} must be a number, was {wanted!r}")
    low, high = float(values.min()), float(values.max())
    slack = 1e-9 * max(abs(low), abs(high))
    if not low - slack <= float(wanted) <= high + slack:
        raise ValueError(f"{name} must be from {in_words(low)} to {in_words(high)}, was {wanted!r}")
    return int(np.abs(values.astype(float) - float(wanted)).argmin())


def thinned(ds: xr.Dataset, thin: Mapping[str, int]) -> xr.Dataset:
    """Keep every k-th place of a dimension, and its last.

    >>> ds = xr.Dataset({"loss": ("step", np.arange(8.0))}, {"step": np.arange(8)})
    >>> thinned(ds, {"step": 3}).step.values.tolist()
    [0, 3, 6, 7]
    """
    if not isinstance(thin, Mapping):
        raise TypeError(f"thin must be a mapping such as {{'step': 10}}, was {thin!r}")
    for dim, every in thin.items():
        if dim not in ds.dims:
            dims = listing(ds.dims)
            raise ValueError(f"thin names {dim!r}, which is no dimension; there are {dims}")
        n = ds.sizes[dim]
        if dim not in ds.coords:  # places are numbers, which do not change
            ds = ds.assign_coords({dim: np.arange(n)})
        keep = range(0, n, count(f"thin[{dim!r}]", every, low=1))
        ds = ds.isel({dim: sorted({*keep, n - 1})})
    return ds


def extent(rows: Array, log: bool, pad: bool = True) -> Limits | None:
    """The part of an axis worth showing, for runs in rows; None if a log axis is impossible.

    Runs whose peak is 100 times a typical one have diverged: they leave the picture at its edge
    and do not squeeze the others.  A linear axis that comes near zero starts there.

    >>> extent(np.array([[1.0, 0.5], [2.0, 0.6], [2.0, 1e9]]), log=False)
    (0.0, 2.08)
    """
    rows = np.where(np.isfinite(rows), rows, np.nan).reshape(-1, rows.shape[-1])
    rows = rows[~np.isnan(rows).all(axis=1)]
    if rows.size == 0:
        return None if log else (0.0, 1.0)
    peak = np.nanmax(np.abs(rows), axis=1)
    tame = rows[peak <= 100 * np.quantile(peak, 0.25)] if np.quantile(peak, 0.25) > 0 else rows
    values = tame[np.isfinite(tame)]
    if log:
        if values.min() < 0 or values.max() <= 0:
            return None
        high = float(values.max())
        low = max(float(values[values > 0].min()), high * 1e-16)
        ratio = max((high / low) ** 0.04, 1.05)
        return low / ratio, high * ratio
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low - (abs(low) or 1.0) / 10, high + (abs(low) or 1.0) / 10
    if not pad:
        return low, high
    low = 0.0 if 0 <= low < 0.3 * high else low - 0.04 * (high - low)
    return low, high + 0.04 * (high - low)


def _representable(array: xr.DataArray) -> xr.DataArray:
    """The page computes in float32: what is larger has left every picture and has no value.

    Bools and integers of which some are missing become numbers, NaN where nobody knows.
    """
    if array.dtype == object and all(_is_plain(v) for v in array.values.flat):
        array = array.astype(float)
    if not np.issubdtype(array.dtype, np.floating):
        return array
    return array.where(np.abs(array) < 1e38)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, np.bool_, np.number))


class Packed:
    """A dataset with its band, and the arrays of it that travel.

    Parameters
    ----------
    ds : the runs.
    band : the dimension whose runs are summarised (usually ``seed``), or None.

    Attributes
    ----------
    diverged : the variable that says at which step each run diverged (-1: never, NaN: the run is
        missing), if there is one for each choice.
    """

    def __init__(self, ds: xr.Dataset, band: str | None) -> None:
        self.ds = ds.map(_representable)
        self.band = band
        self.diverged: str | None = None
        self.arrays: dict[str, dict[str, Any]] = {}
        self._parts: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self.size = 0

    def variable(self, name: str, role: str) -> xr.DataArray:
        """The variable called `name`, or an error that says which there are."""
        if not isinstance(name, str):
            raise TypeError(f"{role} must be the name of a variable, was {name!r}")
        if name not in self.ds.data_vars:
            has = listing(self.ds.data_vars)
            raise ValueError(f"{role} must be a variable of the dataset ({has}), was {name!r}")
        array = self.ds[name]
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            raise TypeError(f"{role} must hold numbers, {name!r} holds {array.dtype}")
        return array

    def long_name(self, name: str) -> str:
        """What a reader calls a variable or dimension: its ``long_name``, or its name in words."""
        attrs = self.ds[name].attrs if name in self.ds.variables else {}
        return str(attrs.get("long_name", SPOKEN.get(name, name.replace("_", " "))))

    def worst(self, name: str) -> int:
        """+1 where high values are bad (a loss), -1 where low ones are (an accuracy, a return)."""
        better = self.ds[name].attrs.get("better") if name in self.ds.variables else None
        high_is_good = any(word in name for word in ("accuracy", "return", "reward"))
        return -1 if better == "high" or (better is None and high_is_good) else 1

    def values(self, dim: str) -> Array:
        """The coordinate of a dimension, or its indices where it has none."""
        return np.asarray(self.ds[dim].values)

    def rows(self, name: str, selection: Selection, axis: str | None) -> Array:
        """Runs of the band in rows, along `axis` in columns, at a selection of the other dims."""
        array = self.ds[name]
        at = {d: selection.get(str(d), 0) for d in array.dims if d not in (self.band, axis)}
        lead = [d for d in (self.band, axis) if d in array.dims]
        cut = np.asarray(array.isel(at).transpose(*lead).values, dtype=float)
        return cut.reshape(self.runs(name), -1)

    def runs(self, name: str) -> int:
        """How many runs of the band a variable has."""
        return self.ds.sizes[self.band] if self.band in self.ds[name].dims else 1

    def missing(self, selection: Selection) -> Array:
        """Which runs of the band are missing at a selection: nobody knows if they diverged."""
        at = self.rows(self.diverged, selection, None)[:, 0] if self.diverged else np.zeros(1)
        return np.isnan(at)

    def curves(self, name: str, axis: str, spread: bool = True) -> Array:
        """All curves along `axis`, in rows: quartiles over the band, or each run."""
        array = self.ds[name].transpose(..., axis)
        rows = np.asarray(array.values, dtype=float)
        if spread and self.band in array.dims:
            rows = np.moveaxis(rows, array.dims.index(self.band), 0)
            rows = np.stack(quartiles(rows, self.worst(name)))
        return rows.reshape(-1, self.ds.sizes[axis])

    def place(self, data: bytes) -> int:
        """Where in the buffer these bytes lie; equal bytes are stored once."""
        if data not in self._places:
            self._places[data] = self.size
            padded = data + bytes(-len(data) % 4)
            self._parts.append(padded)
            self.size += len(padded)
        return self._places[data]

    def pack(self, name: str) -> str:
        r"""Add a variable to the buffer and return its name.

        Up to `EXACT_SIZE` numbers travel as float32.  More travel as 16-bit codes c with
        .. math:: x = s \sinh(a + c\,h),
        even steps where s is large and equal ratios where s is small; 65535 stands for no value.
        With s chosen from the data, the error is below 0.05 % of the value, or of the range;
        data that this cannot hold stay float32.
        A dimension along which nothing changes is dropped; `runs` still counts the band.
        """
        if name in self.arrays:
            return name
        values = np.asarray(self.ds[name].values, dtype=float)
        array = xr.DataArray(values, dims=self.ds[name].dims)
        for dim in array.dims:
            first = array.isel({dim: 0})
            if bool(((array == first) | (array.isnull() & first.isnull())).all()):
                array = first
        values = np.where(np.isfinite(array.values), array.values, np.nan)
        self.arrays[name] = {
            "dims": [str(d) for d in array.dims],
            "shape": list(values.shape),
            "size": int(values.size),
            "runs": self.runs(name),
            "label": self.long_name(name),
            "worst": self.worst(name),
            **self._encode(values),
        }
        return name

    def _encode(self, values: Array) -> dict[str, Any]:
        codes = quantised(values) if values.size > EXACT_SIZE else None
        if codes is None:
            return {"type": "f4", "offset": self.place(values.astype("<f4").tobytes())}
        data, formula = codes
        return {"type": "q2", "offset": self.place(data.tobytes()), **formula}

    def buffer(self) -> bytes:
        """Everything packed so far."""
        return b"".join(self._parts)


def quantised(values: Array) -> tuple[Array, dict[str, float]] | None:
    """16-bit codes and their formula, or None if they would be coarser than 0.05 %.

    >>> codes, f = quantised(np.array([1e-6, 1.0, np.nan, 1e4]))
    >>> decoded = f["scale"] * np.sinh(f["low"] + f["step"] * codes)
    >>> bool(abs(decoded[0] / 1e-6 - 1) < 5e-4), int(codes[2])
    (True, 65535)
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.full(values.shape, MISSING, "<u2"), {"scale": 1.0, "low": 0.0, "step": 0.0}
    size = np.abs(finite)
    top = float(size.max()) or 1.0
    low = (
        float(size[size > 0].min(initial=top)) if finite.min() >= 0 else float(np.median(size)) / 10
    )
    scale = max(low, top * math.exp(-60)) if top > 1e3 * low > 0 else top
    spread = np.arcsinh(finite / scale)
    low = float(spread.min())
    step = (float(spread.max()) - low) / (MISSING - 1)
    if step > 1e-3:
        return None
    codes = np.full(values.shape, MISSING, dtype="<u2")
    codes[np.isfinite(values)] = np.rint((spread - low) / step if step else 0 * spread)
    return codes, {"scale": scale, "low": low, "step": step}


def places(
    packed: Packed, dims: Sequence[str], values: Any, role: str = "selection"
) -> dict[str, int]:
    """The indices of a selection, dimension -> value; `role` names it in errors.

    >>> ds = xr.Dataset({"loss": ("lr", [3.0, 2.0, 1.0])}, {"lr": [0.001, 0.01, 0.1]})
    >>> packed = Packed(ds, None)
    >>> places(packed, ["lr"], {"lr": 0.02})
    {'lr': 1}
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{role} must be a mapping such as {{'lr': 0.1}}, was {values!r}")
    for dim in values:
        if dim not in dims:
            raise ValueError(f"{dim!r} cannot be chosen; there are {listing(dims)}")
    return {dim: position(dim, packed.values(dim), value) for dim, value in values.items()}
