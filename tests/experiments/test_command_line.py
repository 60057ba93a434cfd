"""The command line of the experiments: what it writes, where, and what it does not make twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from experiments import convergence, recording
from lrcourse.cubes import load, save

SMALL = {
    "lr": [0.5, 4.0],
    "seed": range(2),
    "steps": 10,
    "eval_every": 5,
    "batch_size": None,
}
ONE = "experiments/convergence.py"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The command line on a grid of four runs that writes into a folder of its own."""
    monkeypatch.setattr(recording, "UNFINISHED", tmp_path / "experiments" / "unfinished")
    monkeypatch.setattr(recording, "RECORDED", tmp_path / "recorded")

    def make(grid, **options):  # in this process, where a test can break it
        run.made += 1
        return convergence.make(grid, **options | {"executor": "serial"})

    def run(*argv, make=make, grid=SMALL):
        quick = grid | {"lr": [0.5]}
        return recording.main(ONE, make, grid, quick, argv=list(argv))

    run.made, run.folder, run.make = 0, tmp_path, make
    run.unfinished = tmp_path / "experiments" / "unfinished"
    return run


def test_it_records_and_knows_when_it_is_done(tiny, capsys):
    path = tiny()
    assert path == tiny.folder / "recorded" / "convergence.nc"
    assert load(path).attrs["command"] == "python -m experiments.convergence"
    assert recording.holds(load(path), SMALL)
    assert not {"created", "failed", "function"} & set(load(path).attrs)
    assert not list(tiny.unfinished.iterdir())
    before = path.read_bytes()
    assert tiny() == path
    assert path.read_bytes() == before
    assert tiny.made == 1
    assert "is complete; --again records it anew" in capsys.readouterr().out
    tiny("--again")
    assert tiny.made == 2


def test_a_grid_that_grew_is_recorded(tiny):
    tiny()
    more = SMALL | {"seed": range(3)}
    assert recording.holds(load(tiny(grid=more)), more)


def test_a_cube_with_runs_missing_is_recorded_on(tiny):
    path = tiny()
    cube = load(path)
    cube.finished[0, 0] = False
    save(cube, path)
    assert load(tiny()).finished.all()


@pytest.mark.parametrize("argv", [[], ["--again"], ["--quick"]])
def test_what_an_interrupt_left_is_not_made_again(tiny, monkeypatch, argv):
    log = tiny.folder / "log"

    def broken(model, data, tol):  # it counts on disk: a run is known by what its code reads
        lines = log.read_text() if log.exists() else ""
        log.write_text(lines + "x")
        if len(lines) == 3:  # each run is measured three times, so the second run breaks
            raise KeyboardInterrupt
        return 0.0

    monkeypatch.setattr(convergence, "sharpness", broken)
    with pytest.warns(UserWarning, match="runs are missing"), pytest.raises(SystemExit) as stopped:
        tiny(*argv)
    missing = 1 if "--quick" in argv else 3
    assert f"{missing} of {missing + 1} runs are missing; the same command" in str(stopped.value)
    assert not (tiny.folder / "recorded").exists()
    assert load(tiny(*argv)).finished.all()
    assert len(log.read_text()) == 4 + 3 * missing


def test_quick_leaves_the_cube_of_the_book_alone(tiny):
    path = tiny("--quick")
    assert path == tiny.unfinished / "convergence-quick.nc"
    assert load(path).attrs["command"].endswith("convergence --quick")
    assert not (tiny.folder / "recorded").exists()


def test_digits_are_kept_as_many_as_the_experiment_says(tiny):
    path = recording.main(ONE, tiny.make, SMALL, SMALL, digits=2, argv=[])
    whole = convergence.make(SMALL, executor="serial", progress=False)
    assert not load(path).loss.equals(whole.loss)
    assert float(abs(load(path).loss / whole.loss - 1).max()) < 0.05


def test_where_it_runs_reaches_the_sweep(tiny):
    def make(grid, **options):
        seen.append(options["executor"])
        return convergence.make(grid, **options | {"executor": "serial"})

    seen = []
    tiny("--quick", make=make)
    tiny("--quick", "--workers", "2", make=make)
    tiny("--quick", "--scheduler", "tcp://head:8786", make=make)
    assert seen == [None, 2, "tcp://head:8786"]


def test_workers_and_scheduler_exclude_each_other(tiny, capsys):
    with pytest.raises(SystemExit):
        tiny("--workers", "2", "--scheduler", "tcp://x:1")
    assert "not allowed with" in capsys.readouterr().err


SCRIPT = '''"""An experiment whose every run leaves a line in a file when it ends."""
import time
from pathlib import Path
from experiments import recording
from lrcourse.sweeps import sweep, sweep_function
from lrcourse.data import line
from lrcourse.models import linear

HERE = Path(__file__).resolve().parent
recording.UNFINISHED, recording.RECORDED = HERE / "unfinished", HERE / "recorded"
LOG = HERE / "log"

def note(text):
    time.sleep(0.3)
    with LOG.open("a") as log:
        log.write(text + "\\n")

def counted(model, data):
    if abs(float(model[1].weight)) > 1e-9:  # not at the start, which is at zero
        note("a run")
    return 0.0

def zero():
    return linear(zero=True)

def train(lr, seed):
    note("a run")
    return {"end": lr * seed}

def make(grid, **options):
    if KIND == "function":
        return sweep_function(train, **grid, **options)
    plan = {"steps": 3, "measures": {"counted": counted}, "engine": "executor"}
    return sweep(zero, line(), **grid, **plan, **options)[["counted", "finished"]]

KIND = "%s"
GRID = {"lr": [0.001, 0.002, 0.003, 0.004], "seed": range(3)}
if __name__ == "__main__":
    recording.main(__file__, make, GRID, GRID)
'''


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("kind", "argv"), [("function", []), ("sweep", ["--workers", "2"])])
def test_a_killed_experiment_loses_no_finished_run(tmp_path, kind, argv):
    """A real SIGKILL while runs are under way; the second command makes the others, each once."""
    script, store = tmp_path / "tiny.py", tmp_path / "unfinished" / "tiny.sqlite"
    script.write_text(SCRIPT % kind)
    command = [sys.executable, str(script), *argv]
    options = {"cwd": tmp_path}
    first = subprocess.Popen(
        command, **options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 300
        while finished(store) < 3:
            assert time.monotonic() < until
            assert first.poll() is None
            time.sleep(0.05)
        first.kill()
        assert first.wait() == -signal.SIGKILL
    finally:
        with suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)  # its workers, too
    time.sleep(0.5)
    kept = finished(store)
    assert 3 <= kept < 12
    assert not (tmp_path / "recorded").exists()
    (tmp_path / "log").unlink()
    subprocess.run(command, **options, check=True, capture_output=True, timeout=300)
    assert len((tmp_path / "log").read_text().splitlines()) == 12 - kept
    cube = load(tmp_path / "recorded" / "tiny.nc")
    assert recording.holds(cube, {"lr": [0.001, 0.002, 0.003, 0.004], "seed": range(3)})
    assert not store.exists()


def finished(store):
    """Count the runs in a store, which another process may be writing."""
    if not store.exists():
        return 0
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=60) as base:
        try:
            return base.execute("SELECT count(*) FROM runs").fetchone()[0]
        except sqlite3.OperationalError:  # the table is not there yet
            return 0
        finally:
            base.commit()
