"""The store of finished runs: none lost, none mixed, whatever stops the program."""

import os
import signal
import sqlite3
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

from lrcourse.data import split
from lrcourse.engine import planning
from lrcourse.engine.stacks import Perceptrons
from lrcourse.engine.store import Store
from lrcourse.models import mlp
from lrcourse.schedules import Constant
from lrcourse.sweeps import sweep, sweep_function

RNG = np.random.default_rng(0)
TOY = split("toy", RNG.standard_normal((60, 3)), RNG.integers(0, 3, 60))
tiny = partial(mlp, (3, 4, 3))
plain = {"data": TOY, "steps": 4, "batch_size": 8}


def rows(path):
    with sqlite3.connect(path) as base:
        return base.execute("SELECT count(*) FROM runs").fetchone()[0]


def test_interrupted_and_resumed_is_the_whole(tmp_path):
    path, log = tmp_path / "runs.sqlite", tmp_path / "log"

    def train(x, seed):
        with log.open("a") as file:
            file.write(".")
        if len(log.read_text()) == 4:
            raise KeyboardInterrupt
        return {"y": x * seed, "path": ("step", x + np.arange(3.0)), "label": f"x{x}"}

    grid = {"x": [1.0, 2.0, 3.0], "seed": range(2), "executor": "serial", "resume": path}
    with pytest.warns(UserWarning, match="interrupted") as caught:
        part = sweep_function(train, **grid)
    assert "3 of 6 runs are missing" in str(caught[-1].message)
    assert "resume=" in str(caught[-1].message)
    assert part.finished.sum() == 3
    whole = sweep_function(train, **grid)
    assert len(log.read_text()) == 7
    assert whole.y.values.tolist() == [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]
    assert whole.label.values[2, 1] == "x3.0"
    assert whole.path.dims == ("x", "seed", "step")
    assert whole.attrs["failed"] == []
    assert sweep_function(train, **grid).equals(whole)
    assert len(log.read_text()) == 7


def test_an_edited_function_makes_its_runs_anew(tmp_path):
    def version(factor):
        names = {"factor": factor}
        exec(f"def train(x):\n    return x * {factor}\n", names)
        return names["train"]

    call = partial(sweep_function, x=[1.0, 2.0], executor="serial", resume=tmp_path / "a")
    assert call(version(2)).value.values.tolist() == [2.0, 4.0]
    assert call(version(5)).value.values.tolist() == [5.0, 10.0]
    assert call(version(2)).value.values.tolist() == [2.0, 4.0]
    assert rows(tmp_path / "a") == 4


def test_a_function_is_known_by_its_closure_not_its_address(tmp_path):
    def made(shift):
        return lambda x: {"y": x + shift}

    call = partial(sweep_function, x=[1.0], executor="serial", resume=tmp_path / "a")
    assert call(partial(made(0.0))).y[0] == 1
    assert call(partial(made(5.0))).y[0] == 6
    assert call(partial(made(0.0))).y[0] == 1
    assert rows(tmp_path / "a") == 2


def test_a_grid_may_grow_shrink_and_change_its_dimensions(tmp_path):
    path = tmp_path / "a"
    call = partial(sweep, tiny, **plain, engine="batched", resume=path)
    call(lr=[0.1, 0.3], seed=[0])
    grown = call(lr=[0.1, 0.2, 0.3], seed=[0, 1])
    assert rows(path) == 6
    alone = sweep(tiny, **plain, lr=[0.1, 0.2, 0.3], seed=[0, 1])
    xr.testing.assert_allclose(grown, alone, rtol=1e-5)  # stacked otherwise: equal up to rounding
    one = call(lr=0.2, seed=[1])
    assert rows(path) == 6
    assert np.array_equal(one.loss[0], grown.loss.sel(lr=0.2, seed=1))
    assert grown.attrs["wall_time"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 5},
        {"model": partial(mlp, (3, 5, 3))},
        {"momentum": 0.9},
        {"data": split("toy", np.ones((60, 3)), np.zeros(60), scale=False)},
        {"schedule": {"plan": Constant(0.9)}},
        {"measures": {"size": lambda model, data: 1.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_experiment_shares_the_file_and_no_run(tmp_path, change):
    path = tmp_path / "a"
    call = {"model": tiny, "lr": [0.1], "schedule": {"plan": Constant(0.1)}, "resume": path} | plain
    kept = sweep(**call)
    sweep(**(call | change))
    assert rows(path) == 2
    assert sweep(**call).equals(kept)


def test_models_in_a_list_are_known_in_a_new_session(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from functools import partial\n"
        "from lrcourse import sweep\n"
        "from lrcourse.data import line\n"
        "from lrcourse.models import mlp\n"
        "sweep([partial(mlp, (1, 2, 1)), partial(mlp, (1, 3, 1))], line(), lr=1e-3, steps=2,\n"
        "      batch_size=8, resume='a')\n"
    )
    for _ in range(2):
        subprocess.run(
            [sys.executable, script], cwd=tmp_path, check=True,
        )  # fmt: skip
        assert rows(tmp_path / "a") == 2


def test_two_programs_share_one_file_and_lose_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\n"
        "from lrcourse import sweep_function\n"
        "def train(x):\n"
        "    time.sleep(0.01)\n"
        "    return x\n"
        "first = int(sys.argv[1])\n"
        "sweep_function(train, x=range(first, first + 30), executor='serial', resume='a')\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, script, str(first)], cwd=tmp_path,
        )
        for first in (0, 20)
    ]  # fmt: skip
    assert [child.wait(120) for child in children] == [0, 0]
    assert rows(tmp_path / "a") == 50


