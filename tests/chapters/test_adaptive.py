"""The cubes of the chapter on adaptive methods: a slice of each is made again."""

import importlib
import sys

import numpy as np
import pytest

from lrcourse.cubes import load


@pytest.fixture
def experiment(monkeypatch):
    yield lambda name: importlib.import_module(f"experiments.{name}")
    for name in ("adaptive", "adaptive_decay", "recording"):
        sys.modules.pop(f"experiments.{name}", None)


@pytest.mark.parametrize("method", ["SGD", "Nesterov", "AdaGrad", "Adam"])
def test_a_slice_of_adaptive_repeats(experiment, method):
    """Rates up to 0.001, where rounding is not magnified; four digits are kept."""
    cube = load("adaptive").sel(task="digits", optimizer=method)
    run = {"task": "digits", "optimizer": method, "decades": 2, "seeds": 2, "steps": 100}
    again = experiment("adaptive").train(run | {"every": 25})
    then = cube.sel(lr=again.lr, seed=again.seed, eval_step=again.eval_step)
    for name in ("val_loss", "train_loss"):
        np.testing.assert_allclose(again[name], then[name], rtol=2e-3)


def test_a_slice_of_adaptive_decay_repeats(experiment):
    cube = load("adaptive_decay")
    for kind in cube.kind.values:
        run = {"kind": str(kind), "lr": 1e-3, "decays": 13, "seeds": 2, "steps": 100, "every": 100}
        again = experiment("adaptive_decay").train(run)
        then = cube.sel(kind=kind, lr=1e-3, decay=again.decay, seed=again.seed, eval_step=[0, 100])
        np.testing.assert_allclose(again.val_loss, then.val_loss, rtol=2e-3)


def test_the_cubes_hold_the_grids_that_their_scripts_describe(experiment):
    script = experiment("adaptive")
    cube = load("adaptive")
    assert cube.task.values.tolist() == script.TASKS
    assert cube.lr.values.tolist() == script.rates(script.GRID["decades"])
    pairs = load("adaptive_decay")
    assert pairs.lr.values.tolist() == experiment("adaptive_decay").GRID["lr"]
