"""What the chapter on schedules needs and no other.

Its eleven shapes and its wrong labels, the theory of a noisy parabola, seven loops that step their
scheduler wrongly, what the states of its explorers mean in words, and its exercises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state
from lrcourse.results import best, final, middle
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
    from torch.optim import Optimizer


EPOCHS, PER_EPOCH, PEAK = 10, 84, 0.3  # of the faulty loops: 84 batches of 16 are an epoch
UPDATES = EPOCHS * PER_EPOCH


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


def mean_square(rates: ArrayLike, start: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return :math:`E[x^2]` on a noisy parabola after each update, and the start's share in it.

    The curvature is 1 and so is the variance of the noise in each gradient, so that an update turns
    :math:`E[x^2]` into :math:`(1 - \eta)^2 E[x^2] + \eta^2`.

    Parameters
    ----------
    rates : array_like of float, shape (n,)
        The rate of each update.
    start : float
        The first x.

    Returns
    -------
    two arrays of float, shape (n + 1,)
        Place 0 is the start.

    Examples
    --------
    >>> values, left = mean_square([0.5, 0.5], start=2.0)
    >>> values, left.round(2)
    (array([4.    , 1.25  , 0.5625]), array([1.  , 0.8 , 0.44]))
    """
    values, old = [start**2], [start**2]
    for rate in np.asarray(rates, dtype=float):
        old.append((1 - rate) ** 2 * old[-1])
        values.append((1 - rate) ** 2 * values[-1] + rate**2)
    return np.array(values), np.array(old) / np.array(values)


def said_of_noise(end: xr.DataArray, left: xr.DataArray, floor: xr.DataArray) -> xr.DataArray:
    """Return what each state of the noisy parabola means.

    Parameters
    ----------
    end, left : DataArray over schedule and lr
        The last mean square, and the start's share in it.
    floor : DataArray over lr
        What a constant rate comes down to.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> one = xr.DataArray([[0.02]], {"schedule": ["linear"], "lr": [0.3]})
    >>> said_of_noise(one, 0 * one, one.lr / (2 - one.lr)).item()
    'It ends 8.8 times lower than the floor of a constant rate of 0.3.'
    """

    def words(end: float, left: float, floor: float, schedule: str, lr: float) -> str:
        share = f"{100 * left:.0f} % of the mean square is left over from the start"
        if left > 0.5:
            return f"It has not arrived: {share}, and is no noise."
        if left > 0.1:
            return f"It has nearly arrived: {share}, the rest is noise."
        if schedule == "constant":
            return f"It has arrived. Noise holds it at its floor, {floor:.2g}."
        times = floor / end
        many = f"{times:.{0 if times >= 9.5 else 1}f}"
        return f"It ends {many} times lower than the floor of a constant rate of {lr:g}."

    return each_state(words, end, left, floor, end.schedule, end.lr)


def said_of_areas(
    ended: xr.DataArray, area: Mapping[str, float], rates: tuple[float, float]
) -> xr.DataArray:
    """Return how each schedule compares with the constant rate, at the same peak or mean rate.

    Parameters
    ----------
    ended : DataArray over alike ("peak rate", "mean rate"), schedule and lr
        Median final losses.
    area : mapping from schedule to float
        Its mean rate as a share of the peak.
    rates : (float, float)
        A low rate and a high one to speak of; of peaks, only the low one.

    Returns
    -------
    DataArray of str, over alike and schedule

    Examples
    --------
    >>> dims = {"alike": ["peak rate", "mean rate"], "schedule": ["constant", "cosine"]}
    >>> values = [[[1.0, 1.0], [1.5, 1.2]], [[1.0, 1.0], [1.01, 0.9]]]
    >>> ended = xr.DataArray(values, dims | {"lr": [0.02, 0.1]})
    >>> said = said_of_areas(ended, {"cosine": 0.5}, (0.02, 0.1))
    >>> for text in said.sel(schedule="cosine").values:
    ...     print(text)
    At a peak of 0.02 it has 50 % of the constant rate's area, and its loss ends 50 % higher.
    Against the constant rate, it ends about as low at a mean of 0.02, and 10 % lower at 0.1.
    """
    ratio = ended / ended.sel(schedule="constant", drop=True)
    low, high = rates

    def against(ratio: float) -> str:
        more = 100 * (ratio - 1)
        if abs(more) < 3:
            return "about as low"
        return f"{abs(more):.0f} % {'higher' if more > 0 else 'lower'}"

    def words(alike: str, schedule: str, first: float, second: float) -> str:
        if schedule == "constant":
            return "The constant rate, which the others are compared with."
        if alike == "mean rate":
            return (
                f"Against the constant rate, it ends {against(first)} at a mean of {low:g}, "
                f"and {against(second)} at {high:g}."
            )
        return (
            f"At a peak of {low:g} it has {100 * area[schedule]:.0f} % of the constant rate's "
            f"area, and its loss ends {against(first)}."
        )

    return each_state(words, ratio.alike, ratio.schedule, *(ratio.sel(lr=lr) for lr in rates))


