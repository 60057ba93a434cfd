"""The cubes of the chapter on adaptive methods: a slice of each is made again."""

import importlib
import sys

import numpy as np
import pytest
from conftest import ROOT

from lrcourse.cubes import load


@pytest.fixture
def experiment(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    yield importlib.import_module
    for name in ("adaptive", "adaptive_decay", "_common"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("method", ["SGD", "Nesterov", "AdaGrad", "Adam"])
def test_a_slice_of_adaptive_repeats(experiment, method):
    """Rates up to 0.001, where rounding is not magnified; four digits are kept."""
    cube = load(ROOT / "book" / "data" / "adaptive.nc").sel(task="digits", optimizer=method)
    run = {"task": "digits", "optimizer": method, "decades": 2, "seeds": 2, "steps": 100}
    again = experiment("adaptive").train(run | {"every": 25})
    then = cube.sel(lr=again.lr, seed=again.seed, eval_step=again.eval_step)
    for name in ("val_loss", "train_loss"):
        np.testing.assert_allclose(again[name], then[name], rtol=2e-3)


def test_a_slice_of_adaptive_decay_repeats(experiment):
    cube = load(ROOT / "book" / "data" / "adaptive_decay.nc")
    for kind in cube.kind.values:
        run = {"kind": str(kind), "lr": 1e-3, "decays": 13, "seeds": 2, "steps": 100, "every": 100}
        again = experiment("adaptive_decay").train(run)
        then = cube.sel(kind=kind, lr=1e-3, decay=again.decay, seed=again.seed, eval_step=[0, 100])
        np.testing.assert_allclose(again.val_loss, then.val_loss, rtol=2e-3)


def test_the_cubes_hold_the_grids_that_their_scripts_describe(experiment):
    script = experiment("adaptive")
    cube = load(ROOT / "book" / "data" / "adaptive.nc")
    assert cube.task.values.tolist() == script.TASKS
    assert cube.lr.values.tolist() == script.rates(script.GRID["decades"])
    pairs = load(ROOT / "book" / "data" / "adaptive_decay.nc")
    assert pairs.lr.values.tolist() == experiment("adaptive_decay").GRID["lr"]
