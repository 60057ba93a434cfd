"""The rate that was planned is the rate that was used, whatever happens in between."""

import json
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lrcourse.drivers import ReduceOnPlateau, drive, record
from lrcourse.schedules import Constant, Cosine, Exponential, OneCycle, Step, Triangular, warmup

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.7, momentum=0.3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.7, momentum=0.3, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.7),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.7, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.7, momentum=0.3),
}


def two_groups():
    weights = [torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64)) for _ in range(2)]
    return weights, [{"params": weights[:1]}, {"params": weights[1:]}]


def train(optimizer, weights, updates):
    """Minimise the sum of squares."""
    for _ in range(updates):
        optimizer.zero_grad()
        sum((weight**2).sum() for weight in weights).backward()
        optimizer.step()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("per_group", [False, True])
def test_the_used_rate_and_momentum_are_the_planned(make, per_group):
    weights, groups = two_groups()
    optimizer = make(groups)
    schedule = OneCycle(0.2, 10)
    rules = [schedule, Triangular(0.1, 0.01, 3)] if per_group else schedule
    with drive(optimizer, rules) as driver:
        train(optimizer, weights, 13)
    t = np.arange(13)
    assert driver.t == 13
    assert driver.used[:, 0].tolist() == schedule(t).tolist()
    assert driver.used.tolist() == driver.planned.tolist()
    assert driver.used_momentum[:, 0].tolist() == schedule.momentum(t).tolist()
    if per_group:
        assert driver.used[:, 1].tolist() == rules[1](t).tolist()
        assert np.isnan(driver.planned_momentum[:, 1]).all()
        assert len(set(driver.used_momentum[:, 1])) == 1  # left as the user set it
    else:
        assert driver.used_momentum.tolist() == driver.planned_momentum.tolist()


def test_plain_descent_moves_by_the_planned_rate():
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=99.0)
    schedule = warmup(Cosine(0.1, 5), 2)
    drive(optimizer, schedule)
    train(optimizer, [weight], 8)
    assert weight.item() == pytest.approx(np.prod(1 - 2 * schedule(np.arange(8))), rel=1e-14)


def test_other_hyperparameters_are_left_alone():
    weights, groups = two_groups()
    optimizer = torch.optim.Adam(groups, betas=(0.8, 0.99))
    with drive(optimizer, Constant(0.1)):
        train(optimizer, weights, 1)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)
    with drive(optimizer, OneCycle(0.1, 5)):
        train(optimizer, weights, 1)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.99)


def test_a_tensor_rate_stays_the_same_tensor():
    weight = torch.nn.Parameter(torch.ones(1))
    lr = torch.tensor(0.5)
    optimizer = torch.optim.Adam([weight], lr=lr)
    with drive(optimizer, Exponential(0.25, 0.5)) as driver:
        train(optimizer, [weight], 3)
    assert optimizer.param_groups[0]["lr"] is lr
    assert driver.used[:, 0].tolist() == [0.25, 0.125, 0.0625]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_run_resumed_in_the_middle_equals_the_uninterrupted_one(make):
    rules = [OneCycle(0.02, 20), warmup(Cosine(0.01, 15), 5)]

    def fresh():
        weights, groups = two_groups()
        optimizer = make(groups)
        return weights, optimizer, drive(optimizer, rules)

    weights, optimizer, whole = fresh()
    train(optimizer, weights, 20)
    expected = [weight.item() for weight in weights]

    weights, optimizer, first = fresh()
    train(optimizer, weights, 8)
    saved = json.loads(json.dumps(first.state_dict()))
    values, inner = [weight.detach().clone() for weight in weights], optimizer.state_dict()

    weights, optimizer, second = fresh()
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)
    optimizer.load_state_dict(inner)
    second.load_state_dict(saved)
    assert second.t == 8
    train(optimizer, weights, 12)
    assert [weight.item() for weight in weights] == expected
    assert second.used.tolist() == whole.used.tolist() == second.planned.tolist()
    assert second.used_momentum.tolist() == whole.used_momentum.tolist()


