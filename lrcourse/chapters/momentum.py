"""What the chapter on momentum needs and no other: its searches, its words, its exercise."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lrcourse._checks import number
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state, in_words
from lrcourse.optimizers import descents
from lrcourse.results import best, middle, quartiles
from lrcourse.surfaces import Quadratic, ravine

#: The five rules that train on digits: their names in the book, and what they set.
RULES: dict[str, dict[str, Any]] = {
    "0": {"momentum": 0.0},
    "0.5": {"momentum": 0.5},
    "0.9": {"momentum": 0.9},
    "0.99": {"momentum": 0.99},
    "Nesterov 0.9": {"momentum": 0.9, "nesterov": True},
}


def settled_after(distance: xr.DataArray, share: float = 0.001) -> xr.DataArray:
    """Return after how many updates at most a share of the first distance is left for good.

    A ball that rolls through the minimum is near it for a moment; that does not count.

    Parameters
    ----------
    distance : DataArray
        Over ``step`` and anything else.
    share : float, default 0.001
        What may be left.

    Returns
    -------
    DataArray of float
        NaN for a run that has not settled when it ends.

    Examples
    --------
    >>> swinging = xr.DataArray([8.0, 1.0, 4.0, 2.0, 1.0], dims="step")
    >>> settled_after(swinging, share=0.25).item()
    3.0
    """
    share = number("share", share, low=0, open_low=True)
    away = ~(distance <= share * distance.isel(step=0))
    last = distance.sizes["step"] - away.isel(step=slice(None, None, -1)).argmax("step")
    settled: xr.DataArray = last.where(away.any("step"), 0).where(~away.isel(step=-1))
    return settled.astype(float).rename("updates")


def largest_product(momentum: float, nesterov: bool = False) -> float:
    """Return the largest rate times curvature at which a parabola settles, found by runs.

    Three searches, in steps of 0.1, 0.01 and 0.001; a run settles if less than a tenth of its
    first distance is left in the last 100 of 3,000 updates.

    Parameters
    ----------
    momentum : float
        The share of the velocity that an update keeps.
    nesterov : bool, default False
        Whether to look one push ahead.

    Returns
    -------
    float

    Examples
    --------
    >>> largest_product(0.5)
    2.999
    """
    low, top = 1.0, 5.0
    for step in (0.1, 0.01, 0.001):
        products = np.arange(round(low / step), round(top / step) + 1) * step
        runs = descents(
            Quadratic(1.0), lr=products, momentum=momentum, nesterov=nesterov, start=1.0,
            steps=3000, bound=1e6,
        )  # fmt: skip
        tail = abs(runs.x0.isel(step=slice(-100, None))).max("step", skipna=False)
        low = float(products[(tail < 0.1).values].max())
        top = low + step
    return round(low, 3)


def polyak(condition: float) -> tuple[float, float]:
    r"""Return the rate and the momentum that are best on a bowl with curvatures 1 to `condition`.

    :math:`\eta = \big(2 / (\sqrt\kappa + 1)\big)^2` and
    :math:`\beta = \big((\sqrt\kappa - 1) / (\sqrt\kappa + 1)\big)^2`.

    Parameters
    ----------
    condition : float
        The largest curvature over the smallest, which is 1.

    Returns
    -------
    tuple of two floats

    References
    ----------
    Polyak, 1964.

    Examples
    --------
    >>> [round(value, 3) for value in polyak(100)]
    [0.033, 0.669]
    """
    root = float(np.sqrt(number("condition", condition, low=1)))
    return (2 / (root + 1)) ** 2, ((root - 1) / (root + 1)) ** 2


def races(condition: float) -> dict[str, float]:
    """Return how many updates settle in a ravine: four ways to choose a rate and a momentum.

    Parameters
    ----------
    condition : float
        Of the ravine.

    Returns
    -------
    dict of str to float
        "plain" and "Polyak" have the rates and momenta of the formulas; "heavy ball" and
        "Nesterov" are the best of 80 rates times 100 momenta.

    Examples
    --------
    >>> races(10)
    {'plain': 35.0, 'Polyak': 15.0, 'heavy ball': 12.0, 'Nesterov': 14.0}
    """
    valley = ravine(condition)

    def fewest(lr: Any, momentum: Any, nesterov: bool, steps: int) -> float:
        runs = descents(valley, lr=lr, momentum=momentum, nesterov=nesterov, steps=steps)
        return float(settled_after(np.hypot(runs.x0, runs.x1)).min())

    rate, momentum = polyak(condition)
    grid, steps = np.arange(1, 81) / 20 / condition, int(16 * np.sqrt(condition))
    return {
        "plain": fewest(2 / (1 + condition), 0.0, False, int(5 * condition)),
        "Polyak": fewest(rate, momentum, False, steps),
        "heavy ball": fewest(grid, np.arange(100) / 100, False, steps),
        "Nesterov": fewest(grid, np.arange(100) / 100, True, steps),
    }


def said_of_ravine(updates: xr.DataArray, condition: float) -> xr.DataArray:
    """Say in words what each rate and momentum does in a ravine with curvatures 1 to `condition`.

    Parameters
    ----------
    updates : DataArray
        Over ``lr`` and ``momentum``, from `settled_after`; one momentum is 0.
    condition : float
        Of the ravine.

    Returns
    -------
    DataArray of str
        Over the same dimensions.

    Examples
    --------
    >>> runs = descents(ravine(100), lr=[0.019, 0.03, 0.04], momentum=[0, 0.5, 0.9], steps=400)
    >>> said = said_of_ravine(settled_after(np.hypot(runs.x0, runs.x1)), 100)
    >>> print(*said.sel(momentum=0.9).values, sep="\\n")
    Rolls past the minimum and back: settled after 129 updates, 2.7 times sooner than...
    Rolls past the minimum and back: settled after 137 updates, 2.5 times sooner than...
    Never settles: the rate is beyond the limit 2(1 + β)/λ, here 0.038.
    """
    plain = float(updates.sel(momentum=0).min())

    def words(lr: float, momentum: float, n: float) -> str:
        limit = 2 * (1 + momentum) / condition
        if lr >= limit * (1 - 1e-9):
            where = "beyond" if lr > limit * (1 + 1e-9) else "at"
            return f"Never settles: the rate is {where} the limit 2(1 + β)/λ, here {limit:.3g}."
        kept = [_kept(lr * curvature, momentum) for curvature in (1.0, condition)]
        swings = lr / (1 - momentum**0.5) ** 2  # along the floor, from 1 on
        if kept[1] > kept[0] + 1e-9:
            how = "Zigzags across the ravine"
        elif swings > 1.5:
            how = "Rolls past the minimum and back"
        elif swings > 0.9:
            how = "Glides to the minimum"
        else:
            how = "Creeps along the floor"
        if n == plain and momentum == 0:
            return (
                f"{how}: settled after {n:.0f} updates, the fewest of all rates without momentum."
            )
        sooner = n < plain
        ratio = f"{max(n, plain) / min(n, plain):.2g}"
        return (
            f"{how}: settled after {n:.0f} updates, {ratio} times "
            f"{'sooner' if sooner else 'later'} than plain descent at its best."
        )

    return each_state(words, updates.lr, updates.momentum, updates)


def _kept(product: float, momentum: float) -> float:
    """The share of the error that an update keeps in the long run, for a rate times a curvature."""
    trace = 1 + momentum - product
    return float(np.abs(np.roots([1.0, -trace, momentum])).max())


def said_of_rules(losses: xr.DataArray, kind: str) -> xr.DataArray:
    """Say in words what each rule of `RULES` reaches at its own best effective rate.

    Parameters
    ----------
    losses : DataArray
        Medians over ``rule``, ``effective`` and anything else.
    kind : str
        What the loss is called.

    Returns
    -------
    DataArray of str
        Over all dimensions but ``effective``.

    Examples
    --------
    >>> values, rates = [[0.5, 0.4, 9.0], [0.5, 0.3, 0.1]], [0.1, 1.0, 10.0]
    >>> losses = xr.DataArray(values, {"rule": ["0", "0.9"], "effective": rates})
    >>> print(*said_of_rules(losses, "training loss").values, sep="\\n")
    Without momentum the best rate is 1, and the training loss ends at 0.4.
    Best at rate 1, effective rate 10: training loss 0.1, 4 times lower than without momentum.
    """
    top = best(losses, along="effective")

    def words(rule: str, loss: float, effective: float, plain: float) -> str:
        if rule == "0":
            return (
                f"Without momentum the best rate is {in_words(effective)}, "
                f"and the {kind} ends at {in_words(loss)}."
            )
        rate = in_words(effective * (1 - RULES[rule]["momentum"]))
        ratio = max(loss, plain) / min(loss, plain)
        than = f"{'lower' if loss < plain else 'higher'} than without momentum"
        much = (
            f"{in_words(float(f'{ratio:.2g}'))} times"
            if ratio >= 1.95
            else f"{100 * abs(loss / plain - 1):.0f} %"
        )
        return (
            f"Best at rate {rate}, effective rate {in_words(effective)}: "
            f"{kind} {in_words(loss)}, {much} {than}."
        )

    plain = top.value.sel(rule="0", drop=True)
    return each_state(words, losses.rule, top.value, top.effective, plain)


def lowest(losses: xr.DataArray) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return what each rule reaches at its own best effective rate, for each size of batch.

    Parameters
    ----------
    losses : DataArray
        Over ``rule``, ``batch``, ``effective`` and ``seed``.

    Returns
    -------
    dict of dict of three floats
        Rule, batch: the median of the seeds, and the ends of their middle half.

    Examples
    --------
    >>> values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).reshape(1, 1, 2, 3)
    >>> where = {"rule": ["0"], "batch": ["16"], "effective": [0.1, 1.0], "seed": [0, 1, 2]}
    >>> lowest(xr.DataArray(values, where))
    {'0': {'16': (2.0, 1.5, 2.5)}}
    """
    at = best(middle(losses), along="effective").effective
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for rule in losses.rule.values.tolist():
        for batch in losses.batch.values.tolist():
            where = {"rule": rule, "batch": batch, "effective": at.sel(rule=rule, batch=batch)}
            low, mid, high = map(float, quartiles(losses.sel(where).values))
            found.setdefault(rule, {})[batch] = mid, low, high
    return found


