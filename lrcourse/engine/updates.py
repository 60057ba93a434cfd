"""The update rules of torch.optim over a stack, with hyperparameters of each run.

One small class a rule.  ``stacked_rule`` builds the rule that runs ask for; its ``step`` makes one
update of all runs in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrcourse.settings import Settings

Rates = NDArray[np.float64]


class Column:
    """A number for each run, shape (runs,), or one for each update and run, (steps, runs)."""

    def __init__(self, values: Any, like: Tensor) -> None:
        self.values = torch.tensor(np.asarray(values, np.float64)).to(like)
        self._shaped: dict[int, Tensor] = {}

    def over(self, weights: Tensor) -> Tensor:
        """Return the numbers in a shape that broadcasts over weights (runs, ...)."""
        if weights.ndim not in self._shaped:
            ones = [1] * (weights.ndim - 1)
            self._shaped[weights.ndim] = self.values.view(*self.values.shape, *ones)
        return self._shaped[weights.ndim]


class StackedRule:
    """What all rules share: the rate, L2 decay, clipping, and a state beside every weight.

    Parameters
    ----------
    runs : sequence of Settings
        Of one optimizer.
    rates, momenta : arrays (steps, runs)
        What schedules gave; NaN where there is no momentum.
    like : Tensor
        With the stack's dtype and device.
    """

    decay_is_l2: ClassVar[bool] = True
    default_eps: ClassVar[float] = 1e-8

    def __init__(
        self, runs: Sequence[Settings], rates: Rates, momenta: Rates, like: Tensor
    ) -> None:
        self.rate = Column(rates, like)
        self.decay = Column([r.weight_decay for r in runs], like)
        self.has_decay = any(r.weight_decay for r in runs)
        self.clip = Column([np.inf if r.clip is None else r.clip for r in runs], like)
        self.has_clip = any(r.clip is not None for r in runs)
        self.unclipped = self.clip.values.isinf()
        self.eps = Column([self.default_eps if r.eps is None else r.eps for r in runs], like)
        self.state: list[list[Tensor]] = []

    def slots(self) -> int:
        """Return how many tensors of state each tensor of weights has."""
        raise NotImplementedError

    def update(self, w: Tensor, g: Tensor, t: int, *state: Tensor) -> None:
        """Change one tensor of weights in place; its gradient is used up."""
        raise NotImplementedError

    def start(self, weights: Sequence[Tensor]) -> None:
        """Begin with a state of zeros."""
        self.state = [[torch.zeros_like(w) for _ in range(self.slots())] for w in weights]

    def step(self, weights: Sequence[Tensor], grads: Sequence[Tensor], t: int) -> None:
        """Make update t of all runs in place; the gradients are used up."""
        if not self.state:
            self.start(weights)
        if self.has_clip:
            self.shorten(grads)
        for w, g, state in zip(weights, grads, self.state, strict=True):
            if self.has_decay and self.decay_is_l2:
                g.addcmul_(w, self.decay.over(w))
            self.update(w, g, t, *state)

    def shorten(self, grads: Sequence[Tensor]) -> None:
        """Scale each run's whole gradient down to its largest norm."""
        squares = torch.stack([g.flatten(1).square().sum(1) for g in grads])
        factor = (self.clip.values / (squares.sum(0).sqrt() + 1e-6)).clamp_(max=1)
        factor.masked_fill_(self.unclipped, 1)  # also where the norm overflows
        for g in grads:
            g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))

    def silence(self, runs: Tensor) -> None:
        """Let the chosen runs, a mask (runs,), take no more steps."""
        self.rate.values[:, runs] = 0
        for state in self.state:
            for s in state:
                s[runs] = 0


class _WithMomentum(StackedRule):
    """A rule with a heavy-ball buffer where any run has momentum."""

    def __init__(
        self, runs: Sequence[Settings], rates: Rates, momenta: Rates, like: Tensor
    ) -> None:
        super().__init__(runs, rates, momenta, like)
        mu = np.where(np.isnan(momenta), [r.momentum for r in runs], momenta)
        self.momentum = Column(mu, like)
        self.has_momentum = bool((mu > 0).any())
        self.pauses = bool(((mu == 0).any(0) & (mu > 0).any(0)).any())

    def velocity(self, g: Tensor, buffer: Tensor, t: int) -> Tensor:
        """Return momentum * buffer + g, the new buffer; where momentum is 0 the buffer rests."""
        mu = self.momentum.over(g)[t]
        if not self.pauses:
            return torch.addcmul(g, buffer, mu, out=buffer)
        velocity = torch.addcmul(g, buffer, mu)
        buffer.copy_(torch.where(mu > 0, velocity, buffer))
        return velocity


class StackedSGD(_WithMomentum):
    """Plain, heavy-ball or Nesterov descent; the first buffer is the gradient itself."""

    def __init__(
        self, runs: Sequence[Settings], rates: Rates, momenta: Rates, like: Tensor
    ) -> None:
        super().__init__(runs, rates, momenta, like)
        self.nesterov = runs[0].nesterov

    def slots(self) -> int:
        """Return 1 with momentum: the buffer."""
        return int(self.has_momentum)

    def update(self, w: Tensor, g: Tensor, t: int, *state: Tensor) -> None:
        """Step down the velocity, or with Nesterov down gradient and coming velocity."""
        for buffer in state:
            velocity = self.velocity(g, buffer, t)
            g = g.addcmul_(velocity, self.momentum.over(w)[t]) if self.nesterov else velocity
        w.addcmul_(g, self.rate.over(w)[t], value=-1)