def test_a_state_of_another_run_changes_nothing():
    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups)
    rules = [ReduceOnPlateau(0.1), ReduceOnPlateau(0.2)]
    driver = drive(optimizer, rules)
    train(optimizer, weights, 2)
    before = driver.state_dict()
    good = ReduceOnPlateau(0.1)
    good.step(1.0)
    for bad, message in [
        ({}, "^state must be a dict with schedules, used, "),
        (before | {"schedules": before["schedules"][:1]}, "^state must be of 2 schedules, was of "),
        (before | {"used": []}, "^state must hold tables of one length"),
        (
            before | {"schedules": [good.state_dict(), good.state_dict()]},
            "^state must have lr=0.2, was 0.1",
        ),
        (before | {"schedules": ["Constant(lr=1.0)"] * 2}, "^state must be a dict with lr, "),
    ]:
        with pytest.raises(ValueError, match=message):
            driver.load_state_dict(bad)
        assert driver.state_dict() == before

    driver.close()
    driver = drive(optimizer, Constant(0.1))
    with pytest.raises(
        ValueError, match=r"^state must be of Constant\(lr=0.1\), was of Constant\(lr="
    ):
        driver.load_state_dict(driver.state_dict() | {"schedules": ["Constant(lr=0.2)"] * 2})


def test_an_optimizer_has_one_driver_at_a_time():
    _, groups = two_groups()
    optimizer = torch.optim.SGD(groups)
    driver = drive(optimizer, Constant(0.1))
    with pytest.raises(ValueError, match="^optimizer must have one driver, it has one already"):
        drive(optimizer, Constant(0.2))
    driver.close()
    second = drive(optimizer, Constant(0.2))
    driver.close()
    with pytest.raises(ValueError, match="^optimizer must have one driver"):
        drive(optimizer, Constant(0.3))
    second.close()


def test_a_closed_driver_keeps_its_record_and_drives_no_more():
    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups, lr=1.0)
    driver = drive(optimizer, Constant(0.1))
    with driver:
        train(optimizer, weights, 2)
    optimizer.param_groups[0]["lr"] = 0.3
    train(optimizer, weights, 1)
    assert driver.t == 2
    assert optimizer.param_groups[0]["lr"] == 0.3


@pytest.mark.parametrize(
    ("rule", "kind", "message"),
    [
        (0.1, TypeError, "schedule must be a Schedule or one for each group, was 0.1"),
        ([Constant(0.1), 0.1], TypeError, "schedule[1] must be a Schedule, was 0.1"),
        (
            [Constant(0.1)],
            ValueError,
            "schedule must be one for each of 2 groups, was [Constant(lr=0.1)]",
        ),
        (
            OneCycle(0.1, 9),
            ValueError,
            "schedule[0] plans the momentum, but Adagrad has none: make it with "
            f"momentum_range=None, was {OneCycle(0.1, 9)!r}",
        ),
    ],
)
def test_a_refused_schedule_leaves_the_optimizer_free(rule, kind, message):
    weights, groups = two_groups()
    optimizer = torch.optim.Adagrad(groups, lr=0.7)
    with pytest.raises(kind) as error:
        drive(optimizer, rule)
    assert str(error.value) == message
    train(optimizer, weights, 1)
    assert optimizer.param_groups[0]["lr"] == 0.7
    drive(optimizer, OneCycle(0.1, 9, momentum_range=None)).close()


def test_only_optimizers_are_driven_and_recorded():
    for call in (record, lambda wrong: drive(wrong, Constant(0.1))):
        with pytest.raises(TypeError, match="^optimizer must be a torch Optimizer, was 3$"):
            call(3)


def test_a_group_that_comes_later_is_refused_by_a_driver_and_seen_by_a_recorder():
    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups[:1], lr=0.5)
    recorder, driver = record(optimizer), drive(optimizer, Constant(0.1))
    train(optimizer, weights, 1)
    optimizer.add_param_group(groups[1])
    before = weights[0].item()
    with pytest.raises(RuntimeError, match="made for 1 parameter groups, the optimizer now has 2"):
        train(optimizer, weights, 1)
    assert weights[0].item() == before
    assert driver.t == recorder.t == 1
    driver.close()
    train(optimizer, weights, 1)
    np.testing.assert_array_equal(recorder.used, [[0.1, np.nan], [0.1, 0.5]])


def test_an_update_that_fails_or_is_skipped_is_not_counted():
    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups)
    driver = drive(optimizer, Exponential(1.0, 0.5))

    def closure():
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        optimizer.step(closure)
    assert driver.t == 0
    assert driver.used.shape == (0, 2)
    train(optimizer, weights, 2)
    assert driver.used[:, 0].tolist() == [1.0, 0.5]

    scaler = torch.amp.GradScaler("cpu")
    for gradient in (math.inf, 1.0):
        for weight in weights:
            weight.grad = torch.full_like(weight, gradient)
        scaler.scale(torch.ones(1))
        scaler.step(optimizer)
        scaler.update()
    assert driver.used[:, 0].tolist() == [1.0, 0.5, 0.25]


