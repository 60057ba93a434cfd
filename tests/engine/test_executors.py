"""Single runs through executors: the same numbers everywhere, and nothing lost when one fails."""

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import xarray as xr
from torch import nn

from lrcourse.data import split
from lrcourse.engine.executors import WorkerDied, completed, processes
from lrcourse.engine.threads import cores
from lrcourse.models import mlp
from lrcourse.sweeps import sweep, sweep_function

RNG = np.random.default_rng(0)
TOY = split("toy", RNG.standard_normal((60, 3)), RNG.integers(0, 3, 60))
tiny = partial(mlp, (3, 4, 3))
SHARED = {"engine": "executor", "steps": 5, "batch_size": 8, "eval_every": 2}


def square(**run):
    """A training function of one's own, with one run that raises and one that kills its process."""
    if run.get("x") == run.get("raises"):
        raise ArithmeticError("x is not to my liking")
    if run.get("x") == run.get("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    path = np.cumsum(np.random.default_rng(run["seed"]).standard_normal(4)) * run["x"]
    return {"end": path[-1], "path": ("step", path), "label": f"x{run['x']}"}


def rows(path):
    """How many finished runs a store holds."""
    with sqlite3.connect(path) as base:
        return base.execute("SELECT count(*) FROM runs").fetchone()[0]


GRID = {"x": [1.0, 2.0, 3.0], "seed": range(2)}


def test_a_function_of_ones_own_becomes_a_cube():
    cube = sweep_function(square, executor="serial", **GRID)
    assert cube.path.dims == ("x", "seed", "step")
    for x in cube.x.values:
        for seed in cube.seed.values:
            run = cube.sel(x=x, seed=seed)
            expected = square(x=x, seed=seed)
            assert run.end == expected["end"]
            assert np.array_equal(run.path, expected["path"][1])
            assert run.label == f"x{x}"


def test_a_function_may_return_a_data_set_with_coordinates():
    def train(x):
        return xr.Dataset({"y": ("time", [x, 2.0])}, {"time": [0.5, 1.5]})

    cube = sweep_function(train, executor="serial", x=[1.0, 3.0])
    assert cube.y.sel(x=3.0, time=0.5) == 3
    assert cube.time.values.tolist() == [0.5, 1.5]


def test_a_killed_worker_loses_only_its_run():
    with pytest.warns(UserWarning, match=r"1 of 6 runs are missing") as caught:
        cube = sweep_function(deadly, executor=2, **GRID)
    assert "x=2.0, seed=1: WorkerDied: its process died" in str(caught[0].message)
    assert cube.attrs["failed"] == [
        "x=2.0, seed=1: WorkerDied: its process died: killed, out of memory or crashed"
    ]
    assert int((~cube.finished).sum()) == 1
    expected = sweep_function(square, executor="serial", **GRID)
    there = cube.finished.values
    assert np.array_equal(cube.end.values[there], expected.end.values[there])
    assert np.isnan(cube.end.sel(x=2.0, seed=1))


def deadly(**run):
    kills = run["x"] == 2.0 and run["seed"] == 1
    return square(**run, kills=run["x"] if kills else None)


def deadly_spec(run):
    return deadly(**run)


def test_an_exception_loses_only_its_run():
    with pytest.warns(UserWarning, match=r"x=3.0, seed=0: ArithmeticError: x is not to my liking"):
        cube = sweep_function(partial(square), executor="serial", raises=3.0, **GRID)
    assert cube.finished.values.tolist() == [[True, True], [True, True], [False, False]]
    assert np.isnan(cube.path.sel(x=3.0)).all()


def test_the_same_numbers_here_in_processes_and_in_a_pool_of_ones_own():
    call = partial(sweep, tiny, TOY, lr=[0.01, 0.1], seed=[0, 1], **SHARED)
    here = call(executor="serial")
    assert call(executor=2).equals(here)
    with ThreadPoolExecutor(2) as threads:
        assert call(executor=threads).equals(here)
    batched = sweep(tiny, TOY, lr=[0.01, 0.1], seed=[0, 1], **(SHARED | {"engine": "batched"}))
    for name in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(batched[name], here[name], rtol=2e-5)
    assert batched.used.equals(here.used)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        yield client


def test_the_same_numbers_on_a_cluster_and_one_failure_there(cluster):
    call = partial(sweep, tiny, TOY, lr=[0.01, 0.1], seed=[0, 1], **SHARED)
    here = call(executor="serial")
    assert call(executor=cluster).equals(here)
    assert call(executor=cluster.get_executor()).equals(here)
    assert call(executor=cluster.scheduler.address).equals(here)
    with pytest.warns(UserWarning, match=r"2 of 6 runs are missing"):
        cube = sweep_function(square, executor=cluster, raises=3.0, **GRID)
    assert cube.finished.sum() == 4


def slowly(x):
    time.sleep(0.1)
    return -x


@pytest.mark.parametrize("kind", ["client", "executor"])
@pytest.mark.filterwarnings("ignore")
def test_the_death_of_every_worker_costs_no_run(kind, cluster):
    executor = cluster if kind == "client" else cluster.get_executor()
    while not all(nanny.status.name == "running" for nanny in cluster.cluster.workers.values()):
        time.sleep(0.1)  # a nanny does not replace a worker that dies while it starts
    workers, got = cluster.run(os.getpid), {}
    for i, outcome in completed(slowly, list(range(20)), executor):
        got[i] = outcome
        for pid in workers.values() if len(got) == 2 else []:
            os.kill(pid, signal.SIGKILL)
    assert len(workers) == 2
    assert got == {i: -i for i in range(20)}


class Cancelling(Executor):
    """A pool that gives up a run, as a scheduler that went away does."""

    def submit(self, function, *args):
        future = Future()
        if pickle.loads(args[1]) == 2:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_result(function(*args))
        return future


def test_runs_that_a_pool_gives_up_are_made_in_processes_of_our_own():
    assert dict(completed(slowly, [1, 2, 3], Cancelling())) == {0: -1, 1: -2, 2: -3}


def test_minus_one_means_all_cores():
    assert processes(-1) == processes(None) == cores()
    assert processes(1) == 1
    assert sorted(completed(slowly, [1, 2, 3], -1)) == [(0, -1), (1, -2), (2, -3)]


@pytest.mark.parametrize("number", [0, -2])
def test_a_number_that_is_none_of_processes_is_named(number):
    with pytest.raises(ValueError, match=f"executor must be at least 1 process.*was {number}"):
        list(completed(slowly, [1], number))


def test_a_pool_that_breaks_is_replaced():
    specs = [{"x": x, "seed": 1} for x in (1.0, 2.0, 3.0)]

    def outcomes(executor):
        return dict(completed(deadly_spec, specs, executor))

    with ProcessPoolExecutor(1) as pool:
        got = outcomes(pool)
    assert isinstance(got[1], WorkerDied)
    assert got[2]["end"] == square(x=3.0, seed=1)["end"]


def test_processes_that_all_die_at_once_are_an_error_not_a_long_wait():
    with pytest.raises(WorkerDied, match="three processes died before one run had ended.*__main__"):
        list(completed(os._exit, [1] * 20, 2))


def test_results_of_different_shape_are_named():
    with pytest.warns(UserWarning, match=r"y must have one shape, was \(1,\), then \(2,\)"):
        cube = sweep_function(lambda n: {"y": np.ones(n)}, n=[1, 2], executor="serial")
    assert cube.finished.values.tolist() == [True, False]


def test_a_wrong_executor_is_named():
    with pytest.raises(
        TypeError, match=r"executor must be a concurrent.futures.Executor, .* was 2.5"
    ):
        sweep_function(square, executor=2.5, **GRID)


class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 3)

    def forward(self, x):
        if x.shape[0] == 8 and self.training:
            time.sleep(0.01 if x.sum().item() else 0)
        return self.out(x)


