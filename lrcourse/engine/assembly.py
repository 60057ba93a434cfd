"""Records of runs, put together to one labelled cube; whole at any moment."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lrcourse.cubes import provenance
from lrcourse.engine.store import Kept, Store
from lrcourse.grids import Axis, Index

BLANK = {"f": np.nan, "c": np.nan, "U": "", "O": ""}


def as_record(value: Any) -> Kept:
    """Return what a run gave as (variables with their dimensions, coordinates).

    >>> as_record({"loss": ("step", [1.0, 2.0]), "end": 3})[0]["loss"][0]
    ('step',)
    """
    if hasattr(value, "to_dataset"):
        value = value.to_dataset()
    if isinstance(value, xr.Dataset):
        coords = {str(n): c.values for n, c in value.coords.items() if c.dims == (n,)}
        return {str(n): (_dims(v.dims), v.values) for n, v in value.data_vars.items()}, coords
    if not isinstance(value, Mapping):
        value = {"value": value}
    record = {}
    for name, given in value.items():
        dims, array = given if isinstance(given, tuple) and len(given) == 2 else (None, given)
        array = np.asarray(array)
        if dims is None:
            dims = [f"{name}_{i}" for i in range(array.ndim)]
        dims = _dims([dims] if isinstance(dims, str) else dims)
        if array.dtype == object:
            raise TypeError(f"{name} must be a number, text or an array of them, was {given!r:.60}")
        if len(dims) != array.ndim:
            raise ValueError(f"{name} must have {array.ndim} dims, had {', '.join(dims) or 'none'}")
        record[str(name)] = dims, array
    return record, {}


def _dims(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, names))


class Assembly:
    """A cube that fills run by run, from a store at first if there is one.

    Parameters
    ----------
    axes : sequence of Axis
        The dimensions of the grid.
    coords : dict
        Coordinates of other dimensions, where they are known beforehand.
    attrs : dict
        What all runs share.
    made_by : mapping of index to str, optional
        The fingerprint of each run, with which the store knows it.
    store : Store, optional
        Where finished runs are kept.
    optional : tuple of str
        Variables that not every run must have; they are left out of the cube.
    fitted : callable
        Gives the record of a run the coordinates of the cube; the store keeps it as it came.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        coords: dict[str, NDArray[Any]],
        attrs: dict[str, Any],
        made_by: Mapping[Index, str] | None = None,
        store: Store | None = None,
        optional: tuple[str, ...] = (),
        fitted: Callable[[Index, Kept], Kept] = lambda index, record: record,
    ) -> None:
        self.axes, self.attrs, self.optional = axes, attrs | provenance(), optional
        self.fitted = fitted
        self.dims = tuple(axis.name for axis in axes)
        self.coords = {axis.name: axis.labels for axis in axes} | coords
        self.arrays: dict[str, tuple[tuple[str, ...], NDArray[Any]]] = {}
        self.extra: dict[str, dict[Index, NDArray[Any]]] = {name: {} for name in optional}
        self.finished = np.zeros([len(axis.values) for axis in axes], bool)
        self.failed: dict[Index, str] = {}
        self.store, self.made_by = store, made_by or {}
        self.spent, self.last = 0.0, time.monotonic()
        if store is not None:
            there = store.find(self.made_by.values())
            for index, name in self.made_by.items():
                if name in there:
                    record, seconds = there[name]
                    try:
                        self._take(index, fitted(index, record))
                    except (TypeError, ValueError) as error:
                        self.fail(index, error)
                    else:
                        self.spent += seconds
        self.last = time.monotonic()

    def name(self, index: Index) -> str:
        """Name a run by its coordinates."""
        pairs = zip(self.axes, index, strict=True)
        return ", ".join(f"{axis.name}={axis.labels[i]}" for axis, i in pairs) or "the only run"

    def put(self, records: Mapping[Index, Any]) -> None:
        """Put what runs gave in place, each whole or not at all, and keep it in the store."""
        good = {}
        for index, value in records.items():
            try:
                record = as_record(value)
                self._take(index, self.fitted(index, record))
            except (TypeError, ValueError) as error:
                self.fail(index, error)
            else:
                good[index] = record
        now = time.monotonic()
        self.spent += now - self.last
        if self.store is not None and good:
            self.store.put({self.made_by[i]: r for i, r in good.items()}, now - self.last)
        self.last = time.monotonic()

    def fail(self, index: Index, error: BaseException) -> None:
        """Note why a run has no record."""
        text = str(error).strip().splitlines()
        self.failed[index] = f"{type(error).__name__}: {text[0] if text else 'no reason given'}"

    def _take(self, index: Index, record: Kept) -> None:
        variables, coords = record
        needed = {name: v for name, v in variables.items() if name not in self.optional}
        if clash := sorted({*variables, *(d for dims, _ in variables.values() for d in dims)}
                           & {*self.dims}):  # fmt: skip
            raise ValueError(
                f"{clash[0]} is a dimension of the grid and cannot be returned as well"
            )
        for name, values in coords.items():
            had = self.coords.get(name, values)
            if had.shape != values.shape or not np.array_equal(had, values):
                raise ValueError(
                    f"{name} must have the same coordinates in all runs, were {_shown(had)}, "
                    f"then {_shown(values)}"
                )
        if self.arrays and needed.keys() != self.arrays.keys():
            first, now = (", ".join(sorted(names)) for names in (self.arrays, needed))
            raise ValueError(f"all runs must return the same names, were {first}, then {now}")
        places = {name: self._place(name, *value) for name, value in needed.items()}
        for name, (dims, full) in places.items():
            array = variables[name][1]
            full[index] = array if array.ndim else array.item()
            self.arrays[name] = dims, full
        for name in self.optional:
            if name in variables:
                self.extra[name][index] = variables[name][1]
        self.coords |= coords
        self.finished[index] = True
        self.failed.pop(index, None)

    def _place(
        self, name: str, dims: tuple[str, ...], array: NDArray[Any]
    ) -> tuple[tuple[str, ...], NDArray[Any]]:
        """Return the array that holds a variable of all runs, with room for one more value."""
        if name not in self.arrays:
            dtype = object if array.dtype.kind == "U" else array.dtype
            blank = BLANK.get(array.dtype.kind, 0)
            return dims, np.full((*self.finished.shape, *array.shape), blank, dtype)
        had, full = self.arrays[name]
        shape = full.shape[self.finished.ndim :]
        if array.shape != shape:
            raise ValueError(f"{name} must have one shape, was {shape}, then {array.shape}")
        if dims != had:
            raise ValueError(f"{name} must have the same dims, were {had}, then {dims}")
        if (full.dtype == object) != (array.dtype.kind == "U"):
            raise TypeError(f"{name} must be text in all runs or in none")
        kind = full.dtype if full.dtype == object else np.promote_types(full.dtype, array.dtype)
        if kind == full.dtype:
            return had, full
        wider = np.full(full.shape, BLANK.get(kind.kind, 0), kind)
        wider[self.finished] = full[self.finished]
        return had, wider

    def dataset(self) -> xr.Dataset:
        """Return the labelled cube as it stands: what is missing is NaN, in texts empty."""
        variables: dict[str, Any] = {}
        for name, (dims, full) in self.arrays.items():
            if full.dtype == object:
                values = full.astype(str)
            elif full.dtype.kind in "biu" and not self.finished.all():
                values = full.astype(float)
                values[~self.finished] = np.nan
            else:
                values = full.copy()
            variables[name] = (*self.dims, *dims), values
        variables["finished"] = self.dims, self.finished.copy()
        failed = [f"{self.name(index)}: {why}" for index, why in self.failed.items()]
        used = {dim for dims, _ in variables.values() for dim in dims}
        coords = {name: c for name, c in self.coords.items() if name in used}
        attrs = self.attrs | {"wall_time": round(self.spent, 3), "failed": failed}
        return xr.Dataset(variables, coords, attrs)

    def warn_of_missing(self, stacklevel: int = 3) -> None:
        """Say which runs are missing, if any are."""
        missing = int((~self.finished).sum())
        if missing:
            named = "".join(f"\n  {self.name(i)}: {why}" for i, why in [*self.failed.items()][:10])
            path = None if self.store is None else str(self.store.path)
            again = f"; the same call with resume={path!r} makes them" if path else ""
            text = f"{missing} of {self.finished.size} runs are missing (NaN){again}{named}"
            warnings.warn(text, stacklevel=stacklevel)


def _shown(values: NDArray[Any]) -> str:
    return f"{values.tolist()}" if values.size <= 4 else f"{values.size} from {values[0]}"