def test_the_recorder_shows_what_other_code_did():
    """Mistakes that the course shows: a scheduler stepped first, and one used twice."""

    def used(mistake):
        weights, groups = two_groups()
        optimizer = torch.optim.SGD(groups[:1], lr=1.0)
        scheduler = StepLR(optimizer, 2, 0.5)
        with record(optimizer) as recorder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mistake(optimizer, scheduler, lambda: train(optimizer, weights[:1], 1))
        return recorder.used[:, 0].tolist()

    def right(optimizer, scheduler, update):
        for _ in range(4):
            update(), scheduler.step()

    def too_early(optimizer, scheduler, update):
        for _ in range(4):
            scheduler.step(), update()

    def plotted_first(optimizer, scheduler, update):
        for _ in range(4):
            optimizer.param_groups[0]["lr"], scheduler.step()
        right(optimizer, scheduler, update)

    assert used(right) == [1, 1, 0.5, 0.5]
    assert used(too_early) == [1, 0.5, 0.5, 0.25]
    assert used(plotted_first) == [0.25, 0.25, 0.125, 0.125]


def test_a_driver_wins_over_a_forgotten_scheduler():
    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = StepLR(optimizer, 1, 0.5)
    with drive(optimizer, Step(0.1, 2)) as driver:
        for _ in range(4):
            train(optimizer, weights, 1)
            scheduler.step()
    assert driver.used.tolist() == driver.planned.tolist()


# The plateau rule


@settings(max_examples=300, deadline=None)
@given(
    metrics=st.lists(
        st.floats(1e-3, 10) | st.sampled_from([1.0, 0.9, 0.5, math.nan]), min_size=1, max_size=60
    ),
    mode=st.sampled_from(["min", "max"]),
    factor=st.floats(0, 0.99),
    patience=st.integers(0, 4),
    threshold=st.floats(0, 0.3),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    cooldown=st.integers(0, 4),
    floor=st.sampled_from([0.0, 1e-3, 0.1]),
)
def test_the_plateau_rule_equals_torch(metrics, floor, **options):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    theirs = ReduceLROnPlateau(optimizer, min_lr=floor, **options)
    rule = ReduceOnPlateau(0.1, floor=floor, **options)
    for metric in metrics:
        theirs.step(metric)
        assert rule.step(metric) == rule() == optimizer.param_groups[0]["lr"]


def test_a_metric_that_is_not_finite_is_no_improvement():
    for mode in ("min", "max"):
        rule = ReduceOnPlateau(1.0, mode=mode, factor=0.5, patience=0)
        assert [rule.step(m) for m in (1.0, math.nan, -math.inf, math.inf)] == [1, 0.5, 0.25, 0.125]
        assert rule.best == 1.0


def test_a_relative_threshold_holds_for_negative_metrics_where_torch_takes_worse_for_better():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.1)
    rule = ReduceOnPlateau(1.0, patience=0, factor=0.5, threshold=0.1)
    for loss in (-1.0, -0.95):
        theirs.step(loss)
        rule.step(loss)
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert theirs.best == -0.95
    assert rule() == 0.5
    assert rule.best == -1.0
    assert rule.step(-1.2) == 0.5


def test_the_plateau_rule_drives_an_optimizer_and_resumes():
    def fresh():
        weights, groups = two_groups()
        optimizer = torch.optim.SGD(groups)
        rule = ReduceOnPlateau(0.1, patience=1, factor=0.5)
        return weights, optimizer, rule, drive(optimizer, rule)

    def run(weights, optimizer, rule, driver, losses):
        for loss in losses:
            train(optimizer, weights, 1)
            rule.step(loss)

    losses = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5]
    whole = fresh()
    run(*whole, losses)
    assert whole[3].used[:, 0].tolist() == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    assert whole[3].used.tolist() == whole[3].planned.tolist()
    first, second = fresh(), fresh()
    run(*first, losses[:2])
    second[3].load_state_dict(json.loads(json.dumps(first[3].state_dict())))
    run(*second, losses[2:])
    assert second[3].used.tolist() == whole[3].used.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "lr must be a finite number >= 0, was -1"),
        ({"mode": "mean"}, "mode must be 'min' or 'max', was 'mean'"),
        ({"factor": 1.0}, "factor must be a finite number >= 0 and < 1, was 1.0"),
        ({"patience": -1}, "patience must be an integer >= 0, was -1"),
        ({"threshold_mode": "x"}, "threshold_mode must be 'rel' or 'abs', was 'x'"),
        ({"floor": 0.2}, "floor must be a finite number >= 0 and <= 0.1, was 0.2"),
    ],
)
def test_the_plateau_rule_refuses_in_words(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        ReduceOnPlateau(**{"lr": 0.1} | options)
    assert str(error.value) == message
