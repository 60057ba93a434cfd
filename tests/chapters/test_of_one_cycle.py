"""What the chapter on one-cycle trains with, how it judges, and what it says about its pictures.

That OneCycle equals PyTorch's OneCycleLR at any setting is tested in tests/test_schedules_torch.py;
here, the very plans of the chapter.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch.optim.lr_scheduler import OneCycleLR

from experiments.one_cycle import GRID
from experiments.one_cycle_momentum import GRID as MOVES
from lrcourse.chapters.one_cycle import (
    FIXED,
    LOOPS,
    RIGHT,
    STEPS,
    cycle,
    cycle_rate,
    interval,
    moves,
    of_ending,
    per_cent,
    plan_of,
    rivals,
    said_of_cycles,
    said_of_decays,
    said_of_rates,
    updates_for,
)
from lrcourse.cubes import load
from lrcourse.data import digits
from lrcourse.drivers import record
from lrcourse.models import mlp
from lrcourse.results import best, judged_elsewhere, middle, off_plan
from lrcourse.schedules import OneCycle
from lrcourse.training import fit

OFF_PLAN = dict.fromkeys(RIGHT, 0) | {
    "stepped once an epoch": STEPS - 1,
    "total in micro-batches": STEPS - 1,
    "one update too many": 1,
}


def used_by_torch(plan: OneCycle) -> tuple[np.ndarray, np.ndarray]:
    """Rate and momentum that an optimizer takes at every update under PyTorch's scheduler."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=plan.lr, momentum=FIXED)
    low, high = plan.momentum_range or (FIXED, FIXED)
    scheduler = OneCycleLR(
        optimizer, plan.lr, total_steps=plan.steps, pct_start=plan.pct_start,
        anneal_strategy=plan.anneal, cycle_momentum=plan.momentum_range is not None,
        base_momentum=low, max_momentum=high,
    )  # fmt: skip
    with record(optimizer) as recorder:
        for t in range(plan.steps):
            optimizer.step()
            if t + 1 < plan.steps:
                scheduler.step()
    return recorder.used[:, 0], recorder.used_momentum[:, 0]


PLANS = {
    f"{name}, {steps}": plan
    for steps in GRID["budget"]
    for name, (plan, _) in (rivals(steps) | moves(steps)).items()
    if type(plan) is OneCycle
}


@pytest.mark.parametrize("name", PLANS)
def test_every_recorded_cycle_is_that_of_torch_at_every_update(name):
    plan = PLANS[name]
    t, (rates, momenta) = np.arange(plan.steps), used_by_torch(plan)
    np.testing.assert_allclose(plan(t), rates, rtol=1e-12, atol=1e-15)
    due = np.full(plan.steps, FIXED) if plan.momentum_range is None else plan.momentum(t)
    np.testing.assert_allclose(due, momenta, rtol=1e-12)


def test_after_its_end_torchs_line_goes_below_zero_and_then_raises():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0, momentum=FIXED)
    scheduler = OneCycleLR(optimizer, 1.0, total_steps=100, anneal_strategy="linear")
    for _ in range(100):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(-1 / 70, rel=1e-3)
    assert optimizer.param_groups[0]["momentum"] > 0.95
    with pytest.raises(ValueError, match="101 times"):
        scheduler.step()
    assert OneCycle(1.0, 100, anneal="linear")(100) == pytest.approx(1 / 250_000)


@pytest.mark.parametrize("steps", MOVES["budget"])
def test_plans_of_the_momentum_mirror_each_other_or_share_the_effective_rate(steps):
    t, made = np.arange(steps), moves(steps)
    for low in ("0.85", "0.5"):
        against = made[f"against down to {low}"][0]
        along = made[f"with the rate from {low}"][0]
        np.testing.assert_allclose(against.momentum(t) + along.momentum(t), 0.95 + float(low))
        np.testing.assert_allclose(against(t), along(t))
        same, fixed = made[f"same effective rate as {low}"]
        assert fixed == FIXED
        assert same.momentum(t) is None
        np.testing.assert_allclose(same(t) / (1 - fixed), against(t) / (1 - against.momentum(t)))


