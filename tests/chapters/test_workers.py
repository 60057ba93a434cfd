"""Real processes against one: equal to rounding, and nothing left when one dies or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import ROOT, alive

from lrcourse.chapters.batch_size import images
from lrcourse.chapters.workers import (
    LOOPS,
    UPDATES,
    accumulate,
    all_weights,
    gradient_factor,
    recipes,
    said_of_loops,
    together,
    weights_after,
)
from lrcourse.models import mlp
from lrcourse.randomness import batches, seeded
from lrcourse.results import off_plan
from lrcourse.training import fit

ROUNDING = 1e-12
MISBEHAVING = """
import os, pathlib, signal, sys, time
import torch
from torch import distributed

def here(folder):
    rank = distributed.get_rank()
    path = pathlib.Path(folder) / f"worker{rank}"
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    return rank

def meet():
    distributed.all_reduce(total := torch.ones(1))
    return total.item()

def threads(folder):
    return here(folder), meet(), torch.get_num_threads()

def die(folder):
    if here(folder) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    meet()

def leave(folder):
    if here(folder) == 1:
        print("that is enough")
        sys.stdout.flush()
        os._exit(3)
    meet()

def hang(folder):
    if here(folder) == 1:
        asleep()
    meet()

def asleep():
    time.sleep(600)
