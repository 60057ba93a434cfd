"""What made a run: equal in every session for equal code, another after any change that counts."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from lrcourse.data import line
from lrcourse.engine.fingerprint import fingerprint
from lrcourse.models import mlp
from lrcourse.schedules import Constant, Cosine

SHIFT = 1.0


def plain(x):
    """Say what it does."""
    return x + SHIFT


def made(shift):
    return lambda x: x + shift


def from_source(source, name="f"):
    names = {"__name__": "__main__"}
    exec(source, names)
    return names[name]


BASE = "K = 3\ndef g(x):\n    return x + K\ndef f(x, n=2):\n    return g(x) * n\n"


@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("* n", "- n"),
        BASE.replace("n=2", "n=4"),
        BASE.replace("x + K", "x - K"),
        BASE.replace("K = 3", "K = 5"),
        BASE.replace("* n", "* n * 1.5"),
    ],
    ids=["body", "default", "function it calls", "global it reads", "constant"],
)
def test_a_change_that_counts_is_seen(other):
    assert fingerprint(from_source(BASE)) != fingerprint(from_source(other))


@pytest.mark.parametrize(
    "same",
    [
        "\n\n# a comment\n" + BASE,
        BASE.replace("(x, n=2):\n", '(x, n=2):\n    """A docstring."""\n'),
        BASE + "\nunused = 7\n",
    ],
    ids=["place and comment", "docstring", "a global it does not read"],
)
def test_a_change_that_does_not_count_is_not(same):
    assert fingerprint(from_source(BASE)) == fingerprint(from_source(same))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (True, 1),
        ("1", 1),
        ([1, 2], (1, 2)),
        ({"a": 1}, {"a": 2}),
        (np.arange(3), np.arange(3.0)),
        (np.arange(4), np.arange(4).reshape(2, 2)),
        (torch.zeros(2), torch.zeros(3)),
        (Constant(0.1), Constant(0.2)),
        (partial(Cosine, 1.0), partial(Cosine, 2.0)),
        (partial(mlp, (3, 3)), mlp),
        (made(1.0), made(2.0)),
        (line(), line(seed=1)),
        (xr.DataArray([1.0]), xr.DataArray([2.0])),
        (torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_differ_differ(a, b):
    assert fingerprint(a) != fingerprint(b)
    assert fingerprint(a) == fingerprint(a)


def test_classes_are_known_by_their_methods():
    def kind(factor):
        class Model(torch.nn.Module):
            def forward(self, x):
                return factor * x

        return Model

    assert fingerprint(kind(1)) == fingerprint(kind(1)) != fingerprint(kind(2))


def test_recursion_and_cycles_end():
    def down(n):
        return n and down(n - 1)

    loop = []
    loop.append(loop)
    assert fingerprint(down, loop) == fingerprint(down, loop)


def test_another_session_finds_the_same(tmp_path):
    code = (
        "from functools import partial\n"
        "from lrcourse.data import line\n"
        "from lrcourse.models import mlp\n"
        "from lrcourse.engine.fingerprint import fingerprint\n"
        "class Net:\n    def __call__(self): return mlp((3, 3))\n"
        "def f(x, table={'a': {1, 2, 'z'}}): return Net()\n"
        "print(fingerprint(f, Net(), [partial(mlp, (3, 4))], line(), {'b', 'a'}))\n"
    )
    (tmp_path / "script.py").write_text(code)
    found = {
        subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in "12"
    }  # fmt: skip
    assert len(found) == 1


def test_an_edited_helper_is_seen_in_a_later_session(tmp_path):
    (tmp_path / "script.py").write_text(
        "import helpers\n"
        "from lrcourse.engine.fingerprint import fingerprint\n"
        "def f(x):\n    return helpers.g(x)\n"
        "def late(x):\n    from helpers import g\n    return g(x)\n"
        "print(fingerprint(f), fingerprint(late))\n"
    )
    found = []
    for body in ("x + 1", "x + 1  # a comment", "x + 2"):
        (tmp_path / "helpers.py").write_text(f"def g(x):\n    return {body}\n")
        done = subprocess.run(
            [sys.executable, "-B", "script.py"], cwd=tmp_path, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        found.append(done.stdout.split())
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][1] != found[2][1]


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class Net(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [2.0]})),
        (pd.Series([1.0]), pd.Series([2.0])),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (Slotted(1), Slotted(2)),
        (Net(1.0), Net(2.0)),
        (np.float32, np.float64),
        (torch.float32, torch.float64),
        (np.add, np.multiply),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_known_by_what_they_hold(a, b):
    assert fingerprint(a) == fingerprint(a) != fingerprint(b)


def test_what_cannot_be_told_apart_is_refused_in_words():
    import threading

    lock = threading.Lock()
    with pytest.raises(TypeError, match="resume: a run must be made of values that can be told"):
        fingerprint(lambda: lock)