def said_of_digits(ended: xr.DataArray) -> xr.DataArray:
    """Return what the last loss of each schedule means, beside the best constant rate.

    Parameters
    ----------
    ended : DataArray over data, batch_size, schedule and lr
        Median final losses.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> losses = [[1.0, 0.8], [0.6, 0.4]]
    >>> ended = xr.DataArray(losses, {"schedule": ["constant", "cosine"], "lr": [0.1, 0.2]})
    >>> said_of_digits(ended).values[1, 0]
    'The peak is too low: this run ends 25 % below the best constant rate.'
    """
    found = best(ended)
    ratio = ended / found.value.sel(schedule="constant", drop=True)

    def words(ratio: float, near: bool, low: bool, schedule: str) -> str:
        what = "rate" if schedule == "constant" else "peak"
        if near and schedule == "constant":
            return "This is the best constant rate here, or as good."
        place = f"The {what} is too {'low' if low else 'high'}: this run"
        if near:
            place = "At its best peak here, or close to it, this run"
        if ratio > 2:
            return f"{place} ends at {ratio:.1f} times the loss of the best constant rate."
        if abs(ratio - 1) < 0.02:
            return f"{place} ends level with the best constant rate, to within 2 %."
        side = "below" if ratio < 1 else "above"
        return f"{place} ends {100 * abs(ratio - 1):.0f} % {side} the best constant rate."

    near, low = ended <= 1.03 * found.value, ended.lr < found.lr
    return each_state(words, ratio, near, low, ratio.schedule)


def said_of_cuts(runs: xr.Dataset) -> xr.DataArray:
    """Return how the rates of several seeds differ under the plateau rule.

    Parameters
    ----------
    runs : Dataset
        With ``used`` over seed and step, and ``val_loss``.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> rates = [[[1.0, 1.0, 0.1], [1.0, 0.1, 0.1]]]
    >>> runs = xr.Dataset(
    ...     {"used": (("lr", "seed", "step"), rates),
    ...      "val_loss": (("lr", "seed", "eval_step"), [[[0.5], [0.7]]])},
    ...     {"step": range(3)},
    ... )
    >>> said_of_cuts(runs).item()[:66]
    '2 seeds, 2 different staircases: the first cut comes at update 1 i'
    """
    seeds, curves = runs.sizes["seed"], runs.used.transpose(..., "seed", "step")
    fallen = curves < curves.isel(step=0) * (1 - 1e-9)
    at = runs.step[fallen.argmax("step")].drop_vars("step").astype(float)
    first = at.where(fallen.any("step"), np.inf)
    flat = curves.values.reshape(-1, seeds, curves.sizes["step"]).round(12)
    several = np.array([len(np.unique(rows, axis=0)) for rows in flat])
    kinds = xr.zeros_like(first.isel(seed=0, drop=True)) + several.reshape(first.shape[:-1])

    def words(low: float, high: float, kinds: float, loss: float) -> str:
        late = f"at update {high:.0f}" if np.isfinite(high) else "not at all"
        return (
            f"{seeds} seeds, {kinds:.0f} different staircases: the first cut comes at update "
            f"{low:.0f} in one run and {late} in another. The median loss ends at {loss:.2f}."
        )

    ended = middle(final(runs))
    return each_state(words, first.min("seed"), first.max("seed"), kinds, ended)


class Fault(NamedTuple):
    """A loop that does not follow its plan: how it steps, what was planned, what comes of it."""

    rule: Callable[[Optimizer], dict[str, Callable[[], object]]]
    plan: str
    outcome: str


PLANS = {
    "cosine": Cosine(PEAK, UPDATES),
    "step": Step(PEAK, 4 * PER_EPOCH),
    "multi-step": MultiStep(PEAK, [5 * PER_EPOCH, 9 * PER_EPOCH]),
    "warmup, then cosine": warmup(Cosine(PEAK, UPDATES - PER_EPOCH), PER_EPOCH, 1 / PER_EPOCH),
}


def _cosine_drawn_first(optimizer: Optimizer) -> dict[str, Callable[[], object]]:
    from torch.optim.lr_scheduler import CosineAnnealingLR

    scheduler, curve = CosineAnnealingLR(optimizer, UPDATES), []
    for _ in range(UPDATES):  # let us see what it looks like ...
        curve.append(scheduler.get_last_lr()[0])
        scheduler.step()
    return {"batch_ends": scheduler.step}  # ... and train


def _steps_drawn_first(optimizer: Optimizer) -> dict[str, Callable[[], object]]:
    from torch.optim.lr_scheduler import StepLR

    scheduler, curve = StepLR(optimizer, step_size=4), []
    for _ in range(EPOCHS):
        curve.append(scheduler.get_last_lr()[0])
        scheduler.step()
    return {"epoch_ends": scheduler.step}


def _before_each_epoch(optimizer: Optimizer) -> dict[str, Callable[[], object]]:
    from torch.optim.lr_scheduler import MultiStepLR

    return {"epoch_starts": MultiStepLR(optimizer, [5, 9]).step}