def test_what_the_text_says_of_effective_rates():
    plan = moves(600)["against down to 0.5"][0]
    t = np.arange(600)
    effective = plan(t) / (1 - plan.momentum(t))
    assert effective.max() == pytest.approx(2)
    falling = slice(effective.argmax(), None)
    at_a_tenth = np.argmin(abs(plan(t[falling]) - 0.1))
    assert effective[falling][at_a_tenth] == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize("steps", GRID["budget"])
def test_rivals_share_a_peak(steps):
    for name, (plan, momentum) in rivals(steps).items():
        assert plan(range(steps)).max() == pytest.approx(1), name
        assert (momentum is None) == (plan.momentum(0) is not None), name


def test_an_interval_of_ten_seeds_holds_the_median_with_98_percent():
    outside = 2 * sum(math.comb(10, k) for k in (0, 1)) / 2**10
    assert 1 - outside == pytest.approx(0.98, abs=0.002)
    values = xr.DataArray([3.0, 1, 2, 5, 4, 6, 7, 9, np.nan, 8], dims="seed")
    assert interval(values) == (5.5, 2.0, 9.0)
    with pytest.raises(ValueError, match="10 seeds, were 3"):
        interval(values[:3])


def test_a_budget_is_read_between_its_neighbours():
    losses = xr.DataArray([1.0, 0.5, 0.25], {"budget": [100, 200, 400]}, ["budget"])
    assert updates_for(losses, 1.0) == 100
    assert updates_for(losses, 0.5) == 200
    assert updates_for(losses, 0.5**0.5) == pytest.approx(100 * 2**0.5)
    assert np.isnan(updates_for(losses, 0.1))


@pytest.mark.parametrize("how", LOOPS)
def test_a_loop_uses_the_rates_and_momenta_that_its_fault_says(how):
    run = cycle(how, 0.1, seed=0)
    runs = xr.Dataset(run).expand_dims(how=[how], seed=[0])
    assert off_plan(runs).item() == OFF_PLAN[how]
    text = said_of_cycles(runs).item()
    assert text.startswith(LOOPS[how])
    assert ("left the plan" in text) == (OFF_PLAN[how] > 0)
    used = run["used"][1]
    assert (used.min() < 0) == (how == "one update too many")
    assert used.max() == pytest.approx(
        {"stepped once an epoch": plan_of(how, 0.1)(4)}.get(how, used.max()), rel=1e-9
    )
    if how == "total in micro-batches":
        assert used.argmax() == STEPS - 1


def test_the_linear_loop_is_the_run_of_fit():
    plan = plan_of("linear", 0.1)
    alone = fit(mlp, digits(), schedule=plan, steps=STEPS, batch_size=32, seed=1)
    run = cycle("linear", 0.1, seed=1)
    np.testing.assert_allclose(run["used"][1], alone.used, rtol=1e-9)
    np.testing.assert_allclose(run["used_momentum"][1], alone.used_momentum, rtol=1e-12)
    assert run["mistakes"][1][-1] == pytest.approx(100 * (1 - alone.val_accuracy[-1]), abs=0.5)


def test_the_exercise_is_the_linear_cycle_of_the_package():
    plan = OneCycle(0.3, 20, pct_start=0.3, anneal="linear")
    mine = [cycle_rate(t, 0.3, 20, 5) for t in range(25)]
    np.testing.assert_allclose(mine, plan(range(25)))


def test_percent_is_of_the_same_seeds():
    values, reference = (xr.DataArray(v, dims="seed") for v in ([2.0, 1.0], [1.0, 2.0]))
    assert per_cent(values, reference).values.tolist() == [100.0, -50.0]


