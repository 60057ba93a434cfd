"""Threads that share a core: a training takes one, and leaves the process as it was."""

import os
import subprocess
import sys

import pytest
import torch

from lrcourse.engine import threads

SCRIPT = """
import os, sys
if "torch" in sys.argv: import torch
from lrcourse import digits, fit, mlp, sweep
import torch
seen = []
def look(t, model, loss):
    seen.append(torch.get_num_threads())
def measure(model, data):
    seen.append(torch.get_num_threads())
    return 0.0
torch.set_num_threads(2)
fit(mlp, digits(), lr=0.1, steps=20, callbacks=[look])
sweep(mlp, digits(), lr=[0.1, 0.2], steps=20, measures={"m": measure})
print(set(seen), torch.get_num_threads(), os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
@pytest.mark.parametrize(("order", "spin"), [("lrcourse", "10000"), ("torch", "None")])
def test_two_threads_pinned_to_one_core_train_as_one(tmp_path, order, spin):
    """Whether torch or this package is imported first."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, order], cwd=tmp_path, capture_output=True, text=True,
        check=True, timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, {min(mine())}),
        env={k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")}
        | {"OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.stdout.strip() == f"{{1}} 2 {spin}"


def mine():
    return os.sched_getaffinity(0)


@pytest.mark.parametrize(
    ("two", "one", "chosen"), [(1.0, 1.8, 2), (1.4, 1.0, 2), (40.0, 1.0, 1)],
    ids=["pay", "cost nothing", "starve each other"],
)  # fmt: skip
def test_more_threads_are_taken_only_where_they_pay(monkeypatch, two, one, chosen):
    monkeypatch.setattr(threads, "cores", lambda: 2)
    monkeypatch.setattr(threads, "_median_time", lambda n: two if n == 2 else one)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads.that_pay() as taken:
            assert taken == torch.get_num_threads() == chosen
        assert torch.get_num_threads() == 2
        with pytest.raises(ArithmeticError), threads.that_pay():
            raise ArithmeticError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_quota_counts_as_cores(tmp_path, monkeypatch):
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(threads, "QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads.cores() == 8
    for text, expected in (("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1)):
        file.write_text(text)
        assert threads.cores() == expected


def test_the_user_s_own_choice_of_waiting_is_kept():
    code = "import lrcourse, os; print(os.environ['GOMP_SPINCOUNT'], os.environ['KMP_BLOCKTIME'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"GOMP_SPINCOUNT": "7", "KMP_BLOCKTIME": "9"},
    )  # fmt: skip
    assert done.stdout.split() == ["7", "9"]
