"""Reading a curve of losses over rising rates: smoothing without bias, rises, falls.

Nothing here knows how the curve was made.  Every reading is the same for a loss, for a positive
multiple of it, and for one to which a number was added.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EARLY = 5  # losses from which a level is taken
DONE = 0.8  # the share of a fall at which its valley begins


def smoothed(values: Array, width: float) -> tuple[Array, Array, Array]:
    r"""Return a smooth curve, its slope per place, and its error for a scatter of 1.

    At each place a straight line is fitted to the values around it, with weights
    :math:`e^{-d^2/2w^2}` at distance d.  So a constant stays a constant and a straight line a
    straight line, also at both ends; there is no lag.

    >>> line = np.arange(5.0)
    >>> level, slope, error = smoothed(3 + 2 * line, 1.5)
    >>> level.round(6).tolist(), slope.round(6).tolist()
    ([3.0, 5.0, 7.0, 9.0, 11.0], [2.0, 2.0, 2.0, 2.0, 2.0])
    """
    n = len(values)
    if width < 0.3 or n < 3:
        slope = np.gradient(values) if n > 1 else np.zeros(n)
        return values.copy(), slope, np.ones(n)
    reach = min(math.ceil(3.5 * width), n - 1)
    d = np.arange(-reach, reach + 1.0)
    kernel, ones = np.exp(-(d**2) / (2 * width**2)), np.ones(n)
    centre = values.mean()  # a small number beside a large one keeps its digits

    def around(weights: Array, of: Array) -> Array:
        whole: Array = np.convolve(of, weights[::-1])
        return whole[reach : reach + n]

    s0, s1, s2 = (around(kernel * d**k, ones) for k in range(3))
    t0, t1 = (around(kernel * d**k, values - centre) for k in range(2))
    area = s0 * s2 - s1**2
    level, slope = (s2 * t0 - s1 * t1) / area, (s0 * t1 - s1 * t0) / area
    q0, q1, q2 = (around(kernel**2 * d**k, ones) for k in range(3))
    error = np.sqrt(s2**2 * q0 - 2 * s1 * s2 * q1 + s1**2 * q2) / area
    return centre + level, slope, error


def scatter(values: Array) -> float:
    """Return the deviation of values around a smooth curve, from how neighbours differ.

    >>> scatter(np.full(9, 2.5))
    0.0
    >>> noise = np.random.default_rng(0).standard_normal(1000)
    >>> 0.9 < scatter(noise + np.linspace(0, 50, 1000)) < 1.1
    True
    """
    if len(values) < 2:
        return 0.0
    return float(np.median(np.abs(np.diff(values))) / (0.6745 * math.sqrt(2)))


class Watch:
    """Says while losses come in whether they have blown up, on a scale that they set themselves.

    The scale is what the running mean of the losses has fallen so far, or four times their scatter
    where that is more; a rise above the lowest mean by `factor` times the scale is a blow-up, and
    so is a loss that is not finite.  Negative and tiny losses are like any others.

    >>> watch = Watch(2.0)
    >>> [watch.blown(loss) for loss in (1.0, float("nan"))]
    [False, True]
    >>> watch = Watch(2.0)
    >>> falling, rising = np.linspace(-5, -6, 20), np.linspace(-6, 0, 20)
    >>> [bool(loss > -5) for loss in (*falling, *rising) if watch.blown(loss)][0]
    True
    """

    def __init__(self, factor: float | None, memory: float = 0.8) -> None:
        self.factor, self.memory = factor, memory
        self._n, self._sum, self._weight = 0, 0.0, 0.0
        self._before = self._start = self._best = math.nan
        self._step = 0.0  # mean distance of neighbours, each counted as three means at most

    def blown(self, loss: float) -> bool:
        """Take note of a loss and say whether it is a blow-up."""
        if not math.isfinite(loss):
            return True
        if self.factor is None:
            return False
        self._n += 1
        self._sum = self.memory * self._sum + (1 - self.memory) * loss
        self._weight = self.memory * self._weight + 1 - self.memory
        mean = self._sum / self._weight
        if self._n <= EARLY:
            self._start = self._best = mean
        self._best = min(self._best, mean)
        if self._n > 1:
            step = abs(loss - self._before)
            if self._n > EARLY:
                step = min(step, 3 * self._step)
            self._step += (step - self._step) / (self._n - 1)
        self._before = loss
        scale = max(self._start - self._best, 4 * 0.886 * self._step)
        rounding = 1e-6 * abs(self._best)
        return self._n > 2 * EARLY and mean - self._best > self.factor * scale + rounding


class Fall:
    """Where a curve over rising rates falls, and whether it does.

    The readings are of the smoothed curve up to its lowest place; ``trouble`` says in words why
    nothing can be read, and is empty where all is well.

    >>> rates = np.geomspace(1e-4, 1, 41)
    >>> losses = 2 - np.exp(-(np.log10(rates / 0.01) ** 2)) + (rates > 0.1) * 5
    >>> fall = Fall(rates, losses, width=1.0, more_to_come=False)
    >>> fall.trouble, [float(f"{rates[i]:.2g}") for i in (fall.steepest, fall.valley, fall.bottom)]
    ('', [0.002, 0.004, 0.01])
    """

    LEAST = 10  # places that a reading needs

    def __init__(self, rates: Array, losses: Array, width: float, more_to_come: bool) -> None:
        fine = np.isfinite(losses)
        rates, losses = rates[fine], losses[fine]
        self.rates, self.trouble = rates, ""
        self.steepest = self.bottom = self.valley = 0
        n = len(losses)
        if n < self.LEAST:
            self.trouble = f"it has {n} finite losses, and {self.LEAST} are needed"
            return
        top = losses[:EARLY].mean()
        capped = np.minimum(losses, top + max(top - losses.min(), 0.0))
        level, slope, error = smoothed(capped, width)
        first = level[: max(EARLY, n // 10)].mean()
        self.bottom = int(level.argmin())
        down = slice(0, self.bottom + 1)
        noise = scatter(losses[: self.bottom + 1]) if self.bottom > 1 else scatter(losses)
        doubt = 4 * noise * float(error[self.bottom]) + 1e-6 * abs(first)
        if not first - level[self.bottom] > doubt:
            self.trouble = "the loss does not fall by more than it scatters"
            return
        if more_to_come and level[-1] - level[self.bottom] <= doubt:
            self.trouble = f"the loss has not risen at the last rate, {rates[-1]:.2g}: go higher"
            return
        place = np.log(rates) if (rates > 0).all() else np.arange(n, dtype=float)
        steep = slope / np.gradient(place)
        self.steepest = int(steep[down].argmin())
        if not self.steepest:
            self.trouble = f"the loss falls from the lowest rate on, {rates[0]:.2g}: start lower"
            return
        under = level[down] <= first - DONE * (first - level[self.bottom])
        self.valley = int(np.flatnonzero(~under).max(initial=-1)) + 1


def described(values: dict[str, Any]) -> str:
    """Return names and texts as lines with one margin.

    >>> print(described({"a": "x", "bcd": "y"}))
    a    x
    bcd  y
    """
    width = max(map(len, values), default=0)
    return "\n".join(f"{name:{width}}  {text}" for name, text in values.items())
