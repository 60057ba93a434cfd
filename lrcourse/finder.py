"""Finding a learning rate before training: the range test.

``range_test`` trains for a short time at rising rates and reads the curve of losses.  It takes any
torch model, optimizer, loss and batches, gives everything back as it was, and returns a record
whose ``suggestions`` may also say that there is none, and why.  `lrcourse.probes` has two rivals in
the same interface.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from lrcourse._borrowed import Feed
from lrcourse._checks import choice, count, number
from lrcourse._curves import Fall, Watch, described, smoothed
from lrcourse.engine.trial import Loss, Trial, all_of, check_parts, lent, put, ratios_of
from lrcourse.training import progress_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RangeTest", "Suggestion", "put_rate", "range_test"]

Floats = NDArray[np.float64]

BLOWN = ("the loss blew up", "the loss is not finite")
READINGS = ("valley", "steepest", "minimum/10")
SMOOTHINGS = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08)


@dataclass(frozen=True)
class Suggestion:
    """A rate, or the reason why there is none.

    Attributes
    ----------
    rule : str
        How it was read.
    lr : float or None
    why : str
        In words, what the rate is or why there is none.

    Examples
    --------
    >>> float(Suggestion("valley", 0.1, "half-way down"))
    0.1
    >>> float(Suggestion("valley", None, "the loss does not fall"))
    Traceback (most recent call last):
        ...
    ValueError: valley suggests no rate: the loss does not fall
    """

    rule: str
    lr: float | None
    why: str

    def __float__(self) -> float:
        if self.lr is None:
            raise ValueError(f"{self.rule} suggests no rate: {self.why}")
        return self.lr

    def __str__(self) -> str:
        return f"{self.why}" if self.lr is None else f"{self.lr:.2g}, {self.why}"


def put_rate(optimizer: Optimizer, lr: float) -> None:
    """Give the parameter group with the highest rate this one; the others keep their ratio to it.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    lr : float
        Where all groups are at 0, all take it.

    Examples
    --------
    >>> import torch
    >>> a, b = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    >>> optimizer = torch.optim.SGD([{"params": [a], "lr": 0.4}, {"params": [b], "lr": 0.1}], lr=1)
    >>> put_rate(optimizer, 1.0)
    >>> [group["lr"] for group in optimizer.param_groups]
    [1.0, 0.25]
    """
    put(optimizer, number("lr", lr, low=0), ratios_of(optimizer))


def _rates(low: Any, high: Any, steps: Any, spacing: Any) -> Floats:
    choice("spacing", spacing, ["log", "linear"])
    low = number("low", low, low=0, open_low=spacing == "log")
    high = number("high", high, low=0, open_low=True)
    if not low < high:
        raise ValueError(f"low must be below high, were {low:g} and {high:g}")
    made = (np.geomspace if spacing == "log" else np.linspace)(
        low, high, count("steps", steps, low=2)
    )
    made[0], made[-1] = low, high
    return np.asarray(made, dtype=float)


class Found:
    """What the records of all finders share: ``suggestions``, and one of them."""

    suggestions: Callable[..., dict[str, Suggestion]]

    def suggest(self, rule: str | None = None, **options: Any) -> Suggestion:
        """Return one suggestion; that of the first rule if none is named.

        Parameters
        ----------
        rule : str, optional
        **options
            Those of ``suggestions``.

        Returns
        -------
        Suggestion
        """
        every = self.suggestions(**options)
        return every[next(iter(every)) if rule is None else choice("rule", rule, every)]


@dataclass(frozen=True, repr=False)
class RangeTest(Found):
    r"""The record of a range test.

    Attributes
    ----------
    lr : array of float, shape (n,)
        The rate of each update that was made, of the group with the highest.
    loss : array of float, shape (n,)
        The loss of the next batch after each update, so the loss that this rate led to.
    val_loss : array of float, shape (n,), or None
        The mean loss of the validation batches after each update.
    first_loss : float
        The loss of the first batch, before any update.
    rates : array of float, shape (steps,)
        All rates that were planned.
    stopped : str
        Why the test ended before the last rate, empty if it did not.
    smoothing : float
        Width of the smoothing as a share of `rates`.
    ratios : tuple of float
        The rate of each parameter group, as a share of the highest.
    gone : int
        Batches taken from an iterator that cannot be put back.
    one_batch : bool
        Whether every update saw the same batch, so that the noise of batches is not in the curve.

    Examples
    --------
    >>> rates = np.geomspace(1e-4, 10, 60)
    >>> losses = 2 - 1 / (1 + (0.01 / rates) ** 2) + rates**2
    >>> RangeTest(rates, losses, None, 2.0, rates, stopped="the loss blew up")
    RangeTest, 60 updates from 0.0001 to 10, stopped at 10: the loss blew up
    valley      0.024, where four fifths of the fall are done
    steepest    0.011, where the loss falls fastest per log rate
    minimum/10  0.0092, a tenth of the rate at which the loss is lowest
    """

    lr: Floats
    loss: Floats
    val_loss: Floats | None
    first_loss: float
    rates: Floats
    stopped: str = ""
    smoothing: float = 0.02
    ratios: tuple[float, ...] = (1.0,)
    gone: int = 0
    one_batch: bool = False

    @property
    def curve(self) -> Floats:
        """Losses that suggestions are read from, those of validation batches if there are any."""
        return self.loss if self.val_loss is None else self.val_loss

    def smoothed(self, smoothing: float | None = None) -> Floats:
        """Return the smoothed curve, NaN where a loss was not finite.

        Parameters
        ----------
        smoothing : float, optional
            Width as a share of all planned rates; 0 for none.  A straight line is fitted around
            each place, so that constants and lines stay what they are.

        Returns
        -------
        array of float, shape (n,)

        Examples
        --------
        >>> rates = np.geomspace(1e-3, 1, 30)
        >>> found = RangeTest(rates, np.full(30, 0.7), None, 0.7, rates)
        >>> bool(np.allclose(found.smoothed(0.1), 0.7))
        True
        """
        fine = np.isfinite(self.curve)
        level = np.full(len(fine), np.nan)
        if fine.any():
            level[fine] = smoothed(self.curve[fine], self._width(smoothing))[0]
        return level

    def _width(self, smoothing: float | None) -> float:
        share = self.smoothing if smoothing is None else number("smoothing", smoothing, low=0)
        return share * len(self.rates)

    def suggestions(self, smoothing: float | None = None) -> dict[str, Suggestion]:
        """Return what each rule reads from the smoothed curve.

        Parameters
        ----------
        smoothing : float, optional
            As in `smoothed`.

        Returns
        -------
        dict from str to Suggestion
            "valley", where four fifths of the fall are done; "steepest", where the loss falls
            fastest per log rate; "minimum/10", a tenth of the rate at which it is lowest.
        """
        fall = Fall(self.lr, self.curve, self._width(smoothing), self.stopped not in BLOWN)
        if fall.trouble:
            return {rule: Suggestion(rule, None, fall.trouble) for rule in READINGS}
        at = {
            "valley": (fall.rates[fall.valley], "where four fifths of the fall are done"),
            "steepest": (fall.rates[fall.steepest], "where the loss falls fastest per log rate"),
            "minimum/10": (
                fall.rates[fall.bottom] / 10,
                "a tenth of the rate at which the loss is lowest",
            ),
        }
        return {rule: Suggestion(rule, float(lr), why) for rule, (lr, why) in at.items()}

    def to_dataset(self, smoothings: Sequence[float] = SMOOTHINGS) -> xr.Dataset:
        """Return the curve and what is read from it as a labelled data set.

        Parameters
        ----------
        smoothings : sequence of float
            Those to read it with.

        Returns
        -------
        xarray.Dataset
            ``loss`` over ``lr``; ``smoothed`` over ``smoothing`` and ``lr``; over ``smoothing`` a
            rate for each rule, NaN for none, and ``says``, what they suggest in words.
        """
        read = [self.suggestions(s) for s in smoothings]
        made: dict[str, Any] = {
            "loss": ("lr", self.curve),
            "smoothed": (("smoothing", "lr"), [self.smoothed(s) for s in smoothings]),
        }
        for rule in READINGS:
            rates = [np.nan if one[rule].lr is None else one[rule].lr for one in read]
            made[rule] = "smoothing", np.array(rates, dtype=float)
        says = [
            "; ".join(f"{s.rule} {s.lr:.2g}" for s in one.values() if s.lr) or one["valley"].why
            for one in read
        ]
        texts = [f"{text[0].upper()}{text[1:]}." for text in says]
        made["says"] = "smoothing", np.array(texts, dtype=object)
        found = xr.Dataset(made, {"lr": self.lr, "smoothing": list(map(float, smoothings))})
        names = {"lr": "learning rate", "smoothing": "smoothing", "loss": "loss of a batch"}
        for name, words in names.items():
            found[name].attrs["long_name"] = words
        return found

    def for_explore(self) -> dict[str, Any]:
        """Return the arguments that show the test with its smoothing as a control.

        Returns
        -------
        dict
            For ``explore(**found.for_explore())``.
        """
        shown = self.curve[np.isfinite(self.curve)]
        top = max(self.first_loss, float(np.quantile(shown, 0.9))) if len(shown) else 1.0
        low = float(shown.min()) if len(shown) else 0.0
        log = self.lr[0] > 0 and len(self.lr) > 1
        room = 0.1 * (top - low) or 1.0
        return {
            "ds": self.to_dataset(),
            "y": ["loss", "smoothed"],
            "x": "lr",
            "log": "x" if log else "",
            "ylabel": "loss",
            "ylim": (low - room, top + 3 * room),
            "vlines": {rule: rule for rule in READINGS},
            "says": "says",
            "title": "A range test",
            "caption": f"{len(self.lr)} updates at rising rates. Dashed: the smoothed curve.",
            "start": {"smoothing": self.smoothing},
        }

    def plot(self, ax: Axes | None = None, smoothing: float | None = None) -> Axes:
        """Draw the losses, the smoothed curve and the suggested rates.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; a new figure if not given.
        smoothing : float, optional
            As in `smoothed`.

        Returns
        -------
        matplotlib Axes
        """
        from lrcourse.plots import MUTED, PALETTE, style

        if ax is None:
            import matplotlib.pyplot as plt

            with style():
                ax = plt.figure().subplots()
        level = self.smoothed(smoothing)
        ax.plot(self.lr, self.curve, color=PALETTE[0], alpha=0.4, lw=0.9, label="loss")
        ax.plot(self.lr, level, color=PALETTE[0], label="smoothed")
        if self.lr[0] > 0:
            ax.set_xscale("log")
        fine = level[np.isfinite(level)]
        if len(fine):
            top = max(self.first_loss, float(np.quantile(fine, 0.9)))
            room = 0.1 * (top - fine.min()) or 1.0
            ax.set_ylim(fine.min() - room, top + 3 * room)
        for color, one in zip(PALETTE[1:], self.suggestions(smoothing).values(), strict=False):
            if one.lr is not None:
                ax.axvline(one.lr, color=color, lw=1, ls=":", label=f"{one.rule} {one.lr:.2g}")
        ax.set(xlabel="learning rate", ylabel="loss")
        ax.legend(fontsize="small", labelcolor=MUTED)
        return ax

    def __repr__(self) -> str:
        ends = f"{self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        why = f", stopped at {self.lr[-1]:.2g}: {self.stopped}" if self.stopped else ""
        notes = {}
        if self.one_batch:
            notes["note"] = "every update saw the same batch: its noise is not in this curve"
        if self.gone:
            notes["taken"] = f"{self.gone} batches from an iterator that cannot be put back"
        lines = {rule: str(one) for rule, one in self.suggestions().items()}
        return f"RangeTest, {len(self.lr)} updates from {ends}{why}\n{described(lines | notes)}"


def range_test(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    batches: Iterable[Any],
    *,
    low: float = 1e-6,
    high: float = 1e4,
    steps: int = 200,
    spacing: str = "log",
    val_batches: Iterable[Any] | None = None,
    takes_model: bool = False,
    stop: float | None = 2.0,
    smoothing: float = 0.02,
    progress: bool | None = None,
) -> RangeTest:
    r"""Train for a short time at rising rates, and record the loss that each rate led to.

    Update i uses the rate :math:`\mathrm{low}\,(\mathrm{high}/\mathrm{low})^{i/(\mathrm{steps}-1)}`
    and its loss is that of the next batch.  The test ends early where the loss is no longer finite
    or has risen from its lowest running mean by `stop` times what it had fallen.

    A rate that is suggested depends on the test: more updates suggest a lower one, and the default
    number suits trainings of some hundreds to thousands of updates.

    Everything is given back as it was, also after an error or Ctrl-C: weights, buffers, gradients,
    modes and hooks of the model, the optimizer's state and groups, the generators of torch, NumPy,
    Python and of a ``DataLoader``, and the place of an iterator where it can be put back.

    Parameters
    ----------
    model : torch.nn.Module
        It is tested in training mode; parts of a model that are in evaluation mode stay in it if
        the model itself is in training mode.
    optimizer : torch.optim.Optimizer
        Parameter groups keep the ratios of their rates.  Hooks of its steps do not run.
    loss : callable
        Called as ``loss(model(x), y)``; returns a tensor of one number.
    batches : iterable
        Pairs ``(x, y)``, such as a ``DataLoader`` or a list.  It begins again when it runs out,
        unless it is an iterator.  Tensors are moved to the model's device.
    low, high : float
        The first and the last rate, of the group with the highest; both are reached exactly.  The
        range may be wide, since the test stops by itself.
    steps : int
        Updates.
    spacing : {"log", "linear"}
    val_batches : iterable, optional
        Evaluated after each update, in evaluation mode; suggestions are then read from their loss.
    takes_model : bool
        Call ``loss(model, batch)`` instead, for batches that are no pairs.
    stop : float, optional
        None to go on until the loss is no longer finite.
    smoothing : float
        Width of the smoothing as a share of all rates, see `RangeTest.smoothed`.
    progress : bool, optional
        Show a bar; None decides by where it runs.

    Returns
    -------
    RangeTest
        After Ctrl-C with a warning, and with what was there.

    Raises
    ------
    ValueError, TypeError
        A model or an optimizer that cannot be tested, a range that is none, no batch, a loss that
        is no real number.  Errors of the model or the loss are passed on.

    References
    ----------
    Smith, 2017, Cyclical learning rates for training neural networks, section 3.3.

    Examples
    --------
    >>> import torch
    >>> from lrcourse.data import digits
    >>> from lrcourse.models import mlp
    >>> from lrcourse.randomness import seeded
    >>> data, model = digits(), seeded(mlp, 0)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> batches = list(zip(data.x_train.split(64), data.y_train.split(64)))
    >>> found = range_test(model, optimizer, torch.nn.functional.cross_entropy, batches)
    >>> 0.01 < float(found.suggest("valley")) < 1
    True
    >>> optimizer.param_groups[0]["lr"]
    0.1
    """
    check_parts(model, optimizer, loss, takes_model)
    rates = _rates(low, high, steps, spacing)
    number("smoothing", smoothing, low=0)
    watch = Watch(None if stop is None else number("stop", stop, low=0, open_low=True))
    losses, val_losses, stopped = list[float](), list[float](), ""
    first_loss = math.nan
    feed = None
    with (
        lent(model, optimizer, loss, takes_model, batches, val_batches) as trial,
        progress_bar(len(rates), "range test", progress) as bar,
    ):
        held = all_of(val_batches, trial)
        feed = Feed("batches", batches, trial.device)
        try:
            first_loss, backward = _first(feed, trial)
            for rate in rates.tolist():
                backward()
                trial.step_at(rate)
                batch = next(feed, None)
                if batch is None:
                    stopped = "the batches ran out"
                    break
                value, backward = trial.train_on(batch)
                losses.append(value)
                if held is not None:
                    val_losses.append(value := trial.mean_loss(held))
                bar.update()
                if watch.blown(value):
                    stopped = BLOWN[not math.isfinite(value)]
                    break
        except KeyboardInterrupt:
            stopped = "interrupted"
            warnings.warn(f"interrupted after {len(losses)} of {len(rates)} rates", stacklevel=2)
    n = len(losses) if held is None else len(val_losses)
    return RangeTest(
        rates[:n],
        np.array(losses[:n]),
        None if held is None else np.array(val_losses),
        first_loss,
        rates,
        stopped,
        smoothing,
        tuple(trial.ratios),
        feed.gone,
        feed.length == 1,
    )


def _first(feed: Feed, trial: Trial) -> tuple[float, Callable[[], None]]:
    batch = next(feed, None)
    if batch is None:
        raise ValueError("batches must hold at least one batch, was empty")
    value, backward = trial.train_on(batch)
    if not math.isfinite(value):
        raise ValueError(f"loss must be finite before the first update, was {value}")
    return value, backward
