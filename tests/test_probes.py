"""The rivals of the range test: the largest stable rate, and short runs."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from test_finder import (
    ONE,
    OPTIMIZERS,
    PAIRS,
    Failing,
    Parabola,
    assert_same,
    loader,
    parabola_loss,
    photo,
    warm,
)
from torch import nn
from torch.nn import functional as F

from lrcourse.data import digits
from lrcourse.models import mlp
from lrcourse.probes import ShortRuns, short_runs, stable_rate
from lrcourse.randomness import seeded

PROBES = {
    "stable_rate": partial(stable_rate, n_batches=2),
    "short_runs": partial(short_runs, steps=4, rates=[0.001, 0.01]),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("probe", PROBES)
def test_everything_is_given_back(probe, kind):
    model, optimizer = warm(kind)
    batches = loader(generator=torch.Generator().manual_seed(5))
    before = photo(model, optimizer, batches)
    PROBES[probe](model, optimizer, Failing(None, 0), batches)
    assert_same(before, photo(model, optimizer, batches))


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [1, 2, 6])
@pytest.mark.parametrize("probe", PROBES)
def test_everything_is_given_back_after_an_error(probe, at, error):
    model, optimizer = warm("Adam")
    before = photo(model, optimizer)
    with pytest.raises(type(error)):
        PROBES[probe](model, optimizer, Failing(error, at), loader())
    assert_same(before, photo(model, optimizer))


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": nn.Flatten()}, "model must have weights to train"),
        ({"batches": []}, "batches must hold at least one batch, was empty"),
        ({"batches": iter([])}, "batches must hold at least one batch, was empty"),
        ({"loss": lambda o, y: 1.0}, "loss must return a tensor"),
        ({"loss": lambda o, y: (o * math.nan).mean()}, "finite before the first update, was nan"),
    ],
)
def test_wrong_input_is_refused_in_words(probe, change, message):
    model = seeded(mlp, 0)
    call = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "loss": F.cross_entropy,
        "batches": PAIRS,
    }
    with pytest.raises((ValueError, TypeError), match=message):
        PROBES[probe](**call | change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "low must be below high, were 1 and 1"),
        ({"within": 1.0}, "within must be a finite number > 1"),
        ({"n_batches": 0}, "n_batches must be an integer >= 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(options, message):
    model = Parabola()
    with pytest.raises(ValueError, match=message):
        stable_rate(model, torch.optim.SGD(model.parameters()), parabola_loss, ONE, **options)


@pytest.mark.parametrize("start", [1e-6, 0.3, 1.99, 2.01, 500.0])
def test_the_stable_rate_of_a_parabola_is_two_over_its_curvature(start):
    model = Parabola()
    optimizer = torch.optim.SGD(model.parameters(), lr=start)
    found = stable_rate(model, optimizer, parabola_loss, ONE, within=1.001)
    assert found.rates[0] == pytest.approx(2, rel=1.1e-3)
    assert found.critical_sharpness == pytest.approx(1, rel=1.1e-3)
    assert float(found.suggest("stable/2")) == pytest.approx(1, rel=1.1e-3)
    assert len(found.rates) == 1
    assert optimizer.param_groups[0]["lr"] == start


def test_it_follows_the_optimizers_own_direction():
    """Adam's first update has the size of the rate in each weight: w = 3 turns at 6."""
    model = Parabola(3.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    found = stable_rate(model, optimizer, parabola_loss, ONE, within=1.001)
    assert found.rates[0] == pytest.approx(6, rel=1.1e-3)


def test_momentum_that_is_there_counts():
    model = Parabola(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.state[model.w]["momentum_buffer"] = torch.tensor([9.0], dtype=torch.float64)
    found = stable_rate(model, optimizer, parabola_loss, ONE, within=1.001)
    assert found.rates[0] == pytest.approx(2 / (0.9 * 9 + 1), rel=1.1e-3)


def test_few_passes_are_enough():
    model = seeded(mlp, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    found = stable_rate(model, optimizer, F.cross_entropy, loader(), n_batches=5)
    assert found.passes <= 5 * 10
    assert "forward passes on 5 batches" in repr(found)


def test_dropout_drops_the_same_units_in_every_pass():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.5), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
    batches = [next(iter(loader()))]
    find = partial(stable_rate, model, optimizer, F.cross_entropy, batches)
    assert np.array_equal(find(high=1e-6).rates, [np.inf])


def test_no_rate_is_said_in_words():
    model = Parabola()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    found = stable_rate(model, sgd, parabola_loss, ONE, low=1e-3, high=1.0)
    assert (found.suggest().lr, found.suggest().why) == (None, "no step raises the loss")
    found = stable_rate(model, sgd, parabola_loss, ONE, low=5.0, high=50.0)
    assert (found.suggest().lr, found.suggest().why) == (None, "every step raises the loss")
    assert found.critical_sharpness == math.inf


def test_a_constant_loss_has_no_largest_rate():
    model = Parabola()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    found = stable_rate(model, sgd, lambda o, y: (0 * o).sum(), ONE)
    assert found.suggest().why == "no step raises the loss"


def test_short_runs_are_runs_from_one_start_on_the_same_batches():
    data = digits()
    model = seeded(mlp, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    generator = torch.Generator().manual_seed(5)
    batches = loader(generator=generator)
    found = short_runs(
        model, optimizer, F.cross_entropy, batches, steps=6, rates=[0.1, 1.0],
        val_batches=[(data.x_val, data.y_val)],
    )  # fmt: skip
    for k, lr in enumerate([0.1, 1.0]):
        twin = seeded(mlp, 0)
        sgd = torch.optim.SGD(twin.parameters(), lr=lr)
        generator.manual_seed(5)
        for t, (x, y) in enumerate(itertools.islice(batches, 6)):
            loss = F.cross_entropy(twin(x), y)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            assert found.loss[k, t] == pytest.approx(loss.item(), rel=1e-5)
        end = F.cross_entropy(twin(data.x_val), data.y_val).item()
        assert found.end[k] == pytest.approx(end, rel=1e-5)
    assert float(found.suggest()) == 1.0


def test_batches_that_can_be_had_once_serve_all_runs():
    model = seeded(mlp, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    run = partial(short_runs, model, optimizer, F.cross_entropy, steps=5, rates=[0.1, 1.0])
    once, again = run(pair for pair in PAIRS), run(PAIRS)
    np.testing.assert_array_equal(once.loss, again.loss)
    assert (once.gone, again.gone) == (5, 0)
    assert "5 batches from an iterator" in repr(once)


def test_a_run_that_blows_up_counts_as_the_worst():
    model = Parabola()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    found = short_runs(model, sgd, parabola_loss, ONE, steps=40, rates=[0.5, 1e3])
    assert found.end[1] == np.inf
    assert np.isnan(found.loss[1, -1])
    assert float(found.suggest()) == 0.5
    assert "at the edge of the rates: widen them" in found.suggest().why
    found = short_runs(model, sgd, parabola_loss, ONE, steps=40, rates=[1e3])
    assert found.suggest().why == "every run blew up"


def test_the_words_of_short_runs():
    found = ShortRuns(np.array([0.1, 1.0, 10.0]), np.ones((3, 4)), np.array([2.0, 1.0, 3.0]))
    assert repr(found) == "ShortRuns, 3 rates\nshort runs  1, the lowest end of 3 runs of 4 updates"


@pytest.mark.parametrize("rates", [[], [0.0], [-1.0], [math.nan], ["a"]])
def test_rates_that_are_none_are_refused(rates):
    model = Parabola()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises((ValueError, TypeError), match="rates must"):
        short_runs(model, sgd, parabola_loss, ONE, steps=3, rates=rates)
