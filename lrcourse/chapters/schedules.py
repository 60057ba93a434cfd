"""What the chapter on schedules needs and no other: its shapes, its wrong labels, its exercises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lrcourse._checks import count, number
from lrcourse.exercises.checking import exercise
from lrcourse.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Polynomial,
    Schedule,
    Step,
    WarmupStableDecay,
    warmup,
)

if TYPE_CHECKING:
    from lrcourse.data import Data


def shapes(steps: int, end: float = 0.01) -> dict[str, Schedule]:
    """Return the eleven schedules that the chapter compares, all with peak 1.

    Parameters
    ----------
    steps : int
        Updates of the run.
    end : float
        Those that fall, fall to `end` times their peak.

    Returns
    -------
    dict of str to Schedule
        The label of each shape, and its schedule.

    Examples
    --------
    >>> len(shapes(1400))
    11
    >>> round(float(shapes(1400, end=0.1)["linear"](1400)), 6)
    0.1
    """
    return {
        "constant": Constant(1.0),
        "step": Step(1.0, steps // 5, gamma=end ** (1 / 4)),
        "multi-step": MultiStep(1.0, [steps // 2, 3 * steps // 4], gamma=end ** (1 / 2)),
        "exponential": Exponential(1.0, gamma=end ** (1 / steps)),
        "inverse-time": InverseTime(1.0, 1 / end - 1, steps),
        "linear": Polynomial(1.0, steps, floor=end),
        "quadratic": Polynomial(1.0, steps, power=2.0, floor=end),
        "cosine": Cosine(1.0, steps, floor=end),
        "warm restarts": CosineRestarts(1.0, steps // 7, multiply=2, floor=end),
        "warmup-stable-decay": WarmupStableDecay.fractions(1.0, steps, floor=end),
        "one-cycle": OneCycle(1.0, steps, final_div_factor=1 / (25 * end), momentum_range=None),
    }


def mislabelled(data: Data, fraction: float, seed: int = 0) -> Data:
    """Return the same data, that fraction of its training labels drawn at random.

    A label drawn at random is right by chance once in as many times as there are classes.

    Parameters
    ----------
    data : Data
        A classification.
    fraction : float
        Share of the training rows, from 0 to 1.
    seed : int
        Of the choice of rows and of their labels.

    Returns
    -------
    Data
        Fresh training labels, everything else as it was.

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> kept = mislabelled(digits(), 0.4).y_train == digits().y_train
    >>> round(1 - float(kept.float().mean()), 2)
    0.37
    """
    from dataclasses import replace

    import torch

    rng, y = np.random.default_rng(count("seed", seed)), data.y_train.clone()
    classes = int(max(data.y_train.max(), data.y_val.max())) + 1
    rows = rng.permutation(len(y))[: round(number("fraction", fraction, low=0, high=1) * len(y))]
    y[rows] = torch.from_numpy(rng.integers(0, classes, len(rows)))
    return replace(data, y_train=y)


def _half_wave(fraction: float) -> float:
    return float(1 + np.cos(np.pi * fraction)) / 2


@exercise(
    cases=[
        *(
            {"t": t, "lr": 0.5, "steps": 100, "floor": 0.05}
            for t in (0, 1, 25, 50, 99, 100, 101, 150, 300)
        ),
        {"t": 7, "lr": 2.0, "steps": 10, "floor": 0.0},
    ]
)
def cosine_with_floor(t: int, lr: float, steps: int, floor: float) -> float:
    """The rate of update t: half a cosine from lr to floor, which is used from t = steps on.

    >>> cosine_with_floor(t=50, lr=0.3, steps=50, floor=0.1)
    0.1
    """
    return Cosine(lr, steps, floor)(t)


@cosine_with_floor.mistake("Past t = steps the cosine rises again. Stop the clock: min(t, steps).")
def _rises_again(t: int, lr: float, steps: int, floor: float) -> float:
    return floor + (lr - floor) * _half_wave(t / steps)


@cosine_with_floor.mistake(
    "The floor is added on top, so the first rate is above lr. Only lr − floor may swing."
)
def _floor_on_top(t: int, lr: float, steps: int, floor: float) -> float:
    return lr * _half_wave(min(t / steps, 1)) + floor


@cosine_with_floor.mistake("Here the floor is a rate, not a fraction of lr as in optax and Keras.")
def _floor_as_a_fraction(t: int, lr: float, steps: int, floor: float) -> float:
    return lr * (floor + (1 - floor) * _half_wave(min(t / steps, 1)))


@cosine_with_floor.mistake(
    "max(…, floor) cuts the curve off instead of bringing it down to the floor."
)
def _cut_off(t: int, lr: float, steps: int, floor: float) -> float:
    return max(lr * _half_wave(min(t / steps, 1)), floor)


@cosine_with_floor.mistake(
    "You reach the floor one update early: the fraction is t / steps, and steps is the first "
    "update after the run."
)
def _floor_one_early(t: int, lr: float, steps: int, floor: float) -> float:
    return floor + (lr - floor) * _half_wave(min(t / (steps - 1), 1))


@exercise(
    cases=[
        *(
            {"t": t, "lr": 0.3, "warmup_steps": 9, "steps": 59}
            for t in (0, 1, 8, 9, 10, 34, 58, 59, 80)
        ),
        {"t": 0, "lr": 1.0, "warmup_steps": 0, "steps": 4},
        {"t": 2, "lr": 1.0, "warmup_steps": 0, "steps": 4},
    ]
)
def warmup_then_cosine(t: int, lr: float, warmup_steps: int, steps: int) -> float:
    """Equal increments up to lr at t = warmup_steps, then half a cosine to 0 at t = steps.

    >>> [round(warmup_then_cosine(t, 0.4, warmup_steps=3, steps=7), 3) for t in range(8)]
    [0.1, 0.2, 0.3, 0.4, 0.341, 0.2, 0.059, 0.0]
    """
    return warmup(Cosine(lr, steps - warmup_steps), warmup_steps)(t)


def _linear_up(t: int, lr: float, warmup_steps: int) -> float:
    return lr * (t + 1) / (warmup_steps + 1)


def _cosine_down(t: int, lr: float, warmup_steps: int, steps: int) -> float:
    return lr * _half_wave(min((t - warmup_steps) / (steps - warmup_steps), 1))


@warmup_then_cosine.mistake(
    "The cosine reads the clock of the whole run. It must see the time since its own start, "
    "t − warmup_steps, and last steps − warmup_steps."
)
def _clock_of_the_run(t: int, lr: float, warmup_steps: int, steps: int) -> float:
    if t < warmup_steps:
        return _linear_up(t, lr, warmup_steps)
    return lr * _half_wave(min(t / steps, 1))


@warmup_then_cosine.mistake(
    "Your cosine starts in time but is too long: only steps − warmup_steps are left."
)
def _too_long(t: int, lr: float, warmup_steps: int, steps: int) -> float:
    if t < warmup_steps:
        return _linear_up(t, lr, warmup_steps)
    return lr * _half_wave(min((t - warmup_steps) / steps, 1))


@warmup_then_cosine.mistake(
    "Your first update has rate 0 and does nothing. Let update t of the warmup use "
    "(t + 1) / (warmup_steps + 1)."
)
def _idle_first_update(t: int, lr: float, warmup_steps: int, steps: int) -> float:
    return lr * t / warmup_steps if t < warmup_steps else _cosine_down(t, lr, warmup_steps, steps)


@warmup_then_cosine.mistake("Your warmup reaches lr one update early, and then uses it twice.")
def _up_one_early(t: int, lr: float, warmup_steps: int, steps: int) -> float:
    if t < warmup_steps:
        return lr * (t + 1) / warmup_steps
    return _cosine_down(t, lr, warmup_steps, steps)


@exercise(
    cases=[
        *({"t": t, "milestones": [30, 60, 80]} for t in (0, 29, 30, 31, 59, 60, 79, 80, 500)),
        {"t": 10, "milestones": [10, 10]},
        {"t": 3, "milestones": []},
    ]
)
def drops(t: int, milestones: Sequence[int]) -> int:
    """How many drops are in force at update t.

    >>> drops(t=60, milestones=[30, 60, 80])
    2
    """
    return round(-float(np.log2(MultiStep(1.0, milestones, gamma=0.5)(t))))


@drops.mistake("The milestone itself already uses the lower rate: count m ≤ t.")
def _one_late(t: int, milestones: Sequence[int]) -> int:
    return sum(m < t for m in milestones)


@drops.mistake("You drop one update early, as timm does: count m ≤ t.")
def _one_early(t: int, milestones: Sequence[int]) -> int:
    return sum(m <= t + 1 for m in milestones)


@drops.mistake("A milestone given twice drops the rate twice: do not make a set of them.")
def _as_a_set(t: int, milestones: Sequence[int]) -> int:
    return len({m for m in milestones if m <= t})


@exercise(
    cases=[
        {"lr": 0.1, "step_size": 3, "gamma": 0.1, "plotted": 10, "epochs": 10},
        {"lr": 1.0, "step_size": 2, "gamma": 0.5, "plotted": 0, "epochs": 5},
        {"lr": 1.0, "step_size": 4, "gamma": 0.5, "plotted": 3, "epochs": 6},
    ]
)
def used_rates(lr: float, step_size: int, gamma: float, plotted: int, epochs: int) -> list[float]:
    """The rate of each epoch when a scheduler was stepped for a plot, and steps before epochs.

    >>> used_rates(lr=1.0, step_size=2, gamma=0.5, plotted=0, epochs=4)
    [1.0, 0.5, 0.5, 0.25]
    """
    return [float(r) for r in Step(lr, step_size, gamma)(plotted + 1 + np.arange(epochs))]


def _decaying(lr: float, step_size: int, gamma: float, first: int, epochs: int) -> list[float]:
    return [lr * gamma ** (age // step_size) for age in range(first, first + epochs)]


@used_rates.mistake("That is what was planned. Follow scheduler.step() through the loop.")
def _planned(lr: float, step_size: int, gamma: float, plotted: int, epochs: int) -> list[float]:
    return _decaying(lr, step_size, gamma, 0, epochs)


@used_rates.mistake("The plot has moved the scheduler already: it starts at plotted, not at 0.")
def _plot_forgotten(
    lr: float, step_size: int, gamma: float, plotted: int, epochs: int
) -> list[float]:
    return _decaying(lr, step_size, gamma, 1, epochs)


@used_rates.mistake("The loop steps the scheduler before the epoch, so epoch 0 is one step on.")
def _step_forgotten(
    lr: float, step_size: int, gamma: float, plotted: int, epochs: int
) -> list[float]:
    return _decaying(lr, step_size, gamma, plotted, epochs)
