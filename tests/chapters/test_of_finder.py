"""What the chapter on the finder trains, reads and says, against closed forms and its cubes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lrcourse.chapters.finder import (
    FRESH,
    NOISE,
    RULES,
    START,
    TASKS,
    TRAPS,
    data_of,
    expected,
    greedy,
    horizons,
    invented,
    landscape,
    read,
    ready,
    regret,
    regrets,
    running_mean,
    said_of_batches,
    said_of_horizons,
    said_of_rules,
    scored,
    trained,
)
from lrcourse.cubes import load
from lrcourse.finder import range_test
from lrcourse.randomness import seeded
from lrcourse.results import best, middle
from lrcourse.training import check_model


@pytest.mark.parametrize("name", TASKS | FRESH)
def test_every_task_can_be_trained(name):
    task = (TASKS | FRESH)[name]
    check_model(seeded(task.factory, 0), data_of(task.data))
    assert task.steps("short") < task.steps("long")
    model, optimizer, loss, loader = ready(name, 0)
    x, y = next(iter(loader))
    assert len(x) == task.batch_size
    assert torch.isfinite(loss(model(x), y))
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_a_start_is_the_same_for_a_seed():
    first, again = (next(iter(ready("digits, SGD", 3)[3]))[0] for _ in range(2))
    assert torch.equal(first, again)
    assert len(next(iter(ready("digits, SGD", 3, rows=4)[3]))[0]) == 4


def test_a_network_that_has_trained_is_the_run_of_its_seed():
    fresh, later = trained("digits, SGD", 1, 0), trained("digits, SGD", 1, 20)
    start = seeded(TASKS["digits, SGD"].factory, 1)
    assert all(map(torch.equal, fresh.parameters(), start.parameters()))
    assert not torch.equal(next(later.parameters()), next(start.parameters()))


LOSSES = xr.DataArray(
    [[[8.0, 1.0, 2.0, 8.0]]],
    {"task": ["a"], "plan": ["long"], "lr": [0.01, 0.1, 1.0, 10.0]},
)


@pytest.mark.parametrize(
    ("lr", "lost"), [(0.1, 0.0), (1.0, 1 / 3), (10.0, 1.0), (1e9, 1.0), (1e-9, 1.0), (None, 1.0)]
)
def test_regret_is_the_share_of_the_improvement_that_is_lost(lr, lost):
    assert regret(LOSSES[0, 0], lr).item() == pytest.approx(lost)
    given = np.nan if lr is None else lr
    many = regrets(LOSSES, xr.DataArray([[given]], {"task": ["a"], "seed": [0]}))
    assert many.item() == pytest.approx(lost)


def test_a_rate_whose_runs_diverge_counts_as_no_training():
    ends = xr.DataArray([[1.0, 1.0, 1.0], [np.nan, np.nan, 1.0]], dims=["lr", "seed"])
    cube = xr.Dataset({"val_loss": ends, "first_loss": ("seed", [3.0, 3.0, 3.0])})
    assert landscape(cube).values.tolist() == [1.0, 3.0]


def test_what_is_read_from_a_record_is_what_the_test_itself_suggests():
    tests = load("finder_tests")
    for name in ("digits, SGD", "wine, Adam"):
        one = tests.loss.sel(task=name, seed=[0]).rename(lr="rate")
        found = range_test(*ready(name, 0))
        mine = found.suggestions()
        for rule in RULES[1:]:
            recorded = read(one).suggested.sel(rule=rule).item()
            assert recorded == pytest.approx(mine[rule].lr, rel=0.3)


@pytest.fixture(scope="module")
def scores():
    tests = load("finder_tests")
    cubes = load("finder").sel(plan=["short", "long"]), load("finder_fresh")
    losses = xr.concat([landscape(cube) for cube in cubes], "task")
    suggested = read(tests.loss.rename(lr="rate")).suggested
    return tests, losses, suggested, scored(regrets(losses, suggested))


def test_the_verdicts_hold_in_the_cubes(scores):
    _, losses, suggested, rows = scores
    assert rows["valley"]["mean"] < 0.07
    assert rows["valley"]["mean, fresh"] < 0.06
    for rule in RULES[:-1]:
        for column, value in rows["valley"].items():
            assert value < rows[rule][column], (rule, column)
    top = best(losses.sel(plan="long")).lr
    times = (suggested.sel(rule="lowest loss") / top).median("seed")
    assert int((times > 1).sum()) == 17
    assert 5 < float(times.median()) < 10


def test_no_best_rate_lies_at_the_edge(scores):
    assert not bool(best(scores[1]).at_edge.any())


def test_a_longer_test_suggests_a_lower_rate_and_a_trained_network_none():
    traps = load("finder_traps")
    assert list(traps.trap.values) == list(TRAPS)
    valley = traps.suggested.sel(rule="valley")
    length = middle(valley.isel(trap=slice(0, 5)), better="low")
    assert (length.diff("trap") < 0).all()
    assert valley.sel(trap=["after 100 updates", "after 1,000 updates"]).isnull().all()
    assert valley.sel(trap="after 10 updates").notnull().all()


def test_expected_losses_are_those_of_many_noisy_runs():
    rng, rates, n = np.random.default_rng(0), np.full(30, 0.3), 40_000
    curvatures = np.array([1.0, 0.03])
    w = np.sqrt(START) * np.ones((n, 2))
    for rate in rates:
        w -= rate * curvatures * (w - np.sqrt(NOISE) * rng.standard_normal((n, 2)))
    mean = (w**2 @ curvatures).mean() / 2
    assert expected(rates)[-1] == pytest.approx(mean, rel=0.02)


def test_the_greedy_rate_is_the_best_one_for_the_next_update():
    steps = 12
    rates = greedy(steps)
    for t in range(steps):
        trial = [
            expected(np.append(rates[:t], rates[t] * factor))[-1] for factor in (0.98, 1, 1.02)
        ]
        assert trial[1] == min(trial)


def test_the_judge_takes_the_lowest_loss_of_its_horizon():
    found = horizons()
    at = found.loss.sel(plan="falls to 0", horizon=30)
    assert found.judged.sel(plan="falls to 0", horizon=30) == at.lr[int(at.argmin("lr"))]
    assert (found.run.sel(horizon=300) == found.best_run).all()
    ends = found.isel(step=-1)
    assert (ends.greedy_run > ends.run.sel(horizon=30)).all()
    words = said_of_horizons(found)
    assert "at 5.5 times" in words.sel(plan="falls to 0", horizon=30).item()
    assert "lowest" in words.sel(plan="constant", horizon=300).item()


def test_the_invented_curve_only_rises():
    rates, _ = invented(0)
    mean = np.mean([invented(seed)[1] for seed in range(500)], axis=0)
    np.testing.assert_allclose(mean, 1 - np.exp(-10 * rates), atol=0.03)


def test_a_rate_is_put_in_words():
    suggested = xr.DataArray([[0.1, 0.01, np.nan]], {"task": ["a"], "rule": ["x", "y", "z"]})
    both = xr.concat([LOSSES, LOSSES.assign_coords(plan=["short"])], "plan")
    exact, low, none = said_of_rules(suggested, both).values.ravel()
    assert exact.startswith("Rate 0.1 is exactly the best one of long trainings.")
    assert exact.endswith("lowest of all in the short ones, lowest of all in the long ones.")
    assert "10 times below the best one" in low
    assert "as high as without training" in low
    assert none == "No rate can be read from this test."


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.5, "5 times the best rate"),
        (0.12, "within a factor of 1.5"),
        (0.05, "2 times below the best rate"),
        (0.005, "a tenth of the best rate or less"),
        (np.nan, "suggests no rate"),
    ],
)
def test_a_batch_is_put_in_words(rate, words):
    one = xr.DataArray([rate], {"batch_size": [4]})
    assert words in said_of_batches(one, xr.DataArray([0.1], {"batch_size": [4]})).item()


def test_the_running_mean_is_the_weighted_mean_of_what_was_seen():
    losses, beta = [3.0, 1.0, 4.0, 1.5], 0.7
    for t, mean in enumerate(running_mean(losses, beta), start=1):
        weights = [beta ** (t - 1 - k) for k in range(t)]
        assert mean == pytest.approx(np.average(losses[:t], weights=weights))
