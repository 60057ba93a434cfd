"""Schedules as data, on their boundaries, past their end, and against closed forms."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcourse import schedules
from lrcourse.schedules import (
    Constant,
    ConstantWarmup,
    Cosine,
    CosineRestarts,
    Exponential,
    ExpRange,
    InverseSqrt,
    InverseTime,
    Joined,
    LinearWarmup,
    MultiStep,
    OneCycle,
    Polynomial,
    Scaled,
    Step,
    Triangular,
    Triangular2,
    WarmupStableDecay,
    join,
    warmup,
)

SHAPES = ["cos", "linear", "sqrt"]
rates = st.floats(1e-6, 10)
fractions = st.floats(0, 1)
counts = st.integers(0, 50)
positive = st.integers(1, 50)
ranges = st.none() | st.tuples(st.floats(0, 0.9), st.floats(0.9, 0.99))


@st.composite
def single(draw):
    """Any schedule that is not made of others."""
    lr, floor = draw(rates), draw(fractions)
    floor *= lr
    start = draw(st.none() | fractions)
    options = [
        st.builds(Constant, st.just(lr)),
        st.builds(Step, st.just(lr), positive, fractions),
        st.builds(MultiStep, st.just(lr), st.lists(counts), fractions),
        st.builds(Exponential, st.just(lr), fractions),
        st.builds(InverseTime, st.just(lr), st.floats(0, 10), positive, st.booleans()),
        st.builds(Polynomial, st.just(lr), positive, st.floats(0.1, 5), st.just(floor)),
        st.builds(Cosine, st.just(lr), positive, st.just(floor)),
        st.builds(CosineRestarts, st.just(lr), positive, st.integers(1, 4), st.just(floor)),
        st.builds(LinearWarmup, st.just(lr), counts, st.just(start)),
        st.builds(ConstantWarmup, st.just(lr), counts, fractions),
        st.builds(InverseSqrt, st.just(lr), counts, st.none() | positive, st.just(start)),
        st.builds(
            WarmupStableDecay,
            st.just(lr),
            counts,
            counts,
            counts,
            st.just(floor),
            st.just(start),
            st.sampled_from(SHAPES),
        ),
        *(
            st.builds(make, st.just(lr), st.just(floor), positive, st.none() | positive, ranges)
            for make in (Triangular, Triangular2, ExpRange)
        ),
        st.builds(
            OneCycle,
            st.just(lr),
            positive,
            st.floats(0, 0.5),
            st.floats(1, 100),
            st.floats(1, 1e5),
            ranges,
            st.sampled_from(SHAPES),
            st.booleans(),
        ),
    ]
    return draw(st.one_of(options))


@st.composite
def any_schedule(draw):
    """Any schedule, joined and scaled ones too."""
    schedule = draw(single())
    kind = draw(st.sampled_from(["single", "scaled", "joined", "warmup"]))
    if kind == "scaled":
        return draw(st.floats(0, 2)) * schedule
    if schedule.momentum(0) is None and kind == "joined":
        return join(
            [schedule, Constant(0.1), Cosine(0.2, 9)], sorted(draw(st.tuples(*[counts] * 2)))
        )
    if schedule.momentum(0) is None and kind == "warmup":
        return warmup(schedule, draw(counts))
    return schedule


@settings(max_examples=300, deadline=None)
@given(any_schedule(), st.lists(st.integers(0, 300), min_size=1, max_size=20))
def test_every_schedule_is_data(schedule, updates):
    copy = eval(repr(schedule), vars(schedules))
    assert copy == schedule == pickle.loads(pickle.dumps(schedule))
    assert hash(copy) == hash(schedule)

    vector = schedule(np.array(updates))
    assert vector.dtype == np.float64
    assert vector.tolist() == [schedule(t) for t in updates]
    assert np.isfinite(vector).all()
    assert (vector >= 0).all()
    momentum = schedule.momentum(np.array(updates))
    if momentum is None:
        assert schedule.momentum(0) is None
    else:
        assert momentum.tolist() == [schedule.momentum(t) for t in updates]
        assert ((momentum >= 0) & (momentum < 1)).all()


@settings(max_examples=300, deadline=None)
@given(single())
def test_no_schedule_leaves_its_bounds(schedule):
    values = schedule(np.arange(200))
    assert values.max() <= schedule.lr * (1 + 1e-12)
    assert values.min() >= (0 if isinstance(schedule, LinearWarmup) else -1e-18)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize(
    ("make", "end"),
    [
        (lambda n: Polynomial(1.0, n, 2.0, floor=0.01), 0.01),
        (lambda n: Cosine(1.0, n, floor=0.01), 0.01),
        (lambda n: LinearWarmup(1.0, n), 1.0),
        (lambda n: ConstantWarmup(1.0, n), 1.0),
        (lambda n: WarmupStableDecay(1.0, n // 3, n // 3, n - 2 * (n // 3), 0.01), 0.01),
        (lambda n: MultiStep(1.0, [n], 0.5), 0.5),
    ],
)
def test_the_end_value_is_first_used_after_the_run_and_stays(make, end, steps):
    schedule = make(steps)
    assert schedule(steps - 1) != end
    assert schedule([steps, steps + 1, 10 * steps, 2**62]).tolist() == [end] * 4


@pytest.mark.parametrize("steps", [2, 3, 10, 1000])
def test_one_cycle_ends_with_its_last_update_and_stays(steps):
    schedule = OneCycle(1.0, steps)
    assert schedule([steps - 1, steps, 2**62]).tolist() == [1 / 25 / 1e4] * 3
    assert schedule.momentum([steps - 1, steps]).tolist() == [0.95, 0.95]


def test_closed_forms():
    t = np.arange(1, 100)
    half_life = Exponential(0.8, 0.5 ** (1 / 10))
    np.testing.assert_allclose(half_life(t), 0.8 * 2 ** (-t / 10), rtol=1e-13)
    np.testing.assert_allclose(InverseTime(0.3, 2.0, 5)(t), 0.3 / (1 + 0.4 * t), rtol=1e-13)
    noam = InverseSqrt(1.0, 16, start=0.0)
    np.testing.assert_allclose(noam(t), np.minimum(t / 16, np.sqrt(16 / t)), rtol=1e-13)
    nanogpt = LinearWarmup(1.0, 9)
    np.testing.assert_allclose(nanogpt(t - 1), np.minimum(t / 10, 1), rtol=1e-13)
    cosine = Cosine(1.0, 100, floor=0.2)
    np.testing.assert_allclose(cosine(t) + cosine(100 - t), 1.2, rtol=1e-13)
    up, total = 3, 8
    x = t % total
    wave = np.minimum(x / up, (total - x) / (total - up))
    np.testing.assert_allclose(Triangular(1.0, 0.0, up, 5)(t), wave, rtol=1e-13)
    np.testing.assert_allclose(Triangular2(1.0, 0.0, up, 5)(t), wave / 2 ** (t // 8), rtol=1e-13)
    np.testing.assert_allclose(ExpRange(1.0, 0.0, up, 5, None, 0.9)(t), wave * 0.9**t, rtol=1e-12)


def test_triangular_equals_the_formula_of_the_paper():
    t, s = np.arange(60), 7
    cycle = np.floor(1 + t / (2 * s))
    scale = np.maximum(0, 1 - np.abs(t / s - 2 * cycle + 1))
    np.testing.assert_allclose(Triangular(1.0, 0.25, s)(t), 0.25 + 0.75 * scale, atol=1e-14)


def test_staircase_is_flat_within_a_period():
    schedule = InverseTime(1.0, 1.0, timescale=3, staircase=True)
    assert schedule(np.arange(7)).tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 1 / 3]


def test_milestones_are_sorted_and_may_repeat_or_be_none_or_zero():
    assert MultiStep(1.0, [5, 2]) == MultiStep(1.0, (2, 5))
    assert MultiStep(1.0, [3, 3], 0.5)([2, 3]).tolist() == [1, 0.25]
    assert MultiStep(1.0, [])(7) == 1
    assert MultiStep(1.0, [0], 0.5)(0) == 0.5


@pytest.mark.parametrize("multiply", [1, 2, 3, 10])
def test_every_restart_is_exactly_at_the_peak(multiply):
    schedule = CosineRestarts(1.0, cycle=7, multiply=multiply, floor=0.1)
    starts, start = [], 0
    for i in range(15):
        starts.append(start)
        start += 7 * multiply**i
    assert schedule(starts).tolist() == [1.0] * 15
    assert schedule([s - 1 for s in starts[1:]]).max() < 0.2
    assert schedule(2**62) <= 1


def test_one_cycle_passes_its_three_moments():
    for anneal in SHAPES:
        schedule = OneCycle(2.0, 100, pct_start=0.3, anneal=anneal)
        np.testing.assert_allclose(schedule([0, 29, 99]), [0.08, 2.0, 8e-6], rtol=1e-12)
        np.testing.assert_allclose(schedule.momentum([0, 29, 99]), [0.95, 0.85, 0.95], rtol=1e-14)
    three = OneCycle(2.0, 100, pct_start=0.3, three_phase=True)
    np.testing.assert_allclose(three([0, 29, 58, 99]), [0.08, 2.0, 0.08, 8e-6], rtol=1e-12)
    np.testing.assert_allclose(three.momentum([29, 58, 80]), [0.85, 0.95, 0.95], rtol=1e-14)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("pct", [0.0, 0.1, 0.25, 1 / 3, 0.5])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal", SHAPES)
def test_one_cycle_is_right_in_the_shortest_runs(steps, pct, three_phase, anneal):
    schedule = OneCycle(1.0, steps, pct, anneal=anneal, three_phase=three_phase)
    values = schedule(np.arange(steps))
    assert np.isfinite(values).all()
    if pct * steps <= 1 + 1e-12:
        assert values[0] == 1.0
    if steps > 1:
        assert values[-1] == 1 / 25 / 1e4


def test_the_fractions_of_a_run_always_fill_it():
    for steps in range(1, 60):
        for tenth in range(11):
            schedule = WarmupStableDecay.fractions(1.0, steps, tenth / 10, 1 - tenth / 10)
            phases = (schedule.warmup_steps, schedule.stable_steps, schedule.decay_steps)
            assert sum(phases) == steps
            assert min(phases) >= 0
    assert 0.7 + 0.2 + 0.1 != 1.0  # the comparison that other libraries make
    assert WarmupStableDecay.fractions(1.0, 10, 0.7, 0.2).stable_steps == 1


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ((0, 0, 0), [0.5, 0.5]),
        ((0, 2, 0), [1, 1, 0.5]),
        ((1, 0, 0), [0.5, 0.5]),
        ((0, 0, 2), [1, 0.75, 0.5]),
        ((1, 0, 1), [0.5, 1, 0.5]),
    ],
)
def test_phases_without_steps_are_left_out(phases, expected):
    schedule = WarmupStableDecay(1.0, *phases, floor=0.5)
    assert schedule(np.arange(len(expected))).tolist() == expected


def test_each_joined_piece_sees_the_time_since_its_boundary():
    pieces = [Constant(0.5), Exponential(1.0, 0.5), Polynomial(4.0, 4)]
    assert join(pieces, [2, 4])(np.arange(8)).tolist() == [0.5, 0.5, 1, 0.5, 4, 3, 2, 1]
    assert join(pieces, [0, 0])(np.arange(2)).tolist() == [4, 3]
    assert join(pieces, [1, 1])(np.arange(2)).tolist() == [0.5, 4]
    assert join(pieces[:1], [])(9) == 0.5
    nested = join([join(pieces[:2], [2]), pieces[2]], [4])
    assert nested(np.arange(8)).tolist() == join(pieces, [2, 4])(np.arange(8)).tolist()


def test_joined_pieces_carry_their_momentum():
    first, second = OneCycle(1.0, 4), Triangular(1.0, 0.1, 2, momentum_range=(0.8, 0.9))
    both = join([first, second], [4])
    assert both.momentum(np.arange(8)).tolist() == [
        *first.momentum(np.arange(4)),
        *second.momentum(np.arange(4)),
    ]
    with pytest.raises(ValueError, match=r"all plan the momentum or none, but Constant\(lr=0.1\)"):
        join([first, Constant(0.1)], [4])


def test_warmup_reaches_the_first_rate_of_what_follows():
    schedule = warmup(Cosine(0.8, 10), 3)
    np.testing.assert_allclose(schedule([0, 1, 2, 3]), [0.2, 0.4, 0.6, 0.8])
    assert schedule(13) == 0
    assert warmup(Cosine(0.8, 10), 0) == Cosine(0.8, 10)


def test_a_factor_scales_the_rate_and_leaves_the_momentum():
    base = OneCycle(1.0, 10)
    for scaled in (2 * base, base * 2.0, np.float64(2) * base, np.int64(2) * base):
        assert scaled == Scaled(base, 2.0)
    assert scaled(3) == 2 * base(3)
    assert scaled.momentum(3) == base.momentum(3)
    with pytest.raises(TypeError, match="^factor must be a finite number >= 0, was "):
        np.arange(3) * base


def test_updates_may_have_any_shape_and_integer_type():
    schedule = Cosine(1.0, 10)
    assert schedule(np.arange(6).reshape(2, 3)).shape == (2, 3)
    assert schedule(np.arange(0)).shape == (0,)
    assert CosineRestarts(1.0, 2, 2)(np.arange(0)).shape == (0,)
    assert type(schedule(np.uint8(3))) is type(schedule(np.array(3))) is float
    assert schedule(range(3)).tolist() == schedule(torch.arange(3)).tolist()
    assert schedule(np.arange(10)[::-3]).tolist() == schedule([9, 6, 3, 0]).tolist()


@pytest.mark.parametrize("t", [0.5, True, "1", None, [0.0, 1.0], 2**64])
def test_updates_are_integers(t):
    with pytest.raises(TypeError, match="^t must be an integer >= 0 or an array of them, was "):
        Constant(0.1)(t)


@pytest.mark.parametrize("t", [-1, [3, -2], 2**63])
def test_updates_are_not_negative(t):
    with pytest.raises(ValueError, match="^t must be an integer >= 0 or an array of them, was "):
        OneCycle(0.1, 10).momentum(t)


def test_a_rate_beyond_the_floats_is_refused():
    with pytest.raises(ValueError, match=r"Exponential\(.*\) is too large for a float at t = 1024"):
        Exponential(1.0, 2.0)(np.arange(2000))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-1), "lr must be a finite number >= 0, was -1"),
        (lambda: Constant(math.nan), "lr must be a finite number >= 0, was nan"),
        (lambda: Step(0.1, 0), "step_size must be an integer >= 1, was 0"),
        (lambda: Exponential(0.1, -0.5), "gamma must be a finite number >= 0, was -0.5"),
        (lambda: InverseTime(0.1, 1, 0), "timescale must be an integer >= 1, was 0"),
        (lambda: Polynomial(0.1, 5, 0), "power must be a finite number > 0, was 0"),
        (lambda: Cosine(0.1, 0), "steps must be an integer >= 1, was 0"),
        (
            lambda: Cosine(0.1, 9, floor=0.2),
            "floor must be a finite number >= 0 and <= 0.1, was 0.2",
        ),
        (lambda: MultiStep(0.1, [3, -1]), "milestones[1] must be an integer >= 0, was -1"),
        (lambda: LinearWarmup(0.1, -1), "warmup_steps must be an integer >= 0, was -1"),
        (
            lambda: LinearWarmup(0.1, 9, start=2),
            "start must be a finite number >= 0 and <= 1, was 2",
        ),
        (lambda: InverseSqrt(0.1, 5, 0), "timescale must be an integer >= 1, was 0"),
        (
            lambda: WarmupStableDecay(0.1, 1, 1, 1, anneal="exp"),
            "anneal must be 'cos', 'linear' or 'sqrt', was 'exp'",
        ),
        (
            lambda: WarmupStableDecay.fractions(0.1, 10, 0.6, 0.5),
            "warmup + decay must be <= 1, was 0.6 + 0.5",
        ),
        (lambda: Triangular(0.1, 0.0, 5, 0), "down_steps must be an integer >= 1, was 0"),
        (
            lambda: ExpRange(0.1, 0.0, 5, gamma=1.1),
            "gamma must be a finite number >= 0 and <= 1, was 1.1",
        ),
        (
            lambda: OneCycle(0.1, 5, 1.5),
            "pct_start must be a finite number >= 0 and <= 1, was 1.5",
        ),
        (
            lambda: OneCycle(0.1, 5, momentum_range=(0.9, 0.8)),
            "momentum_range[1] must be a finite number >= 0.9 and < 1, was 0.8",
        ),
        (lambda: join([], []), "schedules must hold at least one Schedule, was ()"),
        (
            lambda: join([Constant(1), Constant(2)], []),
            "boundaries must be 1 integers in order, one fewer than schedules, was ()",
        ),
        (
            lambda: join([Constant(1)] * 3, [2, 1]),
            "boundaries must be 2 integers in order, one fewer than schedules, was (2, 1)",
        ),
        (lambda: -1 * Constant(1), "factor must be a finite number >= 0, was -1"),
    ],
)
def test_values_out_of_range_are_refused_in_words(make, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant("0.1"), "lr must be a finite number >= 0, was '0.1'"),
        (lambda: Cosine(0.1, 10.0), "steps must be an integer >= 1, was 10.0"),
        (lambda: MultiStep(0.1, 30), "milestones must be a sequence, was 30"),
        (lambda: InverseTime(0.1, 1, 1, 1), "staircase must be True or False, was 1"),
        (
            lambda: OneCycle(0.1, 5, momentum_range=0.9),
            "momentum_range must be None or a pair (low, high), was 0.9",
        ),
        (lambda: Joined([0.1], []), "schedules[0] must be a Schedule, was 0.1"),
        (lambda: Scaled(0.1, 2), "schedule must be a Schedule, was 0.1"),
        (lambda: warmup(0.1, 2), "schedule must be a Schedule, was 0.1"),
        (
            lambda: warmup(Step, 2),
            "schedule must be a Schedule, was the class Step: call it, as in Step(lr, step_size)",
        ),
        (
            lambda: Scaled(Constant, 2),
            "schedule must be a Schedule, was the class Constant: call it, as in Constant(lr)",
        ),
        (
            lambda: join([Constant(0.1), Step], [5]),
            "schedules[1] must be a Schedule, was the class Step: call it, as in "
            "Step(lr, step_size)",
        ),
    ],
)
def test_the_wrong_kind_of_argument_is_refused_in_words(make, message):
    with pytest.raises(TypeError) as error:
        make()
    assert str(error.value) == message