@pytest.mark.parametrize(
    ("loss", "rate", "text"),
    [
        (0.1, 0.2, "Rate 0.2 is its best and ends at a loss of 0.1."),
        (0.102, 0.3, "Rate 0.3 ends at a loss of 0.1, within 5 % of its best rate, 0.2."),
        (0.15, 0.3, "Rate 0.3 ends at a loss of 0.15, 50 % above that of its best rate, 0.2."),
        (0.2, 0.3, "Rate 0.3 ends at a loss of 0.2, twice that of its best rate, 0.2."),
        (2.0, 0.3, "Rate 0.3 ends at a loss of 2, 20 times that of its best rate, 0.2."),
        (np.inf, 5.0, "At rate 5 it diverges; its best rate is 0.2."),
    ],
)
def test_a_rate_is_compared_with_the_best_of_its_plan(loss, rate, text):
    assert of_ending(loss, rate, 0.1, 0.2) == text


def test_what_the_recorded_runs_say_is_never_nonsense():
    moved, made, decays = map(load, ("one_cycle_momentum", "one_cycle", "one_cycle_decay"))
    said = [
        said_of_rates(
            moved.loss.mean("half"), "fixed at 0.9", "plan", judged_elsewhere(moved.loss)
        ),
        said_of_rates(
            made.loss.mean("half"), "linear to zero", "schedule", judged_elsewhere(made.loss)
        ),
        said_of_decays(decays.loss.mean("half")),
    ]
    for text in (text for one in said for text in one.values.flat):
        assert text.endswith(".")
        assert "nan" not in text
        assert "inf" not in text


@pytest.mark.parametrize("name", ["one_cycle", "one_cycle_momentum", "one_cycle_decay"])
def test_no_best_rate_is_at_the_edge_of_its_grid(name):
    assert not best(middle(load(name).loss.mean("half"))).at_edge.any()


def bracket(values, reference):
    """The bracket of ten pairs: above 0, below 0, or around it."""
    _, low, high = interval(per_cent(values, reference))
    return 1 if low > 0 else -1 if high < 0 else 0


def test_six_of_forty_comparisons_with_rivals_are_clear():
    ends = judged_elsewhere(load("one_cycle").loss)
    clear = {
        (labels, int(budget), name): found
        for labels in ends.labels.values
        for budget in ends.budget.values
        for name in ("linear to zero", "cosine", "warmup-stable-decay", "steps", "constant")
        if (
            found := bracket(
                ends.sel(labels=labels, budget=budget, schedule="one-cycle"),
                ends.sel(labels=labels, budget=budget, schedule=name),
            )
        )
    }
    assert clear == {
        ("clean", 60, "linear to zero"): 1,
        ("40 % random", 20, "linear to zero"): 1,
        ("40 % random", 60, "linear to zero"): 1,
        ("clean", 600, "steps"): -1,
        ("40 % random", 200, "constant"): -1,
        ("40 % random", 600, "constant"): -1,
    }


@pytest.mark.parametrize("other", ["with the rate from", "same effective rate as"])
@pytest.mark.parametrize("low", ["0.85", "0.5"])
def test_no_comparison_of_the_moved_momentum_with_these_is_clear(other, low):
    ends = judged_elsewhere(load("one_cycle_momentum").loss)
    for budget in ends.budget.values:
        at = ends.sel(budget=budget)
        assert bracket(at.sel(plan=f"against down to {low}"), at.sel(plan=f"{other} {low}")) == 0


def test_no_schedule_gains_clearly_from_weight_decay():
    decays = load("one_cycle_decay")
    tuned = judged_elsewhere(decays.loss, along=["weight_decay", "lr"])
    none = judged_elsewhere(decays.loss.sel(weight_decay=0))
    for labels in tuned.labels.values:
        for name in tuned.schedule.values:
            at = {"labels": labels, "schedule": name}
            assert bracket(tuned.sel(at), none.sel(at)) >= 0, at
