"""A slice of the recorded cube of the chapter on schedules, trained again."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from conftest import ROOT

from lrcourse.cubes import load
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

CUBE = ROOT / "book" / "data" / "schedules.nc"


@pytest.fixture(scope="module")
def script(monkeypatch_module):
    monkeypatch_module.syspath_prepend(str(ROOT / "experiments"))
    path = ROOT / "experiments" / "schedules.py"
    spec = importlib.util.spec_from_file_location("schedules_experiment", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_the_cube_is_the_grid_of_the_script_and_complete(script):
    cube = load(CUBE)
    assert cube.schedule.values.tolist() == list(script.shapes(script.STEPS))
    assert cube["data"].values.tolist() == list(script.labels())
    np.testing.assert_allclose(cube.lr, script.LRS)
    assert cube.finished.all()
    assert np.isfinite(cube.val_loss).all()


def test_the_recorded_rates_are_the_schedules(script):
    cube = load(CUBE)
    for name, schedule in script.shapes(script.STEPS).items():
        planned = cube.lr.values[:, None] * schedule(cube.step.values)
        np.testing.assert_allclose(cube.rate.sel(schedule=name), planned, rtol=1e-6)


def test_a_slice_trained_again_gives_the_same_numbers(script):
    again = sweep(
        mlp, script.labels(), batch_size=[4, 64],
        schedule={k: script.shapes(script.STEPS)[k] for k in ("constant", "warm restarts")},
        lr=script.LRS[2:3], seed=[3], steps=script.STEPS, eval_every=100, progress=False,
    )  # fmt: skip
    recorded = load(CUBE).val_loss.sel(again.val_loss.coords)
    np.testing.assert_allclose(again.val_loss, recorded, rtol=1e-2)
