"""What made a run: equal in every session for equal code, another after any change that counts."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import ROOT

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
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "12"
    }  # fmt: skip
    assert len(found) == 1