"""
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture
def bad(tmp_path, monkeypatch):
    """A module of functions for workers; they leave their numbers of process in ``folder``."""
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "misbehaving", raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    import misbehaving

    misbehaving.folder = tmp_path
    yield misbehaving
    assert list((tmp_path / "tmp").iterdir()) == []
    workers = [int(path.read_text()) for path in tmp_path.glob("worker?")]
    assert workers
    assert not any(map(alive, workers))


def test_alone_it_is_the_loop_of_fit():
    run = fit(mlp, images(), lr=0.1, momentum=0.9, batch_size=64, steps=5, seed=2)
    flat = torch.nn.utils.parameters_to_vector(run.model.parameters()).detach()
    np.testing.assert_allclose(weights_after(5, lr=0.1, seed=2), flat, atol=1e-6)


@pytest.fixture(scope="module")
def shared():
    """One start of three processes for many runs: what each is called, the runs, all results."""
    runs = {
        "averaged": {"lr": 0.1},
        "torch's own": {"lr": 0.1, "gradients": "DDP"},
        "summed": {"lr": 0.1 / 3, "gradients": "sum"},
        "summed loss": {"lr": 0.1 / 32, "loss": "sum"},
        "parts of parts": {"lr": 0.1, "parts": 4},
        "Adam": {"lr": 0.01, "optimizer": "Adam"},
        "one gradient": {"lr": 1.0, "optimizer": "SGD", "steps": 1},
    }
    runs = {name: {"batch_size": 96, "steps": 8} | run for name, run in runs.items()}
    return runs, together(3, all_weights, list(runs.values()))


def test_workers_repeat_the_run_of_one_process_to_rounding(shared):
    runs, results = shared
    momentum = weights_after(8, lr=0.1, batch_size=96)
    adam = weights_after(8, lr=0.01, batch_size=96, optimizer="Adam")
    for name, found in zip(runs, results[0], strict=True):
        if name != "one gradient":
            truth = adam if name == "Adam" else momentum
            assert np.abs(found - truth).max() < ROUNDING, name


def test_all_workers_have_the_same_weights(shared):
    _, (first, *others) = shared
    for other in others:
        assert all(map(np.array_equal, first, other))


def test_the_averaged_gradient_is_that_of_the_whole_batch(shared):
    runs, results = shared
    model = seeded(mlp, 0).double()
    data = images().to(next(model.parameters()))
    rows = batches(1024, 96, 1, 0)[0]
    data.loss_of(model(data.x_train[rows]), data.y_train[rows]).backward()
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    gradient = torch.cat([p.grad.ravel() for p in model.parameters()]).numpy()
    moved = start - results[0][list(runs).index("one gradient")]  # at rate 1
    assert np.abs(moved - gradient).max() < ROUNDING


def test_every_row_of_the_truth_table_is_true():
    """Each rate repeats the run, and no other in the table does."""
    table = recipes(2, steps=5)
    assert (table.apart < ROUNDING).all()
    assert (table.old.isnull() == (table.rate == "η")).all()
    assert (table.old.fillna(1) > 0.01).all()
    shared = table.adam.isel(batch=0)
    assert (shared < 1e-4).all()
    assert shared.max() > ROUNDING  # Adam's ε is not divided away
    assert table.adam.isel(batch=1).isnull().all()
    rates = table.rate.sel(batch="64 in all").values.tolist()
    assert rates == [["η", "η/2"], ["2η", "η"]]
    rates = table.rate.sel(batch="64 each").values.tolist()
    assert rates == [["2η", "η"], ["2η", "η"]]


def test_the_factors_are_counted_from_both_sums():
    assert gradient_factor(4, 16, "DDP", "mean") == 1
    assert gradient_factor(4, 16, "sum", "sum") == 64


@needs_proc
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("die", "worker 1 of 2 died, killed by SIGKILL; all were ended$"),
        ("leave", "worker 1 of 2 died, with exit code 3; all were ended: that is enough$"),
    ],
)
def test_a_worker_that_is_lost_is_named_and_ends_the_others(bad, what, words):
    with pytest.raises(RuntimeError, match=words):
        together(2, getattr(bad, what), bad.folder)


@needs_proc
def test_workers_meet_with_one_thread_each_and_when_they_hang_are_ended_and_say_where(bad):
    """On a busy machine it takes long until they are there to hang."""
    began = time.monotonic()
    assert together(2, bad.threads, bad.folder) == [(0, 2.0, 1), (1, 2.0, 1)]
    limit = 2 + 2 * round(time.monotonic() - began)
    words = (
        f"2 of 2 workers had no result within {limit} s, and all were ended: "
        "worker 0 in all_reduce, worker 1 in asleep$"
    )
    with pytest.raises(RuntimeError, match=words):
        together(2, bad.hang, bad.folder, limit=limit)


SCRIPT = """
import misbehaving
from lrcourse.chapters.workers import together
together(2, misbehaving.hang, ".")
"""


@needs_proc
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_program_that_started_them(bad, how):
    """Ctrl-C cleans up, and a kill leaves no process, whatever a script is guarded by."""
    (bad.folder / "script.py").write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(bad.folder / "tmp")}
    child = subprocess.Popen(
        [sys.executable, "script.py"], cwd=bad.folder, env=env, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    files = [bad.folder / f"worker{rank}" for rank in (0, 1)]
    while not all(file.exists() for file in files):
        assert child.poll() is None
        time.sleep(0.05)
    os.killpg(child.pid, how)
    _, said = child.communicate(timeout=60)
    if how == signal.SIGINT:
        assert said.count("KeyboardInterrupt") == 1, said
        return
    until = time.monotonic() + 30
    while any(alive(int(file.read_text())) for file in files) and time.monotonic() < until:
        time.sleep(0.05)


def test_wrong_input_is_named_before_anything_starts():
    for workers in (0, 9):
        with pytest.raises(ValueError, match=f"workers must be .*, was {workers}"):
            together(workers, divmod, 7, 2)
    with pytest.raises(ValueError, match="limit must be a finite number > 0, was 0"):
        together(2, divmod, 7, 2, limit=0)
    names: dict = {"__name__": "__main__"}
    exec("def f():\n    pass", names)
    with pytest.raises(TypeError, match="function must be one that a new process can import"):
        together(2, names["f"])


def test_a_batch_that_does_not_fall_into_equal_parts_is_refused():
    with pytest.raises(ValueError, match="batch_size must be a multiple of 4, .* was 66"):
        weights_after(20, lr=0.1, batch_size=66, parts=4)
    with pytest.raises(ValueError, match="batch_size must be at most the 1024 training rows, was"):
        weights_after(20, lr=0.1, batch_size=2048)
    with pytest.raises(ValueError, match="parts must be an integer >= 1, was 0"):
        weights_after(20, lr=0.1, parts=0)
    with pytest.raises(ValueError, match="gradients must be 'mean', 'sum' or 'DDP'"):
        weights_after(20, lr=0.1, gradients="median")
    with pytest.raises(
        ValueError, match="worker . of 2 failed.*batch_size must be a multiple of 2"
    ):
        together(2, weights_after, 20, lr=0.1, batch_size=65)


@pytest.fixture(scope="module")
def loops():
    runs = [xr.Dataset(accumulate(how, 0.5, 0)) for how in LOOPS]
    return xr.concat(runs, "how").assign_coords(how=[*LOOPS])


def test_four_parts_are_the_large_batch_to_rounding(loops):
    whole, cut = loops.sel(how="one large batch"), loops.sel(how="four parts")
    assert np.abs(whole.weights - cut.weights).max() < ROUNDING
    assert np.array_equal(cut.used, cut.planned)


def test_the_record_of_used_rates_shows_what_was_counted(loops):
    off = dict(zip(LOOPS, off_plan(loops).values.tolist(), strict=True))
    assert off == {
        "one large batch": 0,
        "four parts": 0,
        "steps at every part": UPDATES,
        "length in parts": UPDATES - 1,
        "loss not divided": 0,  # here the rate is right
    }
    t = np.arange(UPDATES)
    used = loops.used.sel(how="steps at every part")
    np.testing.assert_allclose(used, 0.5 * np.maximum(0, 1 - (4 * t + 3) / UPDATES), atol=1e-15)
    used = loops.used.sel(how="length in parts")
    np.testing.assert_allclose(used, 0.5 * (1 - t / (4 * UPDATES)), atol=1e-15)


def test_a_loss_that_is_not_divided_is_four_times_the_rate():
    """For SGD with momentum, in a run so short that rates hardly fall."""
    small = accumulate("loss not divided", 0.01, 1)["weights"][1]
    assert np.abs(small - accumulate("four parts", 0.04, 1)["weights"][1]).max() < ROUNDING


def test_the_words_on_loops_say_what_is_off(loops):
    said = dict(zip(LOOPS, said_of_loops(loops.expand_dims("seed")).values.tolist(), strict=True))
    assert "64 of 64 updates are off the plan." in said["steps at every part"]
    assert "off the plan" not in said["loss not divided"]
