"""The rate that was planned is the rate that was used, whatever happens in between."""

import gc
import json
import math
import tracemalloc
import warnings
import weakref
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lrcourse.data import digits
from lrcourse.drivers import ReduceOnPlateau, drive, record
from lrcourse.models import mlp
from lrcourse.schedules import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Schedule,
    Step,
    Triangular,
    warmup,
)
from lrcourse.training import fit

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


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rule", [Exponential(0.1, 0.9), ReduceOnPlateau(0.1)])
def test_a_tensor_rate_is_planned_in_the_precision_of_the_tensor(kind, rule):
    def fresh():
        weight = torch.nn.Parameter(torch.ones(1))
        optimizer = torch.optim.Adam([weight], lr=torch.tensor(0.5, dtype=kind))
        return weight, optimizer, drive(optimizer, rule)

    weight, optimizer, driver = fresh()
    train(optimizer, [weight], 20)
    exact = np.array([rule(t) for t in range(20)])
    held = torch.tensor(exact).to(kind).double()
    assert driver.used[:, 0].tolist() == driver.planned[:, 0].tolist() == held.tolist()
    assert (driver.used[0, 0] == 0.1) == (kind is torch.float64)

    saved = json.loads(json.dumps(driver.state_dict()))
    assert len(json.dumps(saved)) < 500
    weight, optimizer, second = fresh()
    second.load_state_dict(saved)
    assert second.planned.tolist() == driver.planned.tolist() == second.used.tolist()


def test_fit_with_a_tensor_rate_uses_what_it_plans():
    def optimizer(parameters):
        return torch.optim.Adam(parameters, lr=torch.tensor(0.5))

    history = fit(mlp, digits(), schedule=Cosine(0.01, 5), steps=5, optimizer=optimizer)
    assert history.used.tolist() == history.planned.tolist()
    assert history.used[0] == torch.tensor(0.01).item()


def test_a_rate_that_becomes_a_tensor_in_the_middle_of_a_run_keeps_its_past():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([weight], lr=0.5)
    driver = drive(optimizer, Constant(0.1))
    train(optimizer, [weight], 2)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.5)
    train(optimizer, [weight], 2)
    third = torch.tensor(0.1).double().item()
    for _ in range(2):
        assert (
            driver.planned[:, 0].tolist() == driver.used[:, 0].tolist() == [0.1] * 2 + [third] * 2
        )
        state = driver.state_dict()
        driver.close()
        driver = drive(optimizer, Constant(0.1))
        driver.load_state_dict(state)
    optimizer.param_groups[0]["lr"] = 0.5
    train(optimizer, [weight], 1)
    assert (
        driver.planned[:, 0].tolist()
        == driver.used[:, 0].tolist()
        == [0.1] * 2 + [third] * 2 + [0.1]
    )


def test_a_rate_of_integers_is_refused():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=torch.tensor(1))
    with pytest.raises(TypeError, match=r"^lr of the optimizer must hold floats, was tensor\(1\)"):
        drive(optimizer, Constant(0.1))


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
        ({}, "^state must be a dict with schedules, t, kinds, planned, used, used_momentum, was"),
        (before | {"schedules": before["schedules"][:1]}, "^state must be of 2 schedules, was of "),
        (before | {"used": []}, r"^state must be of 2 schedules, was of \[\]"),
        (before | {"t": -1}, r"^state\['t'\] must be an integer >= 0, was -1"),
        (before | {"kinds": ["int64"] * 2}, "^state must hold kinds such as 'None' or 'float32'"),
        (before | {"used": [[[2, 1.0]], []]}, r"each t below 2, in 'used', was \[\[2, 1.0\]\]"),
        (before | {"used": [[[1, 1.0], [0, 1.0]], []]}, r"^state must hold pairs \[t, value\] in"),
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
            Constant,
            TypeError,
            "schedule must be a Schedule, was the class Constant: call it, as in Constant(lr)",
        ),
        (
            [Constant(0.1), ReduceOnPlateau],
            TypeError,
            "schedule[1] must be a Schedule, was the class ReduceOnPlateau: call it, as in "
            "ReduceOnPlateau(lr)",
        ),
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


class Twice(torch.optim.SGD):
    """Its step calls that of its parent, twice if asked, or lets it fail."""

    calls = 1
    fail = False

    def step(self, closure=None):
        for _ in range(self.calls):
            super().step(closure)
        if self.fail:
            with suppress(RuntimeError):
                super().step(self.error)

    @staticmethod
    def error():
        raise RuntimeError("no loss")


class Thrice(Twice):
    def step(self, closure=None):
        return super().step(closure)


@pytest.mark.parametrize("kind", [torch.optim.SGD, Twice, Thrice])
@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("fail", [False, True])
def test_a_step_that_calls_the_steps_of_its_parents_is_one_update(kind, calls, fail):
    weights, groups = two_groups()
    for parent in (torch.optim.SGD, Twice):
        parent(weights)  # PyTorch puts its hooks into a class when it makes the first of it
    optimizer = kind(groups, lr=9.0)
    optimizer.calls, optimizer.fail = calls, fail
    schedule = Exponential(0.5, 0.5)
    with record(optimizer) as recorder, drive(optimizer, schedule) as driver:
        train(optimizer, weights, 3)
        with pytest.raises(RuntimeError, match="no loss"):
            optimizer.step(Twice.error)
        train(optimizer, weights, 2)
    assert driver.t == recorder.t == 5
    assert driver.used[:, 0].tolist() == schedule(np.arange(5)).tolist()
    assert recorder.used.tolist() == driver.planned.tolist()


