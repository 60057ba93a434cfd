"""The recorded cubes: a slice of each is made again; all are light and say what they are."""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np
import pytest
from conftest import ROOT

from lrcourse.cubes import RECORDED, load, save

SCRIPTS = sorted(p.stem for p in (ROOT / "experiments").glob("[a-z]*.py") if p.stem != "recording")
CUBES = sorted((RECORDED).glob("*.nc"))


@pytest.fixture
def experiment(monkeypatch):
    """Import a script by name, as the command line would."""
    yield lambda name: importlib.import_module(f"experiments.{name}")
    for name in (*SCRIPTS, "recording"):
        sys.modules.pop(f"experiments.{name}", None)


def test_every_cube_has_a_script_and_the_other_way_round():
    assert [path.stem for path in CUBES] == SCRIPTS


def test_all_cubes_together_are_light():
    assert sum(path.stat().st_size for path in CUBES) < 15e6


@pytest.mark.parametrize("path", CUBES, ids=lambda p: p.stem)
def test_a_cube_is_complete_and_says_how_it_was_made(path):
    cube = load(path)
    assert cube.finished.all()
    assert cube.attrs["command"] == f"python -m experiments.{path.stem}"
    assert {"lrcourse", "numpy", "python", "torch"} <= set(cube.attrs["versions"])
    assert cube.attrs["wall_time"] > 0
    assert cube.attrs["settings"]
    assert "seed" in cube.coords
    assert cube.sizes["seed"] >= 3
    assert "created" not in json.dumps(cube.attrs)


def test_a_slice_of_convergence_repeats(experiment):
    """150 updates in double precision.  Up to the limit runs repeat to 1e-5 (they are kept as
    float32); beyond it rounding is magnified by about a tenth at every update, so there the
    tolerance is 1e-3."""
    script, cube = (
        experiment("convergence"),
        load("convergence"),
    )
    for lr, seed, rtol in ((0.5, 0, 1e-5), (2.0, 1, 1e-3), (4.0, 2, 1e-3)):
        part = cube.sel(lr=lr, seed=seed)
        again = script.train({"lr": lr, "seed": seed, "steps": 150, "every": 25})
        np.testing.assert_allclose(again["loss"][1], part.loss[:150], rtol=rtol)
        np.testing.assert_allclose(again["sharpness"][1], part.sharpness[:7], rtol=5e-3)
        assert again["diverged_at"] == part.diverged_at


def test_convergence_records_the_grid_that_its_script_describes(experiment):
    script, cube = (
        experiment("convergence"),
        load("convergence"),
    )
    assert cube.lr.values.tolist() == script.GRID["lr"]
    assert cube.sizes["step"] == script.GRID["steps"]


@pytest.fixture
def tiny(experiment, tmp_path, monkeypatch):
    """The command line on a grid of four runs that writes into a folder of its own."""
    script, common = experiment("convergence"), importlib.import_module("experiments.recording")
    monkeypatch.setattr(common, "HERE", tmp_path)
    monkeypatch.setattr(common, "DATA", tmp_path / "data")
    small = {"lr": [0.5, 4.0], "seed": range(2), "steps": 10, "every": 5}
    monkeypatch.setattr(script, "GRID", small)
    monkeypatch.setattr(script, "QUICK", small)

    def run(*argv):
        return common.main(str(ROOT / "experiments" / "convergence.py"), script.make, list(argv))

    run.script, run.folder = script, tmp_path
    return run


def serially(script, monkeypatch):
    """Make the runs in this process, where a test can break them."""
    make = script.make
    monkeypatch.setattr(script, "make", lambda **o: make(**(o | {"executor": "serial"})))


def test_the_command_line_records_and_knows_when_it_is_done(tiny, monkeypatch, capsys):
    serially(tiny.script, monkeypatch)
    path = tiny()
    assert load(path).attrs["command"] == "python -m experiments.convergence"
    assert not list((tiny.folder / "unfinished").iterdir())
    before = path.read_bytes()
    assert tiny() == path
    assert path.read_bytes() == before
    assert "is complete; --again records it anew" in capsys.readouterr().out


def test_what_is_finished_is_not_made_again(tiny, monkeypatch, capsys):
    serially(tiny.script, monkeypatch)
    train, log = tiny.script.train, tiny.folder / "log"
    log.mkdir()

    def fragile(run):  # it is pickled, so what it counts must lie on disk
        if len(list(log.iterdir())) == 2:
            (log / "interrupted").touch()
            raise KeyboardInterrupt
        (log / f"{run['lr']}-{run['seed']}").touch(exist_ok=False)
        return train(run)

    fragile.__qualname__ = train.__qualname__
    monkeypatch.setattr(tiny.script, "train", fragile)
    with pytest.warns(UserWarning, match="2 of 4 runs are missing"):
        assert tiny() is None
    assert "2 of 4 runs are missing; the same command makes them" in capsys.readouterr().out
    assert not (tiny.folder / "data").exists()
    assert load(tiny()).finished.all()
    assert len(list(log.iterdir())) == 5


def test_an_unfinished_cube_of_the_book_is_recorded_on(tiny, monkeypatch):
    serially(tiny.script, monkeypatch)
    path = tiny()
    cube = load(path)
    cube.finished[0, 0] = False
    save(cube, path)
    assert load(tiny()).finished.all()


def test_quick_leaves_the_cube_of_the_book_alone(tiny, monkeypatch):
    serially(tiny.script, monkeypatch)
    assert tiny("--quick").parent.name == "unfinished"
    assert not (tiny.folder / "data").exists()


def test_workers_and_scheduler_exclude_each_other(tiny, capsys):
    with pytest.raises(SystemExit):
        tiny("--workers", "2", "--scheduler", "tcp://x:1")
    assert "not allowed with" in capsys.readouterr().err
