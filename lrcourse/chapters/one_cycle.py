"""What the chapter on one-cycle needs and no other.

Its rivals and ways to move the momentum, how runs are judged on digits that did not choose their
rate, loops with the usual faults, what the states of its explorers mean in words, and its exercise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lrcourse._checks import choice
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state, in_words
from lrcourse.results import best, middle, off_plan
from lrcourse.schedules import (
    Constant,
    Cosine,
    MultiStep,
    OneCycle,
    Polynomial,
    Schedule,
    WarmupStableDecay,
)

if TYPE_CHECKING:
    pass

FIXED = 0.9  # the momentum of every run whose schedule does not plan one
SLIDE = (0.5, 0.95)  # the range of the slide
BATCH, PER_EPOCH, EPOCHS = 32, 42, 5  # of the loops: 42 full batches of 32 digits are an epoch
STEPS = PER_EPOCH * EPOCHS


@dataclass(frozen=True)
class WithTheRate(OneCycle):
    """One cycle whose momentum rises and falls with the rate, and not against it.

    Examples
    --------
    >>> WithTheRate(1.0, steps=10).momentum([0, 2, 9])
    array([0.85, 0.95, 0.85])
    """

    def _momentum(self, t: NDArray[np.int64]) -> NDArray[np.float64] | None:
        against = super()._momentum(t)
        if self.momentum_range is None or against is None:
            return None
        return sum(self.momentum_range) - against


@dataclass(frozen=True)
class SameEffective(OneCycle):
    r"""One cycle without a plan for the momentum, but with the effective rate that its plan gives.

    Its rate is :math:`\eta_t\,(1 - 0.9) / (1 - \beta_t)`, so that with a fixed momentum of 0.9 the
    effective rate is :math:`\eta_t / (1 - \beta_t)`, that of a cycle that moves the momentum.

    Examples
    --------
    >>> same = SameEffective(1.0, steps=10)
    >>> same([0, 2]).round(3), same.momentum(0)
    (array([0.08 , 0.667]), None)
    """

    def _rate(self, t: NDArray[np.int64]) -> NDArray[np.float64]:
        momentum = super()._momentum(t)
        factor = 1.0 if momentum is None else (1 - FIXED) / (1 - momentum)
        return np.asarray(super()._rate(t) * factor)

    def _momentum(self, t: NDArray[np.int64]) -> None:
        return None


Plan = tuple[Schedule, float | None]  # and the momentum, where the schedule does not plan it


def rivals(steps: int) -> dict[str, Plan]:
    """Return the schedules that one-cycle is compared with, at a peak of 1.

    Parameters
    ----------
    steps : int
        Updates of the run.

    Returns
    -------
    dict of str to (Schedule, float or None)

    Examples
    --------
    >>> schedule, momentum = rivals(100)["linear to zero"]
    >>> schedule(50), momentum
    (0.5, 0.9)
    """
    return {
        "one-cycle": (OneCycle(1.0, steps), None),
        "one-cycle at fixed momentum": (OneCycle(1.0, steps, momentum_range=None), FIXED),
        "one-cycle with a short rise": (OneCycle(1.0, steps, pct_start=0.1), None),
        "linear to zero": (Polynomial(1.0, steps), FIXED),
        "cosine": (Cosine(1.0, steps), FIXED),
        "warmup-stable-decay": (WarmupStableDecay.fractions(1.0, steps), FIXED),
        "steps": (MultiStep(1.0, [steps // 2, 3 * steps // 4], 0.1), FIXED),
        "constant": (Constant(1.0), FIXED),
    }


def moves(steps: int) -> dict[str, Plan]:
    """Return linear cycles of the rate with the momentum fixed or moved, at a peak of 1.

    Parameters
    ----------
    steps : int
        Updates of the run.

    Returns
    -------
    dict of str to (Schedule, float or None)

    Examples
    --------
    >>> schedule, momentum = moves(100)["against down to 0.5"]
    >>> schedule.momentum([0, 29, 99]), momentum
    (array([0.95, 0.5 , 0.95]), None)
    """

    def cycle(kind: type[OneCycle], span: tuple[float, float] | None) -> OneCycle:
        return kind(1.0, steps, anneal="linear", momentum_range=span)

    usual = (0.85, 0.95)
    return {
        **{f"fixed at {beta}": (cycle(OneCycle, None), beta) for beta in (0.5, 0.85, 0.9, 0.95)},
        "against down to 0.85": (cycle(OneCycle, usual), None),
        "against down to 0.5": (cycle(OneCycle, SLIDE), None),
        "with the rate from 0.85": (cycle(WithTheRate, usual), None),
        "with the rate from 0.5": (cycle(WithTheRate, SLIDE), None),
        "same effective rate as 0.85": (cycle(SameEffective, usual), FIXED),
        "same effective rate as 0.5": (cycle(SameEffective, SLIDE), FIXED),
    }


def interval(values: xr.DataArray) -> tuple[float, float, float]:
    """Return the median of ten seeds, and the second and the ninth of them in order.

    If the seeds are draws, the true median lies between these two with a probability of 98 %.

    Parameters
    ----------
    values : DataArray over seed, ten of them
        A value that is not finite counts as the highest.

    Returns
    -------
    tuple of three floats

    Examples
    --------
    >>> interval(xr.DataArray(np.arange(10.0), dims="seed"))
    (4.5, 1.0, 8.0)
    """
    ranked = np.sort(np.where(np.isfinite(values), values, np.inf))
    if len(ranked) != 10:
        raise ValueError(f"values must be those of 10 seeds, were {len(ranked)}")
    return float(np.mean(ranked[4:6])), float(ranked[1]), float(ranked[8])


def per_cent(values: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
    """Return by how much values differ from a reference of the same seeds, in percent of it.

    Parameters
    ----------
    values, reference : DataArray over seed, and others

    Returns
    -------
    DataArray

    Examples
    --------
    >>> per_cent(xr.DataArray([1.5], dims="seed"), xr.DataArray([1.0], dims="seed")).values
    array([50.])
    """
    return 100 * (values / reference - 1)


def updates_for(losses: xr.DataArray, target: float) -> float:
    """Return the budget that reaches a loss, on straight lines between budgets in log-log axes.

    Parameters
    ----------
    losses : DataArray over budget
        Falling, at least where it crosses the target.
    target : float

    Returns
    -------
    float
        NaN if no budget reaches it.

    Examples
    --------
    >>> updates_for(xr.DataArray([1.0, 0.25], {"budget": [100, 400]}), 0.5).__round__(6)
    200.0
    """
    budgets, values = losses.budget.values.astype(float), losses.values
    for i in range(len(values)):
        if values[i] <= target:
            if i == 0 or values[i] == target:
                return float(budgets[i])
            share = np.log(values[i - 1] / target) / np.log(values[i - 1] / values[i])
            return float(budgets[i - 1] * (budgets[i] / budgets[i - 1]) ** share)
    return np.nan


def of_ending(loss: float, rate: float, best_loss: float, best_rate: float) -> str:
    """Say what the median run at a rate ends at, beside the best rate of its plan.

    >>> of_ending(0.2, 1.0, 0.05, 0.3)
    'Rate 1 ends at a loss of 0.2, four times that of its best rate, 0.3.'
    >>> of_ending(0.05, 0.3, 0.05, 0.3)
    'Rate 0.3 is its best and ends at a loss of 0.05.'
    """
    if not np.isfinite(loss):
        return f"At rate {in_words(rate)} it diverges; its best rate is {in_words(best_rate)}."
    if rate == best_rate:
        return f"Rate {in_words(rate)} is its best and ends at a loss of {in_words(loss, 2)}."
    ratio = loss / best_loss
    if ratio < 1.05:
        times = "within 5 % of its best rate"
    elif ratio < 1.95:
        times = f"{100 * (ratio - 1):.0f} % above that of its best rate"
    else:
        named = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}
        times = named.get(round(ratio), f"{in_words(ratio, 2)} times") + " that of its best rate"
    return (
        f"Rate {in_words(rate)} ends at a loss of {in_words(loss, 2)}, {times}, "
        f"{in_words(best_rate)}."
    )


def said_of_rates(
    loss: xr.DataArray, reference: str, along: str, ends: xr.DataArray
) -> xr.DataArray:
    """Return what each rate of a plan comes to, and how its best compares with a reference.

    Parameters
    ----------
    loss : DataArray over `along`, lr and seed, and others
    reference : str
        A label of `along`.
    along : str
        The dimension of plans or schedules.
    ends : DataArray
        From `judged`; those of ten seeds.

    Returns
    -------
    DataArray of str
    """
    medians = middle(loss, better="low")
    found = best(medians)
    change = per_cent(ends, ends.sel({along: reference}, drop=True))
    ranked = np.sort(np.where(np.isfinite(change), change, np.inf), change.get_axis_num("seed"))
    spread = change.copy(data=ranked)

    def words(
        name: str, loss: float, rate: float, low: float, best_rate: float, first: float, last: float
    ) -> str:
        text = of_ending(loss, rate, low, best_rate)
        if name == reference:
            return text
        if first > 0:
            return f"{text} Best against best, {reference} ends lower."
        if last < 0:
            return f"{text} Best against best, it ends lower than {reference}."
        return f"{text} Best against best, no clear difference from {reference}."

    return each_state(
        words,
        medians[along],
        medians,
        medians.lr,
        found.value,
        found.lr,
        spread.isel(seed=1, drop=True),
        spread.isel(seed=8, drop=True),
    )


def said_of_decays(loss: xr.DataArray) -> xr.DataArray:
    """Return what each rate and decay of a schedule comes to, beside its best pair.

    Parameters
    ----------
    loss : DataArray over weight_decay, lr and seed, and others

    Returns
    -------
    DataArray of str
    """
    medians = middle(loss, better="low")
    low = medians.min(["weight_decay", "lr"])
    none = medians.sel(weight_decay=0, drop=True).min("lr")

    def words(loss: float, low: float, none: float) -> str:
        if not np.isfinite(loss):
            return "The median run diverges."
        ends = f"It ends at a loss of {in_words(loss, 2)}"
        if loss == low:
            gain = 100 * (1 - low / none)
            than = f"{gain:.0f} % below the best without decay" if gain >= 1 else "as without decay"
            return f"{ends}, the lowest of this map: {than}."
        over = 100 * (loss / low - 1)
        times = (
            f"{in_words(loss / low, 2)} times the lowest"
            if over >= 95
            else (f"{over:.0f} % above the lowest" if over >= 1 else "level with the lowest")
        )
        return f"{ends}, {times}."

    return each_state(words, medians, low, none)


LOOPS = {  # what each loop does with its plan, in words
    "cosine": "Rise and fall are parts of a cosine, PyTorch's own choice.",
    "linear": "Rise and fall are straight lines.",
    "linear down to 0.5": "Straight lines, and the momentum falls to 0.5.",
    "momentum fixed": "The rate moves, the momentum stays at 0.9.",
    "stepped once an epoch": "The scheduler makes one step an epoch, where 42 are planned.",
    "total in micro-batches": "The plan is four times as long as the run, which ends in the rise.",
    "one update too many": "The last update has a negative rate: it climbs the loss.",
}
RIGHT = list(LOOPS)[:4]


def plan_of(how: str, lr: float) -> OneCycle:
    """Return what a loop was meant to do.

    Parameters
    ----------
    how : str
        A key of `LOOPS`.
    lr : float
        The peak.

    Returns
    -------
    OneCycle

    Examples
    --------
    >>> plan_of("one update too many", 0.2).steps
    209
    """
    choice("how", how, LOOPS)
    options: dict[str, Any] = {"anneal": "cos" if how == "cosine" else "linear"}
    if how == "linear down to 0.5":
        options["momentum_range"] = SLIDE
    if how == "momentum fixed":
        options["momentum_range"] = None
    return OneCycle(lr, STEPS - (how == "one update too many"), **options)


def cycle(how: str, lr: float, seed: int) -> dict[str, Any]:
    """Train on the digits in a plain loop with PyTorch's OneCycleLR, as planned or with a fault.

    Starts and batches are those of `lrcourse.fit`; 42 batches of 32 are called an epoch.

    Parameters
    ----------
    how : str
        A key of `LOOPS`.
    lr : float
        The peak.
    seed : int

    Returns
    -------
    dict
        The rate and the momentum of each update, used and planned, and ``mistakes`` by epoch, in
        percent.

    Examples
    --------
    >>> cycle("one update too many", 0.2, 0)["used"][1][-2:].round(7)
    array([ 8.0000e-07, -1.3662e-03])
    """
    from torch.optim import SGD
    from torch.optim.lr_scheduler import OneCycleLR

    from lrcourse.data import digits
    from lrcourse.models import mlp
    from lrcourse.randomness import batches, seeded
    from lrcourse.training import plain_loop

    plan, data, model = plan_of(how, lr), digits(), seeded(mlp, seed)
    rows = batches(len(data.x_train), BATCH, STEPS, seed)
    optimizer = SGD(model.parameters(), lr=lr, momentum=FIXED)
    low, high = plan.momentum_range or (FIXED, FIXED)
    scheduler = OneCycleLR(
        optimizer,
        lr,
        total_steps=plan.steps * (4 if how == "total in micro-batches" else 1),
        anneal_strategy=plan.anneal,  # type: ignore[arg-type]
        cycle_momentum=plan.momentum_range is not None,
        base_momentum=low,
        max_momentum=high,
    )
    hook, times = (
        ("epoch_ends", EPOCHS) if how == "stepped once an epoch" else ("batch_ends", STEPS)
    )

    def step() -> None:
        if scheduler.last_epoch + 1 < times:  # one more step raises
            scheduler.step()

    recorder, accuracy = plain_loop(
        model, data, optimizer, rows, per_epoch=PER_EPOCH, **{hook: step}
    )
    updates = np.arange(STEPS)
    momentum = plan.momentum(updates)
    return {
        "used": ("step", recorder.used[:, 0]),
        "planned": ("step", plan(updates)),
        "used_momentum": ("step", recorder.used_momentum[:, 0]),
        "planned_momentum": ("step", np.full(STEPS, FIXED) if momentum is None else momentum),
        "mistakes": ("epoch", 100 * (1 - accuracy)),
    }


def said_of_cycles(runs: xr.Dataset) -> xr.DataArray:
    """Return what each loop makes of its plan.

    Parameters
    ----------
    runs : Dataset over how, seed and step
        As `cycle` returns them.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> run = {"used": ("step", [0.1, 0.2]), "planned": ("step", [0.1, 0.1])}
    >>> run |= {"used_momentum": ("step", [0.9, 0.9]), "planned_momentum": ("step", [0.9, 0.9])}
    >>> runs = xr.Dataset(run | {"mistakes": (("seed", "epoch"), [[3.0]])})
    >>> print(said_of_cycles(runs.expand_dims(how=["one update too many"])).item())
    The last update has a negative rate: it climbs the loss. 1 of 2 updates left the plan.
    """
    off = off_plan(runs)
    steps = runs.sizes["step"]

    def words(how: str, off: float) -> str:
        left = f"{off:.0f} of {steps} updates left the plan."
        return f"{LOOPS[how]} {left if off else f'All {steps} updates kept to the plan.'}"

    return each_state(words, off.how, off)


@exercise(
    cases=[
        *({"t": t, "lr": 0.5, "steps": 20, "peak": 5} for t in (0, 1, 4, 5, 6, 12, 19, 20, 30)),
        {"t": 3, "lr": 2.0, "steps": 10, "peak": 2},
    ]
)
def cycle_rate(t: int, lr: float, steps: int, peak: int) -> float:
    """The rate of update t: lr / 25 at 0, lr at peak, lr / 250,000 at steps - 1, and from there on.

    >>> round(cycle_rate(t=6, lr=1.0, steps=9, peak=4), 6)
    0.500002
    """
    start, end = lr / 25, lr / 250_000
    if t <= peak:
        return start + (lr - start) * t / peak
    return lr + (end - lr) * min(1.0, (t - peak) / (steps - 1 - peak))


@cycle_rate.mistake(
    "The first update has rate 0 and moves nothing, as on the slide. Begin at lr / 25."
)
def _from_zero(t: int, lr: float, steps: int, peak: int) -> float:
    return cycle_rate.truth(t, lr, steps, peak) if t > peak else lr * t / peak


@cycle_rate.mistake(
    "After the last update the line goes on, below 0: the loss would climb. Stop it with min."
)
def _below_zero(t: int, lr: float, steps: int, peak: int) -> float:
    if t <= steps - 1:
        return cycle_rate.truth(t, lr, steps, peak)
    return lr + (lr / 250_000 - lr) * (t - peak) / (steps - 1 - peak)


@cycle_rate.mistake(
    "The end comes one update late: the last update of the run is steps - 1, not steps."
)
def _one_late(t: int, lr: float, steps: int, peak: int) -> float:
    return cycle_rate.truth(t, lr, steps + 1, peak)


@cycle_rate.mistake(
    "The rate falls back to where it began. It should end much lower, at lr / 250,000."
)
def _symmetric(t: int, lr: float, steps: int, peak: int) -> float:
    if t <= peak:
        return cycle_rate.truth(t, lr, steps, peak)
    return lr + (lr / 25 - lr) * min(1.0, (t - peak) / (steps - 1 - peak))


@cycle_rate.mistake("The rate only rises. After the peak it should fall.")
def _no_fall(t: int, lr: float, steps: int, peak: int) -> float:
    return cycle_rate.truth(min(t, peak), lr, steps, peak)
