"""Two other ways to find a rate before training, in the interface of the range test.

``stable_rate`` asks how far one can go along the optimizer's own first update before the loss
rises; it costs a few forward passes.  ``short_runs`` trains for a part of the budget at each of a
few rates.  Like ``finder.range_test`` they take any torch model, optimizer, loss and batches, and
give everything back as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from lrcourse._borrowed import Feed, Loan, draws_again
from lrcourse._checks import count, number
from lrcourse._curves import Watch, described
from lrcourse.engine.trial import Loss, Trial, all_of, check_parts, lent
from lrcourse.finder import Found, Suggestion
from lrcourse.grids import round_rates
from lrcourse.training import progress_bar

__all__ = ["ShortRuns", "StableRate", "short_runs", "stable_rate"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class StableRate(Found):
    r"""The record of `stable_rate`.

    Attributes
    ----------
    rates : array of float, shape (batches,)
        The largest stable rate of each batch; 0 where even the lowest raised the loss, infinite
        where the highest did not.
    passes : int
        Forward passes that it took, those of the gradients included.
    within : float
        The factor up to which the rates are known.
    gone : int
        Batches taken from an iterator that cannot be put back.

    Examples
    --------
    >>> StableRate(np.array([0.3, 0.5, 0.4]), passes=20)
    StableRate, 20 forward passes on 3 batches
    stable/2  0.2, half of the largest rate whose step does not raise the loss
    stable    0.4, the largest rate whose step does not raise the loss
    """

    rates: Floats
    passes: int
    within: float = 1.2
    gone: int = 0

    @property
    def critical_sharpness(self) -> float:
        """Two over the median of the rates, which is the curvature along the update."""
        middle = float(np.median(self.rates))
        return 2 / middle if middle > 0 else math.inf

    def suggestions(self) -> dict[str, Suggestion]:
        """Return what the rates suggest.

        Returns
        -------
        dict from str to Suggestion
            "stable", their median; "stable/2", where a parabola falls fastest.
        """
        middle = float(np.median(self.rates))
        if not 0 < middle < math.inf:
            why = "no step raises the loss" if middle else "every step raises the loss"
            return {rule: Suggestion(rule, None, why) for rule in ("stable/2", "stable")}
        words = "the largest rate whose step does not raise the loss"
        return {
            "stable/2": Suggestion("stable/2", middle / 2, f"half of {words}"),
            "stable": Suggestion("stable", middle, words),
        }

    def __repr__(self) -> str:
        lines = {rule: str(one) for rule, one in self.suggestions().items()}
        if self.gone:
            lines["taken"] = f"{self.gone} batches from an iterator that cannot be put back"
        of = f"{len(self.rates)} batch{'es' * (len(self.rates) > 1)}"
        return f"StableRate, {self.passes} forward passes on {of}\n{described(lines)}"


def stable_rate(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    batches: Iterable[Any],
    *,
    n_batches: int = 5,
    low: float = 1e-8,
    high: float = 1e4,
    within: float = 1.2,
    takes_model: bool = False,
    progress: bool | None = None,
) -> StableRate:
    r"""Find the largest rate at which one update does not raise the loss of its batch.

    For each batch the gradient is computed once.  Then the optimizer steps from the same weights
    at other rates: from its own rate on, doubled while the loss is not raised or halved while it
    is, then bisected.  Along the direction d of the update, where the loss is about
    :math:`L - \eta\,g^\top d + \tfrac12 \eta^2 d^\top H d`, that rate is
    :math:`\eta_c = 2\,g^\top d / d^\top H d`, and :math:`2/\eta_c` is the critical sharpness.

    Everything is given back as in `range_test`.

    Parameters
    ----------
    model, optimizer, loss, batches, takes_model, progress
        As in `range_test`.
    n_batches : int
        How many batches to ask; the median counts.
    low, high : float
        Rates beyond which not to look.
    within : float
        Above 1; bisect until the rate is known to this factor.

    Returns
    -------
    StableRate

    Raises
    ------
    ValueError, TypeError, KeyboardInterrupt
        As `range_test`; Ctrl-C is passed on.

    References
    ----------
    Kalra et al., 2026, arXiv 2601.16979.

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> data, model = line(), linear(zero=True)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    >>> batches, loss = [(data.x_train, data.y_train)], nn.functional.mse_loss
    >>> found = stable_rate(model, optimizer, loss, batches, within=1.01)
    >>> print(f"{found.rates[0]:.4f}, {2 / 68:.4f}")
    0.0293, 0.0294
    """
    check_parts(model, optimizer, loss, takes_model)
    low = number("low", low, low=0, open_low=True)
    high = number("high", high, low=0, open_low=True)
    if not low < high:
        raise ValueError(f"low must be below high, were {low:g} and {high:g}")
    within = number("within", within, low=1, open_low=True)
    many, found, passes = count("n_batches", n_batches, low=1), list[float](), 0
    with (
        lent(model, optimizer, loss, takes_model, batches) as trial,
        progress_bar(many, "stable rate", progress) as bar,
    ):
        feed = Feed("batches", batches, trial.device)
        own = max(float(group["lr"]) for group in optimizer.param_groups)
        start = min(max(own or 1e-2, low), high)
        for batch in islice(feed, many):
            if feed.length is not None and found:
                break  # all batches have been asked
            rate, tried = _largest_stable(trial, batch, start, low, high, within)
            found.append(rate)
            start = rate if low < rate < high else start  # near the next batch's
            passes += tried
            bar.update()
        if not found:
            raise ValueError("batches must hold at least one batch, was empty")
    return StableRate(np.array(found), passes, within, feed.gone)


def _largest_stable(
    trial: Trial, batch: Any, rate: float, low: float, high: float, within: float
) -> tuple[float, int]:
    """The largest rate whose step does not raise the loss of a batch, and the passes it took."""
    same_draws = draws_again()  # the same units drop out in every pass
    first, backward = trial.train_on(batch)
    if not math.isfinite(first):
        raise ValueError(f"loss must be finite before the first update, was {first}")
    backward()
    passes = 1
    gradients = [p.grad for p in trial.parameters]

    def holds(rate: float) -> bool:
        nonlocal passes
        passes += 1
        loan = Loan([trial.model], trial.optimizer, [])
        try:
            loan.take()
            for parameter, gradient in zip(trial.parameters, gradients, strict=True):
                parameter.grad = gradient
            trial.step_at(rate)
            for act in same_draws:
                act()
            with torch.no_grad():
                return trial.loss_of(batch).item() <= first
        finally:
            loan.give_back()

    inside, outside = 0.0, math.inf
    while True:
        if holds(rate):
            inside = rate
            if rate >= high:
                return math.inf, passes
        else:
            outside = rate
            if rate <= low:
                return 0.0, passes
        if inside > 0 and outside < math.inf:
            break
        rate = min(2 * rate, high) if outside == math.inf else max(rate / 2, low)
    while outside / inside > within:
        rate = math.sqrt(inside * outside)
        if holds(rate):
            inside = rate
        else:
            outside = rate
    return inside, passes


@dataclass(frozen=True, repr=False)
class ShortRuns(Found):
    """The record of `short_runs`.

    Attributes
    ----------
    rates : array of float, shape (n,)
    loss : array of float, shape (n, steps)
        The loss of each batch before its update; NaN after a run blew up.
    end : array of float, shape (n,)
        What is compared: the loss of the validation batches after the last update or, without
        them, the mean of the last fifth of ``loss``; infinite for a run that blew up.
    gone : int
        Batches taken from an iterator that cannot be put back.

    Examples
    --------
    >>> ShortRuns(np.array([0.1, 1.0, 10.0]), np.ones((3, 4)), end=np.array([2.0, 1.0, np.inf]))
    ShortRuns, 3 rates
    short runs  1, the lowest end of 3 runs of 4 updates
    """

    rates: Floats
    loss: Floats
    end: Floats
    gone: int = 0

    def suggestions(self) -> dict[str, Suggestion]:
        """Return the rate whose run ended lowest.

        Returns
        -------
        dict from str to Suggestion
            "short runs".
        """
        rule, k = "short runs", int(self.end.argmin())
        if not np.isfinite(self.end[k]):
            return {rule: Suggestion(rule, None, "every run blew up")}
        why = f"the lowest end of {len(self.rates)} runs of {self.loss.shape[1]} updates"
        if k in (0, len(self.rates) - 1):
            why += ", at the edge of the rates: widen them"
        return {rule: Suggestion(rule, float(self.rates[k]), why)}

    def __repr__(self) -> str:
        lines = {rule: str(one) for rule, one in self.suggestions().items()}
        if self.gone:
            lines["taken"] = f"{self.gone} batches from an iterator that cannot be put back"
        return f"ShortRuns, {len(self.rates)} rates\n{described(lines)}"


def short_runs(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    batches: Iterable[Any],
    *,
    steps: int,
    rates: Iterable[float] | None = None,
    val_batches: Iterable[Any] | None = None,
    takes_model: bool = False,
    progress: bool | None = None,
) -> ShortRuns:
    """Train for a part of the budget at each of a few rates, always from the same start.

    All runs see the same batches and the same random draws.  With `steps` a tenth of the updates
    that the training itself will make, ten rates cost as much as one training.

    Everything is given back as in `range_test`.

    Parameters
    ----------
    model, optimizer, loss, batches, takes_model, progress
        As in `range_test`.
    steps : int
        Updates of each run.
    rates : iterable of float, optional
        Without it, 1, 2 and 5 times each power of ten from 0.0001 to 5.
    val_batches : iterable, optional
        Evaluated at the end of each run; without them the training losses are compared.

    Returns
    -------
    ShortRuns

    Raises
    ------
    ValueError, TypeError, KeyboardInterrupt
        As `range_test`; Ctrl-C is passed on.

    Examples
    --------
    >>> from lrcourse.data import line
    >>> from lrcourse.models import linear
    >>> data, model = line(), linear(zero=True)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> batches, loss = [(data.x_train, data.y_train)], nn.functional.mse_loss
    >>> short_runs(model, optimizer, loss, batches, steps=20, rates=[0.001, 0.01, 0.1])
    ShortRuns, 3 rates
    short runs  0.01, the lowest end of 3 runs of 20 updates
    """
    check_parts(model, optimizer, loss, takes_model)
    count("steps", steps, low=1)
    if rates is None:
        rates = round_rates(1e-4, 5, 3)
    tried = np.array([number("rates", lr, low=0, open_low=True) for lr in rates])
    if not len(tried):
        raise ValueError("rates must hold at least one rate, was empty")
    losses, end, gone = np.full((len(tried), steps), np.nan), np.full(len(tried), np.inf), 0
    source: Any = batches
    bar = progress_bar(len(tried) * steps, "short runs", progress)
    with bar, lent(model, optimizer, loss, takes_model, batches, val_batches) as outer:
        held = all_of(val_batches, outer)
        feed = Feed("batches", batches, outer.device)
        if not feed.repeats:  # hold what can be had once only
            source = list(islice(feed, steps))
            gone = feed.gone
        for k, rate in enumerate(tried.tolist()):
            with lent(model, optimizer, loss, takes_model, source) as trial:
                losses[k], end[k] = _short(trial, source, rate, steps, held, bar.update)
    return ShortRuns(tried, losses, end, gone)


def _short(
    trial: Trial,
    source: Any,
    rate: float,
    steps: int,
    held: Sequence[Any] | None,
    tick: Callable[[], object],
) -> tuple[Floats, float]:
    """The losses of one run, and what it ends at."""
    losses, watch = np.full(steps, np.nan), Watch(20.0)
    feed, made = Feed("batches", source, trial.device), 0
    for t, batch in enumerate(islice(feed, steps)):
        losses[t], backward = trial.train_on(batch)
        if not t and not math.isfinite(losses[t]):
            raise ValueError(f"loss must be finite before the first update, was {losses[t]}")
        if watch.blown(losses[t]):
            return losses, math.inf
        backward()
        trial.step_at(rate)
        made = t + 1
        tick()
    if not made:
        raise ValueError("batches must hold at least one batch, was empty")
    if held is None:
        last = losses[:made][-max(1, made // 5) :]
        return losses, float(last.mean())
    value = trial.mean_loss(held)
    return losses, value if math.isfinite(value) else math.inf