def test_auto_starts_processes_when_the_rest_would_take_long(monkeypatch):
    monkeypatch.setattr("lrcourse.engine.running.POOL_SECONDS", 0.05)
    call = partial(sweep, Slow, TOY, lr=[0.1, 0.2, 0.3], steps=5, batch_size=8)
    assert call().equals(call(engine="executor", executor="serial"))


def slow_square(x):
    time.sleep(0.02)
    return {"square": x**2, "process": os.getpid()}


def test_a_function_goes_to_processes_when_the_rest_would_take_long(monkeypatch):
    monkeypatch.setattr("lrcourse.engine.running.POOL_SECONDS", 0.05)
    cube = sweep_function(slow_square, x=range(12))
    assert cube.square.values.tolist() == [x**2 for x in range(12)]
    assert cube.process.values[0] == os.getpid()
    assert len({*cube.process.values.tolist()} - {os.getpid()}) >= 1
    lock = threading.Lock()  # it cannot travel, so neither can the function

    def stuck(x):
        with lock:
            return slow_square(x)

    assert set(sweep_function(stuck, x=range(12)).process.values.tolist()) == {os.getpid()}


def test_auto_does_not_take_the_imports_of_the_first_run_for_work(monkeypatch):
    def train(x):
        time.sleep(0.2 if x == 0 else 0)
        return os.getpid()

    monkeypatch.setattr("lrcourse.engine.running.POOL_SECONDS", 0.5)
    assert set(sweep_function(train, x=range(5)).value.values) == {os.getpid()}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_returns_what_is_finished_and_ends_the_workers(tmp_path):
    """A real SIGINT to a real script with worker processes."""
    script = tmp_path / "script.py"
    script.write_text(
        "import time, warnings\n"
        "from lrcourse.sweeps import sweep_function\n"
        "def train(x):\n"
        "    open(f'started{x}', 'w').close()\n"
        "    time.sleep(0.1 if x < 2 else 60)\n"
        "    return {'y': x + 0.0}\n"
        "if __name__ == '__main__':\n"
        "    warnings.simplefilter('ignore')\n"
        "    print('ready', flush=True)\n"
        "    cube = sweep_function(train, x=range(6), executor=2, resume='runs.sqlite')\n"
        "    print(cube.y.values.tolist(), flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout.readline() == "ready\n"
    for _ in range(600):
        if all((tmp_path / f"started{x}").exists() for x in (2, 3)):
            break
        time.sleep(0.1)
    os.killpg(child.pid, signal.SIGINT)
    out, _ = child.communicate(timeout=30)
    assert out.strip() == "[0.0, 1.0, nan, nan, nan, nan]"
    assert rows(tmp_path / "runs.sqlite") == 2


def test_whole_numbers_make_room_for_fractions():
    cube = sweep_function(lambda x: {"y": x}, x=[1, 2.5], executor="serial")
    assert cube.y.values.tolist() == [1.0, 2.5]


def test_a_run_is_put_whole_or_not_at_all():
    def uneven(n):
        return {"a": 5.0, "b": np.ones(n)}

    with pytest.warns(UserWarning, match="b must have one shape"):
        cube = sweep_function(uneven, n=[1, 2], executor="serial")
    assert cube.a.values[0] == 5.0
    assert np.isnan(cube.a.values[1])
    with pytest.warns(UserWarning, match="all runs must return the same names, were a, b, then a"):
        sweep_function(
            lambda n: {"a": 1.0} | ({} if n else {"b": 1.0}), n=[0, 1], executor="serial"
        )


def leave(run):
    sys.exit(3)


@pytest.mark.parametrize("executor", ["serial", 1])
def test_a_run_that_leaves_the_interpreter_is_a_failed_run(executor):
    (outcome,) = completed(leave, [0], executor)
    assert outcome[0] == 0
    assert isinstance(outcome[1], SystemExit)


def late_death(x):
    if x == 1:
        time.sleep(0.3)
        os._exit(1)
    return x


def test_a_worker_that_dies_while_nobody_looks_loses_only_its_run():
    got = {}
    for i, outcome in completed(late_death, list(range(5)), 2):
        got[i] = outcome
        time.sleep(1.0)
    assert isinstance(got.pop(1), WorkerDied)
    assert got == {0: 0, 2: 2, 3: 3, 4: 4}
