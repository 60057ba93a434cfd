"""The command line that all experiments share, and what it writes.

An experiment is a module with the grid of the book, ``GRID``, a small one, ``QUICK``, a part of it
that the tests make again, ``SLICE``, and ``make``, which turns a grid into its cube.  Finished runs
are kept in ``experiments/unfinished``; when all are there, the cube goes to ``lrcourse/recorded``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from lrcourse.cubes import RECORDED, load, save
from lrcourse.data import Data
from lrcourse.grids import axes_of, stable_repr
from lrcourse.sweeps import sweep_function

UNFINISHED = Path(__file__).resolve().parent / "unfinished"
NOT_KEPT = ("created", "failed", "function")  # equal runs make equal files

Grid = Mapping[str, Any]
Part = tuple[dict[str, Any], dict[str, float]]  # what replaces a part of GRID, and tolerances


def halves(model: torch.nn.Module, data: Data) -> torch.Tensor:
    """Return loss and share of mistakes on the two halves of the validation digits, in rows."""
    outputs, middle = model(data.x_val), len(data.x_val) // 2
    parts = [slice(None, middle), slice(middle, None)]
    loss = [data.loss_of(outputs[part], data.y_val[part]) for part in parts]
    wrong = [(outputs[part].argmax(1) != data.y_val[part]).float().mean() for part in parts]
    return torch.stack([torch.stack(loss), torch.stack(wrong)])


def ends_on_halves(runs: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return loss and share of mistakes over ``half`` when runs measured by `halves` end."""
    at_end = runs.halves.isel(eval_step=-1, drop=True).rename(halves_1="half")
    return at_end.isel(halves_0=0), at_end.isel(halves_0=1)


def main(
    script: str,
    make: Callable[..., xr.Dataset],
    grid: Grid,
    quick: Grid,
    *,
    digits: int | None = None,
    argv: list[str] | None = None,
) -> Path:
    """Record the cube of ``experiments/NAME.py``, or go on where an earlier call stopped.

    Parameters
    ----------
    script : str
        The script's ``__file__``.
    make : callable
        Called as ``make(grid, executor=..., resume=..., progress=True)``; returns a cube that says
        in ``finished`` which runs it holds.
    grid, quick : mapping
        The grid of the book, and one for ``--quick``.
    digits : int, optional
        Significant digits that the file keeps.
    argv : list of str, optional
        The command line; that of the process if not given.

    Returns
    -------
    Path
        Where the cube is.

    Raises
    ------
    SystemExit
        Runs are missing: the command was interrupted, or they failed.
    """
    name = Path(script).stem
    given = _parser(name, sys.modules[make.__module__].__doc__ or name).parse_args(argv)
    chosen, which = (quick, f"{name}-quick") if given.quick else (grid, name)
    target = (UNFINISHED if given.quick else RECORDED) / f"{which}.nc"
    if not (given.again or given.quick) and target.exists() and holds(load(target), grid):
        print(f"{_shown(target)} is complete; --again records it anew")
        return target
    store = UNFINISHED / f"{which}.sqlite"
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "interrupted")
        cube = make(chosen, executor=given.scheduler or given.workers, resume=store, progress=True)
    if missing := int((~cube.finished).sum()):
        sys.exit(f"{missing} of {cube.finished.size} runs are missing; the same command makes them")
    cube.attrs = {key: value for key, value in cube.attrs.items() if key not in NOT_KEPT}
    cube.attrs["command"] = f"python -m experiments.{name}{' --quick' * given.quick}"
    save(cube, target, digits=digits)
    store.unlink(missing_ok=True)
    print(f"{_shown(target)}: {target.stat().st_size / 1e6:.2f} MB, "
          f"made in {cube.attrs['wall_time']:.0f} s")  # fmt: skip
    return target


def holds(cube: xr.Dataset, grid: Grid) -> bool:
    """Say whether a cube holds every run of a grid, and no other."""
    axes = {axis.name: axis.labels for axis in axes_of(grid)}
    settings = cube.attrs["settings"]
    return (
        all(name in cube.coords and _same(cube[name].values, axes[name]) for name in axes)
        and all(settings.get(name) == stable_repr(grid[name]) for name in grid if name not in axes)
        and bool(cube["finished"].all())
    )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Compare labels; a power may differ in its last bit from one processor to the next."""
    if one.shape != other.shape or "f" not in (one.dtype.kind, other.dtype.kind):
        return np.array_equal(one, other)
    return np.allclose(one, other, rtol=1e-12, atol=0)


def light(runs: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Return these variables, floats in single precision, and all that says how they were made."""
    kept = runs[list(names)]
    return kept.map(lambda v: v.astype(np.float32) if v.dtype.kind == "f" else v, keep_attrs=True)


def of_stacks(
    train: Callable[..., xr.Dataset], grid: Grid, together: Sequence[str], **options: Any
) -> xr.Dataset:
    """Call a function over a grid whose dimensions `together` it trains in one sweep of its own.

    Parameters
    ----------
    train : callable
        Called by name with one value of each other dimension, and all values of these.
    grid : mapping
    together : sequence of str
        Names of dimensions.
    **options
        Those of `sweep_function`.

    Returns
    -------
    xarray.Dataset
        Its ``finished`` is over the other dimensions.
    """
    whole = update_wrapper(partial(train, **{name: grid[name] for name in together}), train)
    outer = {name: value for name, value in grid.items() if name not in together}
    return sweep_function(whole, **outer, **options)


def _parser(name: str, doc: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}", description=doc.strip().splitlines()[0]
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, metavar="N", help="processes here; one a core if not given"
    )
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask scheduler, such as tcp://host:8786"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small grid in seconds; the book's cube stays"
    )
    parser.add_argument(
        "--again", action="store_true", help="record anew although the cube is complete"
    )
    return parser


def _shown(path: Path) -> Path:
    """Return a path as a reader of the repository knows it."""
    root = UNFINISHED.parents[1]
    return path.relative_to(root) if path.is_relative_to(root) else path
