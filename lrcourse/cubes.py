"""Labelled results on disk: `save` and `load` keep any data set in NetCDF, `load` also by name.

The cubes that the book shows were recorded once and travel with the package: ``load("schedules")``.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

import lrcourse
from lrcourse._checks import count
from lrcourse.engine.signals import uninterrupted

__all__ = ["load", "provenance", "save"]

CUBE_VERSION = 1
ENGINE: Literal["netcdf4", "h5netcdf"] = "netcdf4" if find_spec("netCDF4") else "h5netcdf"
RECORDED = Path(str(resources.files("lrcourse"))) / "recorded"


def provenance() -> dict[str, Any]:
    """Return when and with which versions a cube was made.

    Returns
    -------
    dict
        ``created``, in UTC, and ``versions`` of everything that computes.

    Examples
    --------
    >>> sorted(provenance()["versions"])
    ['lrcourse', 'numpy', 'python', 'torch', 'xarray']
    """
    versions = {"lrcourse": lrcourse.__version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "xarray"):
        versions[package] = metadata.version(package)
    return {"created": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions}


def save(cube: xr.Dataset, path: str | Path, *, digits: int | None = None) -> Path:
    """Write a data set to a compressed NetCDF file that `load` reads back.

    The file appears whole or not at all, also when Ctrl-C comes meanwhile.

    Parameters
    ----------
    cube : xarray.Dataset
        Its attributes may hold anything that JSON can.
    path : str or Path
        Where; missing folders are made.
    digits : int, optional
        Significant decimal digits of floats that are kept, by the file format's own quantisation
        (4: a relative error below 5e-4), which needs netCDF4; without it nothing is lost.

    Returns
    -------
    Path

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = xr.Dataset({"loss": ("lr", [1.0, 2.0])}, {"lr": ["a", "b"]}, {"steps": [3]})
    ...     load(save(kept, f"{folder}/kept.nc")).identical(kept)
    True
    """
    path = Path(path)
    attrs = json.dumps(cube.attrs, default=lambda value: np.asarray(value).tolist())
    whole = cube.copy()
    whole.attrs = {"lrcourse_cube": CUBE_VERSION, "attributes": attrs}
    small: dict[str, Any] = {"zlib": True, "complevel": 4, "shuffle": True}
    encoding = {n: dict(small) for n, v in whole.variables.items() if v.dtype.kind in "biuf"}
    if digits is not None:
        if ENGINE != "netcdf4":
            raise ValueError(f"digits needs the package netCDF4, which is not here; was {digits!r}")
        rounded = {
            "significant_digits": count("digits", digits, low=1),
            "quantize_mode": "GranularBitRound",
        }
        for name, variable in whole.data_vars.items():
            if variable.dtype.kind == "f":
                encoding[name] |= rounded
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        with uninterrupted():  # the library does not come back from an interrupt
            whole.to_netcdf(part, engine=ENGINE, encoding=encoding)
            Path(part).chmod(0o644)
            os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
    return path


def load(path: str | Path) -> xr.Dataset:
    """Read a data set that `save` wrote, or by its name one that was recorded for the book.

    Parameters
    ----------
    path : str or Path
        A file; or a name such as ``"convergence"``.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is truncated, no NetCDF, not from `save`, or of a later version.

    Examples
    --------
    >>> load("convergence").lr.size
    15
    """
    path = Path(path)
    if path.suffix == "" and not path.exists():
        named = RECORDED / f"{path}.nc"
        if not named.exists():
            there = ", ".join(sorted(file.stem for file in RECORDED.glob("*.nc")))
            raise FileNotFoundError(
                f"path must be a file or a recorded cube ({there}), was {str(path)!r}"
            )
        path = named
    if not path.exists():
        raise FileNotFoundError(f"path must be a file, was {str(path)!r}")
    try:
        cube = xr.load_dataset(path, engine=ENGINE)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is truncated or no NetCDF file ({error})") from error
    version = cube.attrs.get("lrcourse_cube")
    if version != CUBE_VERSION:
        what = "was not written by lrcourse" if version is None else f"has cube version {version}"
        raise ValueError(f"{path} {what}; this lrcourse reads version {CUBE_VERSION}")
    cube.attrs = json.loads(cube.attrs["attributes"])
    for name, variable in cube.variables.items():
        if variable.dtype == object:
            cube[name] = variable.astype(str)
        cube[name].encoding = {}
    return cube
