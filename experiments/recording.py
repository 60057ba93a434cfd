"""The command line that all experiments share, and what it writes.

A script describes its grid in a function and hands it to ``main``.  Finished runs are kept in
``experiments/unfinished``; when all are there, the cube goes to ``lrcourse/recorded``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import xarray as xr

from lrcourse.cubes import load, save

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "lrcourse" / "recorded"
DATED = ("created", "failed")


def main(
    script: str, make: Callable[..., xr.Dataset], argv: list[str] | None = None
) -> Path | None:
    """Record the cube of ``experiments/NAME.py``, or go on where an earlier call stopped.

    Parameters
    ----------
    script : the script's ``__file__``
    make : called as ``make(quick=..., executor=..., resume=..., progress=True)``; returns a cube
        that says in ``finished`` which runs it holds
    argv : the command line; None for that of the process

    Returns
    -------
    Where the cube is, or None while runs are missing.
    """
    name = Path(script).stem
    first = (sys.modules[make.__module__].__doc__ or name).strip().splitlines()[0]
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=first)
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
    given = parser.parse_args(argv)

    kept = HERE / "unfinished" / f"{name}{'-quick' * given.quick}.nc"
    target = kept if given.quick else DATA / f"{name}.nc"
    if given.again or given.quick:
        kept.unlink(missing_ok=True)
    elif target.exists() and complete(load(target)):
        print(f"{shown(target)} is complete; --again records it anew")
        return target
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "interrupted")
        cube = make(
            quick=given.quick,
            executor=given.scheduler or given.workers,
            resume=kept,
            progress=True,
        )
    if not complete(cube):
        print(f"{int((~cube.finished).sum())} of {cube.finished.size} runs are missing; "
              "the same command makes them")  # fmt: skip
        return None
    cube.attrs = {k: v for k, v in cube.attrs.items() if k not in DATED}  # equal runs, equal files
    cube.attrs["command"] = f"python -m experiments.{name}{' --quick' * given.quick}"
    save(cube, target)
    if not given.quick:
        kept.unlink()
    print(f"{shown(target)}: {target.stat().st_size / 1e6:.2f} MB, "
          f"{cube.finished.size} runs in {cube.attrs['wall_time']:.0f} s")  # fmt: skip
    return target


def complete(cube: xr.Dataset) -> bool:
    """Say whether every run of the grid has been made."""
    return bool(cube["finished"].all())


def shown(path: Path) -> Path:
    """Return a path as a reader of the repository knows it."""
    return path.relative_to(HERE.parent) if path.is_relative_to(HERE.parent) else path