def test_an_optimizer_inside_another_is_counted_for_itself():
    class Outer(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            self.inner.step(closure)

    weights, _ = two_groups()
    outer = Outer(weights[:1], lr=0.1)
    outer.inner = torch.optim.SGD(weights[1:], lr=0.1)
    with record(outer) as outside, record(outer.inner) as inside:
        for _ in range(3):
            train(outer, weights, 1)
            with pytest.raises(RuntimeError):
                outer.inner.step(Twice.error)
    assert outside.t == inside.t == 3


def test_an_update_that_a_fused_optimizer_skips_is_not_counted():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], fused=True)
    driver, recorder = drive(optimizer, Exponential(1.0, 0.5)), record(optimizer)
    scaler = torch.amp.GradScaler("cpu")
    moved = []
    for gradient in (1.0, math.inf, 1.0, math.nan, 1.0):
        before = weight.detach().clone()
        weight.grad = torch.full_like(weight, gradient) * scaler.scale(torch.ones(2))
        scaler.step(optimizer)
        scaler.update()
        moved.append(not torch.equal(weight, before))
    assert moved == [True, False, True, False, True]
    assert driver.t == recorder.t == 3
    assert driver.used[:, 0].tolist() == recorder.used[:, 0].tolist() == [1.0, 0.5, 0.25]

    optimizer.found_inf = torch.ones(())  # as a scaler of one's own may do
    optimizer.step()
    del optimizer.found_inf
    assert driver.t == recorder.t == 3


def test_a_step_that_raised_keeps_nothing_of_its_caller_alive():
    class Big:
        pass

    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups)
    recorder = record(optimizer)

    def fails():
        big = Big()
        alive.append(weakref.ref(big))
        optimizer.step(Twice.error)

    alive = []
    with pytest.raises(RuntimeError, match="no loss"):
        fails()
    gc.collect()
    assert alive[0]() is None
    train(optimizer, weights, 1)
    assert recorder.t == 1


@dataclass(frozen=True)
class Listed(Schedule):
    """Rates from a list, which ends; it counts how often it was asked."""

    rates: tuple
    asked: list = field(default_factory=list, compare=False, repr=False)

    def _rate(self, t):
        self.asked.append(len(t))
        return np.array(self.rates)[t]


def test_a_schedule_is_asked_ahead_and_only_as_far_as_it_goes():
    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups[:1])
    schedule = Listed(tuple(np.linspace(0.1, 0.2, 2500)))
    driver = drive(optimizer, schedule)
    for parameter in weights:
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(2500):
        optimizer.step()
    assert len(schedule.asked) < 30
    assert driver.used[:, 0].tolist() == list(schedule.rates)
    with pytest.raises(IndexError):
        optimizer.step()
    assert driver.t == 2500

    driver.close()
    driver = drive(optimizer, Exponential(1.0, 2.0))  # leaves the floats within the first block
    for _ in range(1024):
        optimizer.step()
    with pytest.raises(ValueError, match="is too large for a float at t = 1024"):
        optimizer.step()
    assert driver.used[-1, 0] == 2.0**1023


def test_a_long_record_is_small_and_its_state_smaller():
    _, groups = two_groups()
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    rules = [Cosine(0.1, 3000), ReduceOnPlateau(0.1)]
    tracemalloc.start()
    try:
        driver, recorder = drive(optimizer, rules), record(optimizer)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20_000):
            driver._prepare(), driver._count(), recorder._count()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000 * 8 * 5 * 1.2 + 50_000  # four columns of used, one planned
    assert len(json.dumps(driver.state_dict())) < 1000


def test_a_rate_that_other_code_changed_is_recorded_and_saved_as_it_was():
    def meddle(optimizer, args, kwargs):
        if 2 <= driver.t < 5 or driver.t == 7:
            optimizer.param_groups[1].update(lr=0.3, momentum=0.1 * driver.t)

    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    driver = drive(optimizer, [OneCycle(0.1, 9), Cosine(0.1, 9)])
    optimizer.register_step_pre_hook(meddle)
    train(optimizer, weights, 9)
    expected = np.stack([rule(np.arange(9)) for rule in driver.schedules], axis=1)
    assert driver.planned.tolist() == expected.tolist()
    expected[[2, 3, 4, 7], 1] = 0.3
    assert driver.used.tolist() == expected.tolist()
    momenta = [0.9, 0.9, *[0.1 * t for t in (2, 3, 4, 4, 4, 7, 7)]]
    assert driver.used_momentum[:, 1].tolist() == momenta

    saved = json.loads(json.dumps(driver.state_dict()))
    assert saved["used"] == [[], [[2, 0.3], [5, None], [7, 0.3], [8, None]]]
    driver.close()
    second = drive(optimizer, driver.schedules)
    second.load_state_dict(saved)
    for name in ("planned", "used", "planned_momentum", "used_momentum"):
        np.testing.assert_array_equal(getattr(second, name), getattr(driver, name))
    assert second.state_dict() == saved


def test_groups_that_come_and_go_keep_their_columns():
    weights, groups = two_groups()
    optimizer = torch.optim.SGD(groups, lr=0.5)
    with record(optimizer) as recorder:
        train(optimizer, weights, 1)
        gone = optimizer.param_groups.pop()
        train(optimizer, weights, 1)
        optimizer.param_groups.append(gone)
        train(optimizer, weights, 1)
    np.testing.assert_array_equal(recorder.used, [[0.5, 0.5], [0.5, np.nan], [0.5, 0.5]])


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