def _per_batch(optimizer: Optimizer) -> dict[str, Callable[[], object]]:
    from torch.optim.lr_scheduler import StepLR

    return {"batch_ends": StepLR(optimizer, step_size=4).step}  # four epochs were meant


def _per_epoch(optimizer: Optimizer) -> dict[str, Callable[[], object]]:
    from torch.optim.lr_scheduler import CosineAnnealingLR

    return {"epoch_ends": CosineAnnealingLR(optimizer, UPDATES).step}  # batches were meant


def _of_half_the_length(optimizer: Optimizer) -> dict[str, Callable[[], object]]:
    from torch.optim.lr_scheduler import CosineAnnealingLR

    return {"batch_ends": CosineAnnealingLR(optimizer, UPDATES // 2).step}


def _both_stepped(optimizer: Optimizer) -> dict[str, Callable[[], object]]:
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

    up = LinearLR(optimizer, 1 / PER_EPOCH, total_iters=PER_EPOCH)
    down = CosineAnnealingLR(optimizer, UPDATES - PER_EPOCH)

    def both() -> None:
        up.step()
        down.step()

    return {"batch_ends": both}


FAULTS = {
    "cosine drawn first": Fault(
        _cosine_drawn_first,
        "cosine",
        "The cosine is mirrored: the run begins at rate 0 and ends at 0.3.",
    ),
    "steps drawn first": Fault(
        _steps_drawn_first, "step", "The run begins where the drawing stopped, at 0.003."
    ),
    "stepped before each epoch": Fault(
        _before_each_epoch, "multi-step", "Both drops come one epoch early."
    ),
    "stepped per batch not per epoch": Fault(
        _per_batch, "step", "Four epochs have become four updates, and the rate is soon gone."
    ),
    "stepped per epoch not per batch": Fault(
        _per_epoch, "cosine", "Ten steps of 840 were made: the rate has hardly left its peak."
    ),
    "cosine of half the length": Fault(
        _of_half_the_length, "cosine", "Past its end PyTorch's cosine rises again, up to its peak."
    ),
    "warmup and cosine both stepped": Fault(
        _both_stepped, "warmup, then cosine", "The cosine does not wait for the warmup to end."
    ),
}


def faulty(fault: str, seed: int) -> dict[str, Any]:
    """Train a network on digits in a loop with one of the seven faults.

    The labels are those of ``mislabelled(digits(), 0.4)``, the batches those of `lrcourse.fit`.

    Parameters
    ----------
    fault : str
        A key of `FAULTS`.
    seed : int

    Returns
    -------
    dict
        ``used``, the rate of each update, and ``accuracy`` on the validation digits by epoch.

    Examples
    --------
    >>> _, rates = faulty("steps drawn first", seed=0)["used"]
    >>> rates.max().round(6)
    np.float64(0.003)
    """
    import warnings

    from torch.optim import SGD

    from lrcourse.data import digits, mislabelled
    from lrcourse.models import mlp
    from lrcourse.randomness import batches, seeded
    from lrcourse.training import plain_loop

    data, model = mislabelled(digits(), 0.4), seeded(mlp, seed)
    rows = batches(len(data.x_train), 16, UPDATES, seed)
    optimizer = SGD(model.parameters(), lr=PEAK)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        hooks = FAULTS[fault].rule(optimizer)
        recorder, accuracy = plain_loop(model, data, optimizer, rows, per_epoch=PER_EPOCH, **hooks)
    return {"used": ("step", recorder.used[:, 0]), "accuracy": ("epoch", accuracy)}


def said_of_faults(
    off: Mapping[str, int], faulty: xr.DataArray, right: xr.DataArray
) -> xr.DataArray:
    """Return what each fault does to the rate, and what it costs.

    Parameters
    ----------
    off : mapping from fault to int
        Its updates at another rate than planned.
    faulty, right : DataArray over fault
        The last median accuracy, with the fault and after the repair.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> one = xr.DataArray([0.94], {"fault": ["stepped before each epoch"]})
    >>> words = said_of_faults({"stepped before each epoch": 168}, one, one).item()
    >>> words[:94]
    'Both drops come one epoch early. 168 of 840 updates used another rate than planned. Accuracy e'
    """

    def words(fault: str, got: float, due: float) -> str:
        return (
            f"{FAULTS[fault].outcome} {off[fault]} of {UPDATES} updates used another rate than "
            f"planned. Accuracy ends at {100 * got:.0f} %; as planned, at {100 * due:.0f} %."
        )

    return each_state(words, faulty.fault, faulty, right)


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


@used_rates.mistake("StepLR drops in whole steps: divide the count by step_size with //, not /.")
def _at_every_step(
    lr: float, step_size: int, gamma: float, plotted: int, epochs: int
) -> list[float]:
    counts = range(plotted + 1, plotted + 1 + epochs)
    return [lr * gamma ** (count / step_size) for count in counts]
