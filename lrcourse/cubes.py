"""Labelled results of grids of runs: how a grid is spelled, filled, kept on disk and read again.

A ``Cube`` is filled run by run and is complete at any moment: what is not there yet is NaN, and
``finished`` says so.  ``save`` and ``load`` keep any data set in NetCDF without loss.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import lrcourse

VERSION = 1
SAVE_SECONDS = 30
RECORDED = Path(__file__).with_name("recorded")

Index = tuple[int, ...]
Record = dict[str, Any]


def is_axis(name: str, value: Any) -> bool:
    """Say whether a hyperparameter was given many values; a pair of betas is one.

    >>> is_axis("lr", [0.1, 0.2]), is_axis("betas", (0.9, 0.99)), is_axis("optimizer", "sgd")
    (True, False, False)
    """
    if name == "betas" and isinstance(value, list | tuple):
        return not all(isinstance(b, int | float) for b in value)
    return isinstance(value, list | tuple | range | dict) or getattr(value, "ndim", 0) > 0


class Axis:
    """One dimension of a cube: its name, its values, and the labels of its coordinate.

    Numbers, bools and strings label themselves, other values their ``__name__`` or ``repr``; a dict
    gives labels of its own.  No clipping is labelled inf, a full batch -1.

    >>> Axis("clip", [None, 1.0]).labels
    array([inf,  1.])
    >>> Axis("lr", [0.1, 0.2, 0.1])
    Traceback (most recent call last):
        ...
    ValueError: lr must hold each value once, 0.1 stands there twice
    """

    def __init__(self, name: str, values: Any) -> None:
        if getattr(values, "ndim", 1) != 1:
            raise ValueError(f"{name} must be one-dimensional, had shape {tuple(values.shape)}")
        self.name = name
        if isinstance(values, Mapping):
            labels, self.values = list(values), list(values.values())
        else:
            self.values = values.tolist() if hasattr(values, "tolist") else list(values)
            labels = [self._label(value) for value in self.values]
        if not labels:
            raise ValueError(f"{name} must hold at least one value, was empty")
        if any(isinstance(label, str) for label in labels):
            labels = list(map(str, labels))
        for i, label in enumerate(labels):
            if label in labels[:i]:
                raise ValueError(f"{name} must hold each value once, {label!r} stands there twice")
        self.labels = np.array(labels)

    def _label(self, value: Any) -> Any:
        if isinstance(value, bool | int | float | str | np.generic):
            return value
        if value is None:
            return {"clip": np.inf, "batch_size": -1}.get(self.name, "none")
        return getattr(value, "__name__", None) or repr(value)


def axes_of(settings: Mapping[str, Any]) -> list[Axis]:
    """Return the dimensions of a grid in the order given, seed last."""
    axes = [Axis(name, value) for name, value in settings.items() if is_axis(name, value)]
    return sorted(axes, key=lambda axis: axis.name == "seed")


def specs_of(settings: Mapping[str, Any], axes: Sequence[Axis]) -> Iterator[tuple[Index, Record]]:
    """Yield the place and the plain settings of every run of a grid."""
    for index in itertools.product(*(range(len(axis.values)) for axis in axes)):
        chosen = {axis.name: axis.values[i] for axis, i in zip(axes, index, strict=True)}
        yield index, {**settings, **chosen}


def _missing(dtype: Any) -> Any:
    """Return what stands where there is no result: NaN, -1, False or an empty string."""
    kind = np.dtype(dtype).kind
    return "" if kind in "UO" else {"f": np.nan, "c": np.nan, "i": -1}.get(kind, 0)


class Cube:
    """Records of runs, put in place one by one; with `resume` also on disk every half minute."""

    def __init__(
        self, axes: Sequence[Axis], coords: Record, attrs: Record, resume: str | Path | None
    ) -> None:
        self.axes, self.attrs = axes, attrs | provenance()
        self.dims = tuple(axis.name for axis in axes)
        shape = tuple(len(axis.values) for axis in axes)
        self.coords: Record = {axis.name: axis.labels for axis in axes} | coords
        self.arrays: dict[str, tuple[tuple[str, ...], NDArray[Any]]] = {}
        self.finished = np.zeros(shape, bool)
        self.failed: dict[Index, str] = {}
        self.path = None if resume is None else Path(resume)
        self.began = self.saved = time.monotonic()
        self.spent = 0.0
        if self.path is not None and self.path.exists():
            self._restore(load(self.path))

    def _restore(self, old: xr.Dataset) -> None:
        if "finished" not in old or old.attrs.get("fingerprint") != self.attrs["fingerprint"]:
            raise ValueError(
                f"resume: {self.path} holds another experiment, with another model, data or fixed "
                "setting; choose another file"
            )
        if old["finished"].dims != self.dims:
            had, now = ", ".join(map(str, old["finished"].dims)), ", ".join(self.dims)
            raise ValueError(f"resume: {self.path} has the dimensions {had}, this grid has {now}")
        for axis in self.axes:
            if gone := [str(x) for x in old[axis.name].values if x not in axis.labels]:
                raise ValueError(
                    f"resume: {self.path} has runs at {axis.name} {', '.join(gone)}, which this "
                    "grid lacks and the file would lose; keep them or choose another file"
                )
            meant, means = (a.get("labels", {}).get(axis.name, {}) for a in (old.attrs, self.attrs))
            for label in meant.keys() & means.keys():
                if meant[label] != means[label]:
                    raise ValueError(
                        f"resume: in {self.path} {axis.name} {label} is another experiment; choose "
                        "another file or another label"
                    )
        fill = {name: _missing(v.dtype) for name, v in old.data_vars.items()}
        new = old.reindex({n: c for n, c in self.coords.items() if n in old.dims}, fill_value=fill)
        for name, variable in new.data_vars.items():
            dims = tuple(map(str, variable.dims[len(self.dims) :]))
            kind = old[name].dtype
            self.arrays[str(name)] = dims, variable.values.astype("O" if kind.kind == "U" else kind)
        self.finished = self.arrays.pop("finished")[1]
        self.coords |= {str(n): c.values for n, c in new.coords.items()}
        self.spent = float(old.attrs["wall_time"])

    def name(self, index: Index) -> str:
        """Name a run by its coordinates."""
        pairs = zip(self.axes, index, strict=True)
        return ", ".join(f"{axis.name}={axis.labels[i]}" for axis, i in pairs) or "the only run"

    def put(self, index: Index, record: Record) -> None:
        """Put a run's record, arrays or pairs (dims, array), in place, whole or not at all."""
        lead = self.finished.ndim
        places: dict[str, tuple[Any, NDArray[Any], NDArray[Any]]] = {}
        for name, value in record.items():
            dims: Any
            dims, array = value if isinstance(value, tuple) else (None, value)
            array = np.asarray(array)
            if dims is None:
                dims = tuple(f"{name}_{i}" for i in range(array.ndim))
            dims = (dims,) if isinstance(dims, str) else tuple(map(str, dims))
            if name not in self.arrays:
                dtype = object if array.dtype.kind in "UO" else array.dtype
                full = np.full((*self.finished.shape, *array.shape), _missing(array.dtype), dtype)
            else:
                had, full = self.arrays[name]
                shape = full.shape[lead:]
                if array.shape != shape:
                    raise ValueError(f"{name} must have one shape, was {shape}, then {array.shape}")
                if dims != had:
                    raise ValueError(f"{name} must have the same dims, were {had}, then {dims}")
                full = self._widened(full, array.dtype)
            places[name] = dims, full, array
        if self.arrays and places.keys() != self.arrays.keys():
            first, now = (", ".join(sorted(names)) for names in (self.arrays, places))
            raise ValueError(f"all runs must return the same names, were {first}, then {now}")
        for name, (dims, full, array) in places.items():
            full[index] = array if array.ndim else array.item()
            self.arrays[name] = dims, full
        self.finished[index] = True
        self.failed.pop(index, None)
        if self.path is not None and time.monotonic() - self.saved > SAVE_SECONDS:
            self._save(self.dataset(), self.path)
            self.saved = time.monotonic()

    def _widened(self, full: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the array in a type that also holds values of another one."""
        if full.dtype == object or dtype.kind in "UO":
            return full
        kind = np.promote_types(full.dtype, dtype)
        if kind == full.dtype:
            return full
        wider = np.full(full.shape, _missing(kind), kind)
        wider[self.finished] = full[self.finished]
        return wider

    def _save(self, cube: xr.Dataset, path: Path) -> None:
        """Save; a full disk costs the file and not the runs."""
        try:
            save(cube, path)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            warnings.warn(f"the cube could not be saved to {path}: {error}", stacklevel=4)

    def dataset(self) -> xr.Dataset:
        """Return the labelled cube as it stands."""
        variables = {
            name: ((*self.dims, *dims), v.astype(str) if v.dtype == object else v.copy())
            for name, (dims, v) in self.arrays.items()
        }
        variables["finished"] = (self.dims, self.finished.copy())
        wall = round(self.spent + time.monotonic() - self.began, 3)
        failed = [f"{self.name(index)}: {why}" for index, why in self.failed.items()]
        used = {dim for dims, _ in variables.values() for dim in dims}
        coords = {name: c for name, c in self.coords.items() if name in used}
        return xr.Dataset(variables, coords, self.attrs | {"wall_time": wall, "failed": failed})

    def done(self) -> xr.Dataset:
        """Return the cube, saved where it resumes from; warn of the runs that are missing."""
        cube, missing = self.dataset(), int((~self.finished).sum())
        if self.path is not None and self.arrays:
            self._save(cube, self.path)
        if missing:
            named = "".join(f"\n  {failed}" for failed in cube.attrs["failed"][:10])
            again = (
                f"; the same call with resume={str(self.path)!r} makes them" if self.path else ""
            )
            text = f"{missing} of {self.finished.size} runs are missing (NaN){again}{named}"
            warnings.warn(text, stacklevel=3)
        return cube


def provenance() -> Record:
    """Return when and with which versions a cube was made."""
    modules = {"torch": torch.__version__, "numpy": np.__version__, "xarray": xr.__version__}
    own = {"lrcourse": lrcourse.__version__, "python": platform.python_version()}
    return {"created": datetime.now(UTC).isoformat(timespec="seconds"), "versions": own | modules}


def save(cube: xr.Dataset, path: str | Path) -> Path:
    """Write a data set to a compressed NetCDF file that `load` reads back without loss.

    The file appears whole or not at all.  Attributes may hold anything that JSON can.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = xr.Dataset({"loss": ("lr", [1.0, 2.0])}, {"lr": ["a", "b"]}, {"steps": [3]})
    ...     load(save(kept, f"{folder}/kept.nc")).identical(kept)
    True
    """
    path = Path(path)
    attrs = json.dumps(cube.attrs, default=lambda value: np.asarray(value).tolist())
    whole = cube.copy()
    whole.attrs = {"lrcourse_cube": VERSION, "attributes": attrs}
    small = {"zlib": True, "complevel": 4, "shuffle": True}
    encoding = {n: small if v.dtype.kind in "biuf" else {} for n, v in whole.variables.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        whole.to_netcdf(part, engine="netcdf4", encoding=encoding)
        Path(part).chmod(0o644)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
    return path


def load(path: str | Path) -> xr.Dataset:
    """Read a data set that `save` wrote, or by its name one that was recorded for the book.

    >>> load("convergence").lr.size
    15

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the file is truncated, no NetCDF, not from `save`, or of a later version
    """
    path = Path(path)
    if path.suffix == "" and not path.exists():
        path = RECORDED / f"{path}.nc"
    if not path.exists():
        raise FileNotFoundError(f"path must be a file, was {str(path)!r}")
    try:
        cube = xr.load_dataset(path, engine="netcdf4")
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is truncated or no NetCDF file ({error})") from error
    version = cube.attrs.get("lrcourse_cube")
    if version != VERSION:
        what = "was not written by lrcourse" if version is None else f"has cube version {version}"
        raise ValueError(f"{path} {what}; this lrcourse reads version {VERSION}")
    cube.attrs = json.loads(cube.attrs["attributes"])
    for name, variable in cube.variables.items():
        if variable.dtype == object:
            cube[name] = variable.astype(str)
        cube[name].encoding = {}
    return cube
