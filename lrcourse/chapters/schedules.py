"""Exercises of the chapter on schedules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrcourse.exercises.checking import Exercise
from lrcourse.schedules import Cosine, MultiStep, Step, warmup


def _half_wave(fraction: float) -> float:
    return float(1 + np.cos(np.pi * fraction)) / 2


def cosine_with_floor(t: int, lr: float, steps: int, floor: float) -> float:
    """The rate of update t: half a cosine from lr to floor, which is used from t = steps on."""
    return Cosine(lr, steps, floor)(t)


def warmup_then_cosine(t: int, lr: float, warmup_steps: int, steps: int) -> float:
    """Equal increments up to lr at t = warmup_steps, then half a cosine to 0 at t = steps."""
    return warmup(Cosine(lr, steps - warmup_steps), warmup_steps)(t)


def drops(t: int, milestones: Sequence[int]) -> int:
    """How many drops are in force at update t."""
    return round(float(np.log2(MultiStep(1.0, milestones, gamma=0.5)(t))) * -1)


def used_rates(lr: float, step_size: int, gamma: float, plotted: int, epochs: int) -> list[float]:
    """The rate of each epoch when a scheduler was stepped for a plot, and steps before epochs."""
    return list(Step(lr, step_size, gamma)(plotted + 1 + np.arange(epochs)))


def _linear_up(t: int, lr: float, warmup_steps: int) -> float:
    return lr * (t + 1) / (warmup_steps + 1)


def _decaying(lr: float, step_size: int, gamma: float, ages: Sequence[int]) -> list[float]:
    return [lr * gamma ** (age // step_size) for age in ages]


EXERCISES = {
    "cosine_with_floor": Exercise(
        cosine_with_floor,
        [
            {"t": t, "lr": 0.5, "steps": 100, "floor": 0.05}
            for t in (0, 1, 25, 50, 99, 100, 101, 150, 300)
        ]
        + [{"t": 7, "lr": 2.0, "steps": 10, "floor": 0.0}],
        mistakes={
            "Past t = steps the cosine rises again. Stop the clock: min(t, steps).": (
                lambda t, lr, steps, floor: floor + (lr - floor) * _half_wave(t / steps)
            ),
            "The floor is added on top, so the first rate is above lr. "
            "Only lr − floor may swing.": (
                lambda t, lr, steps, floor: lr * _half_wave(min(t / steps, 1)) + floor
            ),
            "Here the floor is a rate, not a fraction of lr as in optax and Keras.": (
                lambda t, lr, steps, floor: (
                    lr * (floor + (1 - floor) * _half_wave(min(t / steps, 1)))
                )
            ),
            "max(…, floor) cuts the curve off instead of bringing it down to the floor.": (
                lambda t, lr, steps, floor: max(lr * _half_wave(min(t / steps, 1)), floor)
            ),
            "You reach the floor one update early: the fraction is t / steps, "
            "and steps is the first update after the run.": (
                lambda t, lr, steps, floor: (
                    floor + (lr - floor) * _half_wave(min(t / (steps - 1), 1))
                )
            ),
        },
    ),
    "warmup_then_cosine": Exercise(
        warmup_then_cosine,
        [
            {"t": t, "lr": 0.3, "warmup_steps": 9, "steps": 59}
            for t in (0, 1, 8, 9, 10, 34, 58, 59, 80)
        ]
        + [{"t": t, "lr": 1.0, "warmup_steps": 0, "steps": 4} for t in (0, 2)],
        mistakes={
            "The cosine reads the clock of the whole run. It must see the time since its own "
            "start, t − warmup_steps, and last steps − warmup_steps.": (
                lambda t, lr, warmup_steps, steps: (
                    _linear_up(t, lr, warmup_steps)
                    if t < warmup_steps
                    else lr * _half_wave(min(t / steps, 1))
                )
            ),
            "Your cosine starts in time but is too long: only steps − warmup_steps are left.": (
                lambda t, lr, warmup_steps, steps: (
                    _linear_up(t, lr, warmup_steps)
                    if t < warmup_steps
                    else lr * _half_wave(min((t - warmup_steps) / steps, 1))
                )
            ),
            "Your first update has rate 0 and does nothing. "
            "Let update t of the warmup use (t + 1) / (warmup_steps + 1).": (
                lambda t, lr, warmup_steps, steps: (
                    lr * t / warmup_steps
                    if t < warmup_steps
                    else lr * _half_wave(min((t - warmup_steps) / (steps - warmup_steps), 1))
                )
            ),
            "Your warmup reaches lr one update early, and then uses it twice.": (
                lambda t, lr, warmup_steps, steps: (
                    lr * (t + 1) / warmup_steps
                    if t < warmup_steps
                    else lr * _half_wave(min((t - warmup_steps) / (steps - warmup_steps), 1))
                )
            ),
        },
    ),
    "drops": Exercise(
        drops,
        [{"t": t, "milestones": [30, 60, 80]} for t in (0, 29, 30, 31, 59, 60, 79, 80, 500)]
        + [{"t": 10, "milestones": [10, 10]}, {"t": 3, "milestones": []}],
        mistakes={
            "The milestone itself already uses the lower rate: count m ≤ t.": (
                lambda t, milestones: sum(m < t for m in milestones)
            ),
            "You drop one update early, as timm does: count m ≤ t.": (
                lambda t, milestones: sum(m <= t + 1 for m in milestones)
            ),
            "A milestone given twice drops the rate twice: do not make a set of them.": (
                lambda t, milestones: len({m for m in milestones if m <= t})
            ),
        },
    ),
    "used_rates": Exercise(
        used_rates,
        [
            {"lr": 0.1, "step_size": 3, "gamma": 0.1, "plotted": 10, "epochs": 10},
            {"lr": 1.0, "step_size": 2, "gamma": 0.5, "plotted": 0, "epochs": 5},
            {"lr": 1.0, "step_size": 4, "gamma": 0.5, "plotted": 3, "epochs": 6},
        ],
        mistakes={
            "That is what was planned. Follow scheduler.step() through the loop.": (
                lambda lr, step_size, gamma, plotted, epochs: _decaying(
                    lr, step_size, gamma, range(epochs)
                )
            ),
            "The plot has moved the scheduler already: it starts at plotted, not at 0.": (
                lambda lr, step_size, gamma, plotted, epochs: _decaying(
                    lr, step_size, gamma, range(1, epochs + 1)
                )
            ),
            "The loop steps the scheduler before the epoch, so epoch 0 is one step on.": (
                lambda lr, step_size, gamma, plotted, epochs: _decaying(
                    lr, step_size, gamma, range(plotted, plotted + epochs)
                )
            ),
        },
    ),
}