class StackedAdaGrad(StackedRule):
    """Divide by the root of the sum of all squares."""

    default_eps = 1e-10

    def slots(self) -> int:
        """Return 1: the sum of squares."""
        return 1

    def update(self, w: Tensor, g: Tensor, t: int, *state: Tensor) -> None:
        """Add the square, then step."""
        (total,) = state
        total.addcmul_(g, g)
        g.div_(total.sqrt().add_(self.eps.over(w)))
        w.addcmul_(g, self.rate.over(w)[t], value=-1)


class StackedRMSprop(_WithMomentum):
    """Divide by the root of the moving mean of squares."""

    def __init__(
        self, runs: Sequence[Settings], rates: Rates, momenta: Rates, like: Tensor
    ) -> None:
        super().__init__(runs, rates, momenta, like)
        self.alpha = Column([r.alpha for r in runs], like)
        self.one_less_alpha = Column([1 - r.alpha for r in runs], like)

    def slots(self) -> int:
        """Return 1, the mean of squares, and 1 more with momentum."""
        return 1 + self.has_momentum

    def update(self, w: Tensor, g: Tensor, t: int, *state: Tensor) -> None:
        """Move the mean, divide, then step, through the buffer where there is one."""
        mean, *buffers = state
        mean.mul_(self.alpha.over(w)).addcmul_(g * g, self.one_less_alpha.over(w))
        g.div_(mean.sqrt().add_(self.eps.over(w)))
        for buffer in buffers:
            g = self.velocity(g, buffer, t)
        w.addcmul_(g, self.rate.over(w)[t], value=-1)


class StackedAdam(StackedRule):
    r"""Divide the corrected mean by the root of the corrected mean square.

    With :math:`r_t = \sqrt{1 - \beta_2^t}`, the step :math:`\hat m / (\sqrt{v} / r_t + \epsilon)`
    is computed as :math:`r_t \hat m / (\sqrt{v} + r_t \epsilon)`: one pass over the weights less.
    """

    def __init__(
        self, runs: Sequence[Settings], rates: Rates, momenta: Rates, like: Tensor
    ) -> None:
        super().__init__(runs, rates, momenta, like)
        n = np.arange(1, len(rates) + 1)[:, None]
        beta1 = np.where(np.isnan(momenta), [r.betas[0] for r in runs], momenta)
        beta2 = np.array([r.betas[1] for r in runs])
        root = np.sqrt(1 - beta2**n)
        self.one_less_beta1 = Column(1 - beta1, like)
        self.beta2, self.one_less_beta2 = Column(beta2, like), Column(1 - beta2, like)
        self.size = Column(-rates * root / (1 - beta1**n), like)
        self.eps_root = Column(root, like)
        self.eps_root.values.mul_(self.eps.values)

    def slots(self) -> int:
        """Return 2: the means of gradient and square."""
        return 2

    def update(self, w: Tensor, g: Tensor, t: int, *state: Tensor) -> None:
        """Move both means, then step."""
        mean, square = state
        mean.lerp_(g, self.one_less_beta1.over(w)[t])
        square.mul_(self.beta2.over(w)).addcmul_(g.mul_(g), self.one_less_beta2.over(w))
        torch.sqrt(square, out=g).add_(self.eps_root.over(w)[t])
        w.addcmul_(torch.div(mean, g, out=g), self.size.over(w)[t])

    def silence(self, runs: Tensor) -> None:
        """Let the chosen runs take no more steps."""
        super().silence(runs)
        self.size.values[:, runs] = 0


class StackedAdamW(StackedAdam):
    """Adam whose decay shrinks the weights themselves, in proportion to the rate."""

    decay_is_l2 = False

    def __init__(
        self, runs: Sequence[Settings], rates: Rates, momenta: Rates, like: Tensor
    ) -> None:
        super().__init__(runs, rates, momenta, like)
        self.shrink = Column(1 - rates * [r.weight_decay for r in runs], like)

    def update(self, w: Tensor, g: Tensor, t: int, *state: Tensor) -> None:
        """Shrink, then step as Adam does."""
        if self.has_decay:
            w.mul_(self.shrink.over(w)[t])
        super().update(w, g, t, *state)


RULES: dict[str, type[StackedRule]] = {
    "sgd": StackedSGD,
    "adagrad": StackedAdaGrad,
    "rmsprop": StackedRMSprop,
    "adam": StackedAdam,
    "adamw": StackedAdamW,
}


def stacked_rule(
    runs: Sequence[Settings], rates: Rates, momenta: Rates, like: Tensor
) -> StackedRule:
    """Return the rule that the runs, all of one named optimizer, ask for."""
    return RULES[str(runs[0].optimizer)](runs, rates, momenta, like)