def moves_of_torch(updates: int = 100, **settings: Any) -> NDArray[np.float64]:
    """Return how far torch's SGD moves a weight at each update, at rate 1 and with a gradient of 1.

    Parameters
    ----------
    updates : int, default 100
        How many.
    **settings
        Those of ``torch.optim.SGD``.

    Returns
    -------
    ndarray of float, shape (updates,)

    Examples
    --------
    >>> moves_of_torch(3, momentum=0.5)
    array([1.  , 1.5 , 1.75])
    """
    import torch

    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer, places = torch.optim.SGD([weight], lr=1.0, **settings), [0.0]
    for _ in range(updates):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        places.append(weight.item())
    return -np.diff(places)


@exercise(
    cases=[
        {"lr": 0.1, "momentum": 0.9, "new": 0.99},
        {"lr": 0.3, "momentum": 0.0, "new": 0.9},
        {"lr": 0.02, "momentum": 0.95, "new": 0.5},
    ]
)
def matched_lr(lr: float, momentum: float, new: float) -> float:
    """The rate that keeps the effective rate when the momentum changes.

    >>> round(matched_lr(lr=0.1, momentum=0.9, new=0.99), 6)
    0.01
    """
    return lr * (1 - new) / (1 - momentum)


@matched_lr.mistake(
    "With the rate unchanged the effective rate changes: it is lr / (1 - momentum)."
)
def _unchanged(lr: float, momentum: float, new: float) -> float:
    return lr


@matched_lr.mistake("The other way round: more momentum makes longer steps, so the rate must fall.")
def _upside_down(lr: float, momentum: float, new: float) -> float:
    return lr * (1 - momentum) / (1 - new)


@matched_lr.mistake(
    "That is the effective rate itself. Which rate gives the same one with the new momentum?"
)
def _effective(lr: float, momentum: float, new: float) -> float:
    return lr / (1 - momentum)


@matched_lr.mistake("The old momentum counts as well: lr alone was not the effective rate.")
def _from_none(lr: float, momentum: float, new: float) -> float:
    return lr * (1 - new)


@matched_lr.mistake(
    "1 + momentum belongs to the limit, where gradients alternate. Here they agree, and they add "
    "up to 1 / (1 - momentum)."
)
def _of_the_limit(lr: float, momentum: float, new: float) -> float:
    return lr * (1 + momentum) / (1 + new)
