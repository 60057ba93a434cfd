"""Which runs are put together: every run in one place, groups that agree, chunks that fit."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lrcourse.data import digits, line
from lrcourse.engine import planning
from lrcourse.engine.planning import Probe, chunks, sort_runs
from lrcourse.engine.stacks import Mapped, Perceptrons
from lrcourse.models import cnn, linear, mlp
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.settings import Settings

DIGITS = digits()


class Run:
    def __init__(self, factory=mlp, data=DIGITS, **settings):
        self.factory, self.data = factory, data
        self.settings = Settings(**({"steps": 9, "lr": 0.1} | settings))


def numbered(*runs):
    return {(i,): run for i, run in enumerate(runs)}


def dropping():
    return nn.Sequential(nn.Linear(64, 10), nn.Dropout(0.1))


def test_runs_that_agree_share_a_group_and_what_cannot_be_stacked_goes_alone():
    runs = numbered(
        Run(seed=1),
        Run(seed=1, lr=0.2, momentum=0.9),
        Run(seed=2),
        Run(optimizer="adam"),
        Run(batch_size=8),
        Run(steps=8),
        Run(linear, line(), batch_size=None),
        Run(dropping),
        Run(lr=None, schedule=ReduceOnPlateau(0.1)),
        Run(optimizer=lambda p: __import__("torch").optim.SGD(p, 0.1)),
    )
    probes, groups, single = sort_runs(runs, "auto", None, None)
    assert single == [(7,), (8,), (9,)]
    together = [dict(by_seed) for by_seed in groups.values()]
    assert together[0] == {1: [(0,), (1,)], 2: [(2,)]}
    assert together[1:] == [{0: [(i,)]} for i in (3, 4, 5, 6)]
    assert {p.kind for p in probes.values()} == {Perceptrons, None}


def test_an_executor_or_a_single_run_leaves_nothing_to_stack():
    two = numbered(Run(), Run(seed=1))
    assert sort_runs(two, "auto", "serial", None)[2] == list(two)
    assert sort_runs(two, "executor", None, None)[2] == list(two)
    assert sort_runs(numbered(Run()), "auto", None, None)[2] == [(0,)]
    assert sort_runs(numbered(Run()), "batched", None, None)[2] == []


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (Run(dropping), "draws random numbers"),
        (Run(lr=None, schedule=ReduceOnPlateau(0.1)), "a ReduceOnPlateau decides during the run"),
        (Run(optimizer=lambda p: None), "its optimizer is a function"),
    ],
)
def test_what_the_batched_engine_is_asked_for_and_cannot_do_says_why(run, why):
    with pytest.raises(ValueError, match=f"engine 'batched' cannot hold .*{why}"):
        sort_runs(numbered(run, Run()), "batched", None, None)


def test_a_probe_knows_the_size_of_a_model():
    probe = Probe.of(Run(), None)
    assert (probe.weights, probe.bytes, probe.place) == (2410, 4, "cpu")
    assert probe.per_row == 64 + 32 + 32 + 10  # the flattened image counts, too
    assert probe.pays()
    many = probe.runs_at_once(Settings(steps=100, lr=0.1), 1347)
    assert 50 < many < 500
    assert probe.runs_at_once(Settings(steps=10**9, lr=0.1), 1347) == 1


def test_on_the_cpu_mapping_pays_for_small_models_only():
    small = partial(nn.Sequential, nn.Linear(64, 10, bias=False))
    assert (probe := Probe.of(Run(small), None)).kind is Mapped
    assert probe.pays()
    images = partial(cnn, 8, 32)
    from lrcourse.data import mnist

    assert (probe := Probe.of(Run(images, mnist()), None)).kind is Mapped
    assert probe.weights > planning.MAPPED_WEIGHTS
    assert not probe.pays()


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    size=st.integers(1, 30),
    at_once=st.integers(1, 5),
)
def test_chunks_hold_every_run_once_and_equally_many_of_each_seed(counts, size, at_once):
    by_seed = {seed: [(seed, i) for i in range(n)] for seed, n in enumerate(counts)}
    seen = []
    for seeds, indices in chunks(by_seed, size, at_once):
        assert 1 <= len(seeds) <= at_once
        assert len(indices) <= max(size, len(seeds))
        each = len(indices) // len(seeds)
        assert [seed for seed, _ in indices] == [s for s in seeds for _ in range(each)]
        seen += indices
    assert sorted(seen) == sorted(index for many in by_seed.values() for index in many)