def test_what_is_no_store_or_cannot_be_written_is_noticed_before_any_run(tmp_path):
    (tmp_path / "old.nc").write_bytes(b"\x89HDF" + bytes(5000))
    (tmp_path / "folder").write_text("a file stands where the folder should be")
    calls = []
    for path, message in (
        (tmp_path / "old.nc", "old.nc is no store of runs"),
        (tmp_path / "folder" / "a", "resume must be a file that can be written"),
        (tmp_path, "resume must be a file that can be written"),
    ):
        with pytest.raises(ValueError, match=message):
            sweep_function(calls.append, x=[1], resume=path)
    assert calls == []
    with sqlite3.connect(tmp_path / "later") as base:
        base.execute("PRAGMA user_version = 99")
    with pytest.raises(ValueError, match="a store of version 99"):
        Store(tmp_path / "later")
    with sqlite3.connect(tmp_path / "foreign") as base:
        base.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(ValueError, match="another program's database, with 'bookmarks' in it"):
        Store(tmp_path / "foreign")
    with sqlite3.connect(tmp_path / "foreign") as base:
        assert [name for (name,) in base.execute("SELECT name FROM sqlite_master")] == ["bookmarks"]


def test_a_full_disk_costs_no_runs(tmp_path, monkeypatch):
    real = Store._write

    def full(self, command, rows):
        self._base.execute("PRAGMA max_page_count = 1")
        real(self, command, rows)

    monkeypatch.setattr(Store, "_write", full)

    def wide(x):
        return np.random.default_rng(x).standard_normal(9999)

    with pytest.warns(UserWarning, match="runs could not be kept in .*full") as caught:
        cube = sweep_function(wide, x=[1, 2], resume=tmp_path / "a")
    assert cube.finished.all()
    assert len(caught) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_stack_under_way_goes_on_where_it_was(tmp_path, monkeypatch):
    """Interrupted in the middle of the only chunk: nothing is finished, and nothing is repeated."""
    call = partial(sweep, tiny, **(plain | {"steps": 60}), lr=[0.1, 0.2], seed=range(3),
                   optimizer="adam", engine="batched", eval_every=20)  # fmt: skip
    whole = call()
    made, gradients = [], Perceptrons.gradients

    def interrupted(stack, rows):
        made.append(1)
        if len(made) == 25:
            os.kill(os.getpid(), signal.SIGINT)  # it waits for the end of the update
        return gradients(stack, rows)

    monkeypatch.setattr(Perceptrons, "gradients", interrupted)
    path = tmp_path / "a"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = call(resume=path)
    assert not part.finished.any()
    again = call(resume=path)
    monkeypatch.undo()
    assert again.finished.all()
    assert len(made) == 60
    xr.testing.assert_identical(again.drop_attrs(), whole.drop_attrs())
    with sqlite3.connect(path) as base:
        assert base.execute("SELECT count(*) FROM begun").fetchone() == (0,)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_stack_that_is_killed_goes_on_from_the_state_last_saved(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys\n"
        "from lrcourse import digits, mlp, sweep\n"
        "from lrcourse.engine import batched\n"
        "batched.SAVE_SECONDS = 0.0\n"
        "made, update = [], batched._Training.update\n"
        "def counted(training):\n"
        "    made.append(1)\n"
        "    if len(made) == int(sys.argv[1]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    update(training)\n"
        "batched._Training.update = counted\n"
        "runs = sweep(mlp, digits(), lr=[0.1, 0.2], seed=[0, 1], steps=64, resume='a')\n"
        "print(len(made), float(runs.loss.sum()))\n"
    )

    def run(*argv):
        return subprocess.run(
            [sys.executable, script, *argv], cwd=tmp_path, text=True, capture_output=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    assert run("40").returncode == -signal.SIGKILL
    assert rows(tmp_path / "a") == 0
    made, total = run("0").stdout.split()
    assert int(made) == 64 - 32  # saved after 16 and 32 updates
    (tmp_path / "a").unlink()
    assert run("0").stdout.split() == ["64", total]


def test_states_that_nobody_went_on_from_are_dropped_in_the_end(tmp_path, monkeypatch):
    def kept():
        store = Store(tmp_path / "a")
        found = store.checkpoint("old code").load()
        store.close()
        return found

    store = Store(tmp_path / "a")
    store.checkpoint("old code").save({"t": 3})
    store.close()
    assert kept() == {"t": 3}
    monkeypatch.setattr("lrcourse.engine.store.FORGET_SECONDS", -1.0)
    assert kept() is None


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_finished_runs_survive_a_stop(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(
        "import time, warnings\n"
        "from lrcourse import sweep_function\n"
        "warnings.simplefilter('ignore')\n"
        "def train(x):\n"
        "    if x == 3:\n"
        "        print('third', flush=True)\n"
        "        time.sleep(60)\n"
        "    return x\n"
        "sweep_function(train, x=range(6), executor='serial', resume='a')\n"
    )
    child = subprocess.Popen(
        [sys.executable, script], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "third\n"
    child.send_signal(how)
    child.wait(30)
    assert rows(tmp_path / "a") == 3


def test_records_come_back_as_they_were(tmp_path):
    store = Store(tmp_path / "a")
    record = (
        {
            "loss": (("step",), np.array([1.0, np.nan, np.inf])),
            "label": ((), np.array("β → 1")),
            "flag": (("a", "b"), np.array([[True]])),
            "n": ((), np.array(2**62)),
        },
        {"step": np.arange(3)},
    )
    store.put({"key": record}, 2.0)
    ((variables, coords), seconds) = store.find(["key", "other"])["key"]
    assert seconds == 2.0
    for name, (dims, array) in record[0].items():
        assert variables[name][0] == dims
        np.testing.assert_array_equal(variables[name][1], array)
        assert variables[name][1].dtype == array.dtype
    assert coords["step"].tolist() == [0, 1, 2]
    state = {"w": torch.randn(3), "t": 5, "names": ["a"]}
    checkpoint = store.checkpoint("c")
    assert checkpoint.load() is None
    checkpoint.save(state)
    back = checkpoint.load()
    assert torch.equal(back["w"], state["w"])
    assert back["t"] == 5
    checkpoint.drop()
    assert checkpoint.load() is None
    store.close()


def test_steps_and_evaluations_may_grow_and_shrink(tmp_path):
    path = tmp_path / "a"
    call = partial(sweep, tiny, data=TOY, batch_size=8, lr=[0.1, 0.2], resume=path)
    short = call(steps=4, eval_every=3)
    both = call(steps=[4, 10], eval_every=3)
    assert rows(path) == 4
    assert np.array_equal(both.loss.sel(steps=4).values[:, :4], short.loss)
    assert np.isnan(both.loss.sel(steps=4).values[:, 4:]).all()
    assert np.array_equal(both.val_loss.sel(steps=4, eval_step=[0, 3, 4]), short.val_loss)
    assert call(steps=4, eval_every=3).equals(short)
    assert rows(path) == 4
    mixed = call(steps=4, eval_every=[2, 3])
    assert rows(path) == 6
    assert np.array_equal(mixed.val_loss.sel(eval_every=3, eval_step=[0, 3, 4]), short.val_loss)


def test_stored_runs_that_do_not_fit_together_fail_as_new_ones_do(tmp_path):
    def train(n):
        return {"y": np.ones(n)}

    call = partial(sweep_function, train, executor="serial", resume=tmp_path / "a")
    call(n=[1])
    call(n=[2])
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"n=2: ValueError: y must have one shape"):
            cube = call(n=[1, 2])
        assert cube.finished.values.tolist() == [True, False]


def test_chunks_are_found_again_whatever_their_size(tmp_path, monkeypatch):
    monkeypatch.setitem(planning.CHUNK_BYTES, "cpu", 1)
    call = partial(
        sweep, tiny, **plain, lr=[0.1, 0.2, 0.3], engine="batched", resume=tmp_path / "a"
    )
    small = call()
    monkeypatch.undo()
    assert call().equals(small)
