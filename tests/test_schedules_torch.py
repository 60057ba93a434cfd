"""Our schedules against PyTorch's, each stepped with a real optimizer, at every update.

``python -m pytest tests/test_schedules_torch.py -s`` prints how many configurations were compared
and how far apart they were. A difference is relative to the rate itself, or to a thousandth of the
largest rate of its run where the rate is smaller: near a floor PyTorch's own digits run out.
"""

import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torch_schedules

from lrcourse import schedules as ours


class Case(NamedTuple):
    """One configuration: ours, theirs, the optimizer's own rate, the updates to compare."""

    schedule: ours.Schedule
    theirs: Callable[[torch.optim.Optimizer], torch_schedules.LRScheduler]
    lr: float
    updates: int


def used_by_torch(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Rates and momenta of the updates, read where the optimizer reads them."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=case.lr, momentum=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR warns about itself
        scheduler = case.theirs(optimizer)
        rows = []
        for t in range(case.updates):
            if t:
                scheduler.step()
            rows.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
            optimizer.step()
    rates, momenta = np.array(rows, dtype=float).T
    return rates, momenta


def difference(case: Case) -> float:
    """Largest relative difference of a rate or a momentum in the run."""
    rates, momenta = used_by_torch(case)
    t = np.arange(case.updates)
    scale = np.maximum(np.abs(rates), 1e-3 * np.abs(rates).max())
    gap = np.abs(case.schedule(t) - rates) / np.where(scale > 0, scale, 1)
    momentum = case.schedule.momentum(t)
    if momentum is None:
        return float(gap.max())
    return float(max(gap.max(), np.abs(momentum - momenta).max()))


def compare(cases: Iterable[Case]) -> tuple[int, int, float]:
    """Count configurations and updates, and return the largest difference with them."""
    configurations = updates = 0
    largest = 0.0
    for case in cases:
        gap = difference(case)
        assert gap <= 1e-12, (case.schedule, gap)
        configurations, updates = configurations + 1, updates + case.updates
        largest = max(largest, gap)
    return configurations, updates, largest


def _steps(r: random.Random) -> int:
    if r.randint(0, 60) == 60:
        return 2000
    return r.choice([1, 2, 3, r.randint(4, 20), r.randint(20, 120)])


def step(r: random.Random, lr: float) -> Case:
    size, gamma = _steps(r), r.choice([0.0, 0.1, 1.0, r.uniform(0.2, 1.2)])
    return Case(
        ours.Step(lr, size, gamma),
        lambda o: torch_schedules.StepLR(o, size, gamma),
        lr, 3 * size + 2,
    )  # fmt: skip


def multi_step(r: random.Random, lr: float) -> Case:
    gamma = r.choice([0.1, r.uniform(0.2, 1.2)])
    milestones = [r.randint(1, 40) for _ in range(r.randint(0, 5))]
    return Case(
        ours.MultiStep(lr, milestones, gamma),
        lambda o: torch_schedules.MultiStepLR(o, milestones, gamma),
        lr, 45,
    )  # fmt: skip


def exponential(r: random.Random, lr: float) -> Case:
    gamma = r.uniform(0.5, 1.05)
    return Case(
        ours.Exponential(lr, gamma),
        lambda o: torch_schedules.ExponentialLR(o, gamma),
        lr,
        _steps(r),
    )


def polynomial(r: random.Random, lr: float) -> Case:
    steps, power = _steps(r), r.choice([1.0, 2.0, r.uniform(0.1, 4)])
    return Case(
        ours.Polynomial(lr, steps, power),
        lambda o: torch_schedules.PolynomialLR(o, steps, power),
        lr, steps + 3,
    )  # fmt: skip


def linear_decay(r: random.Random, lr: float) -> Case:
    steps, end = _steps(r), r.choice([0.0, 1.0, r.random()])
    return Case(
        ours.Polynomial(lr, steps, floor=end * lr),
        lambda o: torch_schedules.LinearLR(o, 1.0, end, steps),
        lr, steps + 3,
    )  # fmt: skip


def linear_warmup(r: random.Random, lr: float) -> Case:
    steps, start = _steps(r), r.choice([None, 1.0, r.uniform(1e-3, 1)])
    factor = 1 / (steps + 1) if start is None else start
    return Case(
        ours.LinearWarmup(lr, steps, start),
        lambda o: torch_schedules.LinearLR(o, factor, 1.0, steps),
        lr, steps + 3,
    )  # fmt: skip


def constant_warmup(r: random.Random, lr: float) -> Case:
    steps, factor = _steps(r), r.choice([1 / 3, 1.0, r.uniform(1e-3, 1)])
    return Case(
        ours.ConstantWarmup(lr, steps, factor),
        lambda o: torch_schedules.ConstantLR(o, factor, steps),
        lr, steps + 3,
    )  # fmt: skip


def cosine(r: random.Random, lr: float) -> Case:
    steps = _steps(r)
    floor = lr * r.choice([0.0, 1.0, r.random()])
    return Case(
        ours.Cosine(lr, steps, floor),
        lambda o: torch_schedules.CosineAnnealingLR(o, steps, floor),
        lr, steps + 1,
    )  # fmt: skip


def cosine_restarts(r: random.Random, lr: float) -> Case:
    cycle, multiply = r.randint(1, 15), r.randint(1, 4)
    floor = lr * r.choice([0.0, r.random()])
    return Case(
        ours.CosineRestarts(lr, cycle, multiply, floor),
        lambda o: torch_schedules.CosineAnnealingWarmRestarts(o, cycle, multiply, floor),
        lr, r.randint(1, 150),
    )  # fmt: skip


def cyclic(r: random.Random, lr: float) -> Case:
    up, down = r.randint(1, 20), r.choice([None, r.randint(1, 20)])
    floor, gamma = lr * r.choice([0.0, 1.0, r.random()]), r.uniform(0.8, 1)
    moves = r.choice([None, (0.8, 0.9), (0.0, 0.99)])
    mode = r.choice(["triangular", "triangular2", "exp_range"])
    low, high = moves or (0.8, 0.9)
    make = {"triangular": ours.Triangular, "triangular2": ours.Triangular2}.get(mode, ours.ExpRange)
    options = {"gamma": gamma} if mode == "exp_range" else {}
    return Case(
        make(lr, floor, up, down, moves, **options),
        lambda o: torch_schedules.CyclicLR(
            o, floor, lr, up, down, mode, gamma,
            cycle_momentum=moves is not None, base_momentum=low, max_momentum=high,
        ),
        lr, r.randint(1, 120),
    )  # fmt: skip


def one_cycle(r: random.Random, lr: float) -> Case:
    three_phase, steps = r.random() < 0.3, _steps(r) + 3
    most = 0.5 if three_phase else 1.0
    pct = min(r.choice([0.25, 0.3, 0.5, 1.0, r.random()]), most)
    if pct * steps < 1.001:  # torch has no rise then, see the tests of the odd cases
        pct = 2 / steps
    div, final = r.choice([25.0, r.uniform(1, 100)]), r.choice([1e4, 1e2, r.uniform(1, 1e5)])
    moves, anneal = r.choice([None, (0.85, 0.95), (0.0, 0.5)]), r.choice(["cos", "linear"])
    base, top = moves or (0.85, 0.95)
    return Case(
        ours.OneCycle(lr, steps, pct, div, final, moves, anneal, three_phase),
        lambda o: torch_schedules.OneCycleLR(
            o, lr, total_steps=steps, pct_start=pct, anneal_strategy=anneal,
            cycle_momentum=moves is not None, base_momentum=base, max_momentum=top,
            div_factor=div, final_div_factor=final, three_phase=three_phase,
        ),
        lr, steps,
    )  # fmt: skip


def joined(r: random.Random, lr: float) -> Case:
    """Two or three pieces, changed during or after a piece's own run."""
    makers = [step, exponential, polynomial, linear_warmup, constant_warmup, cosine_restarts]
    pieces = [r.choice(makers)(r, lr) for _ in range(r.randint(2, 3))]
    boundaries = sorted(r.sample(range(1, 60), len(pieces) - 1))
    return Case(
        ours.join([piece.schedule for piece in pieces], boundaries),
        lambda o: torch_schedules.SequentialLR(o, [p.theirs(o) for p in pieces], boundaries),
        lr, 80,
    )  # fmt: skip


FAMILIES = [
    step, multi_step, exponential, polynomial, linear_decay, linear_warmup, constant_warmup,
    cosine, cosine_restarts, cyclic, one_cycle, joined,
]  # fmt: skip


def random_cases(each: int, seed: int = 0) -> Iterator[Case]:
    """Draw `each` configurations from every family."""
    r = random.Random(seed)
    for family in FAMILIES:
        for _ in range(each):
            yield family(r, 10 ** r.uniform(-6, 1))


def test_thousands_of_configurations_equal_torch():
    configurations, updates, largest = compare(random_cases(each=400))
    print(
        f"\n{configurations:,} configurations, {updates:,} updates, "
        f"largest relative difference {largest:.1e}"
    )
    assert configurations == 400 * len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@settings(max_examples=25, deadline=None)
@given(r=st.randoms(use_true_random=False), exponent=st.floats(-6, 1))
def test_any_configuration_equals_torch(family, r, exponent):
    case = family(r, 10**exponent)
    assert difference(case) <= 1e-12, case.schedule


# Where torch divides by zero or goes wrong without a word, ours has the answer its docstring gives.


def torch_one_cycle(steps: int, updates: int, **options: object) -> list[float]:
    case = Case(
        ours.Constant(1.0),
        lambda o: torch_schedules.OneCycleLR(o, 1.0, total_steps=steps, **options),
        1.0, updates,
    )  # fmt: skip
    return used_by_torch(case)[0].tolist()


def test_one_cycle_of_one_update_uses_the_peak_where_torch_uses_the_end_value():
    assert torch_one_cycle(1, 1) == pytest.approx([1 / 25 / 1e4])
    assert ours.OneCycle(1.0, 1)(0) == 1.0
    with pytest.raises(ZeroDivisionError):
        torch_one_cycle(1, 1, pct_start=1.0)
    assert ours.OneCycle(1.0, 1, pct_start=1.0)(0) == 1.0


@pytest.mark.parametrize(("steps", "pct"), [(2, 0.5), (4, 0.25), (10, 0.1), (49, 1 / 49)])
def test_one_cycle_whose_rise_has_no_width_starts_at_the_peak(steps, pct):
    if pct * steps == 1.0:
        with pytest.raises(ZeroDivisionError):
            torch_one_cycle(steps, 1, pct_start=pct)
    rates = ours.OneCycle(1.0, steps, pct)(np.arange(steps))
    assert rates[0] == 1.0
    assert rates[-1] == 1 / 25 / 1e4
    assert (np.diff(rates) < 0).all()


def test_one_cycle_without_a_rise_starts_at_the_peak_where_torch_never_reaches_it():
    assert max(torch_one_cycle(10, 10, pct_start=0.0)) < 0.98
    assert ours.OneCycle(1.0, 10, pct_start=0.0)([0, 9]).tolist() == [1.0, 1 / 25 / 1e4]


def test_one_cycle_stays_down_after_its_end_where_torch_climbs_again():
    rates = torch_one_cycle(10, 11)
    assert rates[10] > 1e3 * rates[9]
    assert ours.OneCycle(1.0, 10)([9, 10, 1000]).tolist() == [1 / 25 / 1e4] * 3


def test_one_cycle_that_only_rises_ends_at_the_peak_where_torch_crashes_after_the_last_update():
    with pytest.raises(ZeroDivisionError):
        torch_one_cycle(10, 11, pct_start=1.0)
    assert ours.OneCycle(1.0, 10, pct_start=1.0)([9, 10]).tolist() == [1.0, 1.0]


def test_three_phases_need_half_the_run_where_torch_silently_stops_early():
    assert torch_one_cycle(10, 10, pct_start=0.7, three_phase=True)[-1] > 0.1
    with pytest.raises(ValueError, match=r"must be .* <= 0\.5, was 0\.7$"):
        ours.OneCycle(1.0, 10, pct_start=0.7, three_phase=True)


def test_warmup_of_no_steps_uses_the_full_rate_where_torch_never_leaves_the_start():
    for make in (torch_schedules.LinearLR, torch_schedules.ConstantLR):
        case = Case(ours.Constant(1.0), lambda o, make=make: make(o, 0.25, total_iters=0), 1.0, 4)
        assert used_by_torch(case)[0].tolist() == [0.25] * 4
    t = np.arange(4)
    assert ours.LinearWarmup(1.0, 0, start=0.25)(t).tolist() == [1.0] * 4
    assert ours.ConstantWarmup(1.0, 0, factor=0.25)(t).tolist() == [1.0] * 4


def test_cosine_stays_down_after_its_end_where_torch_climbs_again():
    case = Case(ours.Cosine(1.0, 5), lambda o: torch_schedules.CosineAnnealingLR(o, 5), 1.0, 11)
    assert used_by_torch(case)[0][10] == pytest.approx(1.0)
    assert ours.Cosine(1.0, 5)([5, 10]).tolist() == [0.0, 0.0]


def test_restarts_are_not_lost_to_rounding_where_torch_loses_them():
    """torch's step(epoch) takes int(log(...)), which is one too small at some restarts."""
    cycle, multiply = 1, 3
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch_schedules.CosineAnnealingWarmRestarts(optimizer, cycle, multiply)
    starts = [(multiply**i - 1) // (multiply - 1) for i in range(20)]
    theirs = []
    for start in starts:
        scheduler.step(start)
        theirs.append(optimizer.param_groups[0]["lr"])
    assert min(theirs) == pytest.approx(0.0)
    assert ours.CosineRestarts(1.0, cycle, multiply)(starts).tolist() == [1.0] * 20
