"""The recorded cubes: a slice of each is made again; all are light and say what they are."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch
from conftest import ROOT

from experiments.recording import holds
from lrcourse.chapters.schedules import shapes
from lrcourse.cubes import RECORDED, load

FILES = (ROOT / "experiments").glob("[a-z]*.py")
NAMES = sorted(path.stem for path in FILES if path.stem != "recording")
EXPERIMENTS = {name: importlib.import_module(f"experiments.{name}") for name in NAMES}
SLICES = [(name, i) for name in NAMES for i in range(len(EXPERIMENTS[name].SLICE))]


@pytest.fixture
def one_thread():
    """On busy processors threads that wait for each other are slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_cube_has_an_experiment_and_the_other_way_round():
    assert sorted(path.stem for path in RECORDED.glob("*.nc")) == NAMES


def test_all_cubes_together_are_light():
    assert sum(path.stat().st_size for path in RECORDED.glob("*.nc")) < 15e6


@pytest.mark.parametrize("name", NAMES)
def test_a_cube_holds_its_grid_and_says_how_it_was_made(name):
    cube = load(name)
    assert holds(cube, EXPERIMENTS[name].GRID)
    assert cube.attrs["command"] == f"python -m experiments.{name}"
    assert {"lrcourse", "numpy", "python", "torch"} <= set(cube.attrs["versions"])
    assert cube.attrs["wall_time"] > 0
    assert cube.attrs["settings"]
    assert cube.sizes["seed"] >= 3
    assert "created" not in json.dumps(cube.attrs)


@pytest.mark.parametrize("name", NAMES)
def test_a_cube_of_another_grid_or_with_runs_missing_is_told_apart(name):
    cube, grid = load(name), EXPERIMENTS[name].GRID
    assert not holds(cube, grid | {"seed": range(9)})
    assert not holds(cube, grid | {"seed": range(1, 1 + len(grid["seed"]))})
    assert not holds(cube, grid | {"lr": [2 * lr for lr in grid["lr"]]})
    assert not holds(cube, grid | {"steps": grid["steps"] + 1})
    cube.finished[dict.fromkeys(cube.finished.dims, 0)] = False
    assert not holds(cube, grid)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "i"), SLICES)
def test_a_slice_made_again_gives_the_same_numbers(name, i):
    experiment = EXPERIMENTS[name]
    part, tolerances = experiment.SLICE[i]
    again = experiment.make(experiment.GRID | part, executor="serial", progress=False)
    then = load(name)
    for dim, labels in again.coords.items():
        near = "nearest" if labels.dtype.kind == "f" else None
        then = then.sel({dim: labels.values}, method=near)
    assert {v: a.dims for v, a in again.items()} == {v: a.dims for v, a in then.items()}
    for variable, tolerance in tolerances.items():
        np.testing.assert_allclose(again[variable], then[variable], rtol=tolerance)


def test_the_rates_recorded_for_schedules_are_the_schedules():
    cube = load("schedules")
    for name, schedule in shapes(1400).items():
        planned = cube.lr.values[:, None] * schedule(cube.step.values)
        np.testing.assert_allclose(cube.used.sel(schedule=name), planned, rtol=1e-6)


def test_no_run_under_a_schedule_diverged():
    cube = load("schedules")
    assert np.isfinite(cube.val_loss).all()
    assert (cube.diverged_at == -1).all()


def test_what_diverged_is_marked_at_the_update_whose_loss_exploded():
    cube = load("convergence")
    diverged = cube.diverged_at >= 0
    assert diverged.any()
    assert (cube.loss.notnull().sum("step") == (cube.diverged_at + 1)).where(diverged, True).all()
    at = cube.loss.isel(step=cube.diverged_at.clip(0))
    assert (at > 1e4).where(diverged, True).all()
