"""A slice of the recorded cube of the chapter on schedules, trained again."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from lrcourse.cubes import load
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

CUBE = "schedules"


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("experiments.schedules")


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
