"""Many small models trained as one computation, with an optimizer that knows every run.

``train`` runs a stack (see ``stacks``) through its updates.  ``Rule`` makes the updates of
torch.optim on it, while every run keeps its own rate, momentum, decay and clipping.  Whoever wants
one labelled result for a whole grid uses ``lrcourse.sweeps``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrcourse.engine.stacks import Stack
from lrcourse.randomness import batches
from lrcourse.schedules import Schedule
from lrcourse.settings import DIVERGED, Settings

CHECK_EVERY = 16
EVAL_ROWS = 256


class Rule:
    """The update of torch.optim's optimizers over a stack, with hyperparameters of each run.

    Parameters
    ----------
    runs : settings of the runs, of one optimizer
    rates, momenta : arrays (steps, runs) that schedules gave; NaN where there is no momentum
    like : a tensor with the stack's dtype and device
    """

    def __init__(
        self,
        runs: Sequence[Settings],
        rates: NDArray[np.float64],
        momenta: NDArray[np.float64],
        like: Tensor,
    ) -> None:
        def column(values: Any) -> Tensor:
            """A value per run, shaped (..., runs)."""
            return torch.tensor(np.asarray(values, np.float64)).to(like)

        first, n = runs[0], np.arange(1, len(rates) + 1)[:, None]
        self.name, self.nesterov = str(first.optimizer), first.nesterov
        eps = {"adagrad": 1e-10}.get(self.name, 1e-8)
        own = [r.betas[0] if self.name.startswith("adam") else r.momentum for r in runs]
        beta1 = np.where(np.isnan(momenta), own, momenta)
        beta2 = np.array([r.betas[1] for r in runs])
        self.rates, self.decay = column(rates), column([r.weight_decay for r in runs])
        self.eps = column([eps if r.eps is None else r.eps for r in runs])
        self.clip = column([np.inf if r.clip is None else r.clip for r in runs])
        self.momentum = column(beta1)
        self.has_momentum = bool((beta1 > 0).any())
        self.pauses = bool(((beta1 == 0).any(0) & (beta1 > 0).any(0)).any())
        self.has_decay = any(r.weight_decay for r in runs)
        self.has_clip = any(r.clip is not None for r in runs)
        self.unclipped = self.clip.isinf()
        self.alpha = column([r.alpha for r in runs])
        self.one_less_alpha = column([1 - r.alpha for r in runs])
        if self.name.startswith("adam"):
            root = np.sqrt(1 - beta2**n)
            self.one_less_momentum = column(1 - beta1)
            self.beta2, self.one_less_beta2 = column(beta2), column(1 - beta2)
            self.shrink = column(1 - rates * [r.weight_decay for r in runs])
            self.size = column(-rates * root / (1 - beta1**n))
            self.eps_root = column(root) * self.eps
        self.state: list[list[Tensor]] = []
        self._shaped: dict[tuple[str, int], Tensor] = {}

    def of(self, name: str, like: Tensor) -> Tensor:
        """Return values (..., runs) in a shape that broadcasts over weights (runs, ...)."""
        key = name, like.ndim
        if key not in self._shaped:
            values = getattr(self, name)
            self._shaped[key] = values.view(*values.shape, *[1] * (like.ndim - 1))
        return self._shaped[key]

    def step(self, weights: Sequence[Tensor], grads: Sequence[Tensor], t: int) -> None:
        """Make update t in place; the gradients are used up."""
        if not self.state:
            self.state = [[torch.zeros_like(w) for _ in range(self.slots)] for w in weights]
        if self.has_clip:
            squares = torch.stack([g.flatten(1).square().sum(1) for g in grads])
            factor = (self.clip / (squares.sum(0).sqrt() + 1e-6)).clamp_(max=1)
            factor.masked_fill_(self.unclipped, 1)  # also where the norm overflows
            for g in grads:
                g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))
        for w, g, state in zip(weights, grads, self.state, strict=True):
            if self.has_decay and self.name != "adamw":
                g.addcmul_(w, self.of("decay", w))
            getattr(self, "adam" if self.name == "adamw" else self.name)(w, g, t, *state)

    @property
    def slots(self) -> int:
        """Tensors of state for each tensor of weights."""
        return {"sgd": 0, "adagrad": 1, "rmsprop": 1}.get(self.name, 2) + (
            self.has_momentum and self.name in ("sgd", "rmsprop")
        )

    def sgd(self, w: Tensor, g: Tensor, t: int, buffer: Tensor | None = None) -> None:
        """Plain or heavy-ball descent; the first buffer is the gradient itself."""
        if buffer is not None:
            velocity, mu = self.velocity(g, buffer, w, t)
            g = g.addcmul_(velocity, mu) if self.nesterov else velocity
        w.addcmul_(g, self.of("rates", w)[t], value=-1)

    def velocity(self, g: Tensor, buffer: Tensor, w: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Return momentum * buffer + g and the momentum; where that is 0 the buffer rests."""
        mu = self.of("momentum", w)[t]
        if not self.pauses:
            return torch.addcmul(g, buffer, mu, out=buffer), mu
        velocity = torch.addcmul(g, buffer, mu)
        buffer.copy_(torch.where(mu > 0, velocity, buffer))
        return velocity, mu

    def adagrad(self, w: Tensor, g: Tensor, t: int, total: Tensor) -> None:
        """Divide by the root of the sum of all squares."""
        total.addcmul_(g, g)
        g.div_(total.sqrt().add_(self.of("eps", w)))
        w.addcmul_(g, self.of("rates", w)[t], value=-1)

    def rmsprop(
        self, w: Tensor, g: Tensor, t: int, mean: Tensor, buffer: Tensor | None = None
    ) -> None:
        """Divide by the root of the moving mean of squares."""
        mean.mul_(self.of("alpha", w)).addcmul_(g * g, self.of("one_less_alpha", w))
        g.div_(mean.sqrt().add_(self.of("eps", w)))
        if buffer is not None:
            g, _ = self.velocity(g, buffer, w, t)
        w.addcmul_(g, self.of("rates", w)[t], value=-1)

    def adam(self, w: Tensor, g: Tensor, t: int, mean: Tensor, square: Tensor) -> None:
        """Divide the corrected mean by the root of the corrected mean square.

        With v / (1 - beta2^t) = v / r^2, the step m / (sqrt(v) / r + eps) is computed as
        r m / (sqrt(v) + r eps).
        """
        if self.has_decay and self.name == "adamw":
            w.mul_(self.of("shrink", w)[t])
        mean.lerp_(g, self.of("one_less_momentum", w)[t])
        square.mul_(self.of("beta2", w)).addcmul_(g.mul_(g), self.of("one_less_beta2", w))
        torch.sqrt(square, out=g).add_(self.of("eps_root", w)[t])
        w.addcmul_(torch.div(mean, g, out=g), self.of("size", w)[t])

    def silence(self, runs: Tensor) -> None:
        """Let the chosen runs take no more steps."""
        for rates in (self.rates, *([self.size] if hasattr(self, "size") else [])):
            rates[:, runs] = 0
        for state in self.state:
            for s in state:
                s[runs] = 0


def train(
    stack: Stack,
    runs: Sequence[Settings],
    seeds: Sequence[int],
    advance: Callable[[int], Any] = lambda updates: None,
    *,
    measures: Any = None,
    checkpoint: Any = None,
) -> list[dict[str, Any]]:
    """Train a stack and return for each run what ``fit`` would record.

    The runs agree in steps, batch size, optimizer, nesterov and evaluations, and lie seed by seed
    in the order of `seeds`.  `advance` is called with the number of run-updates made since.
    """
    plan, data, w = runs[0], stack.data, stack.weights[0]
    steps, n = plan.steps, len(runs)
    every_t = np.arange(steps)
    rules = [r.rate for r in runs]
    rates = np.stack([rule(every_t) for rule in rules if isinstance(rule, Schedule)], 1)
    momenta = np.full((steps, n), np.nan)
    for i, rule in enumerate(rules):
        if isinstance(rule, Schedule) and (m := rule.momentum(every_t)) is not None:
            momenta[:, i] = m
    optimizer = Rule(runs, rates, momenta, w)
    order = None
    if plan.batch_size is not None:
        order = torch.empty(steps, len(seeds), plan.batch_size, dtype=torch.int32)
        for i, seed in enumerate(seeds):
            rows = batches(len(data.x_train), plan.batch_size, steps, seed)
            order[:, i] = torch.from_numpy(rows)
        order = order.to(w.device)
    losses = w.new_empty(steps, n)
    at = {u: i for i, u in enumerate(plan.eval_steps.tolist())}
    marks = w.new_empty(3, len(at), n, dtype=torch.float64)
    limit = torch.full((n,), torch.inf)
    dead = torch.zeros(n, dtype=torch.bool, device=w.device)
    with stack.guard():
        for t in range(steps):
            if t in at:
                marks[:, at[t]] = _evaluate(stack)
            losses[t], grads = stack.gradients(None if order is None else order[t])
            optimizer.step(stack.weights, grads, t)
            if t == 0:
                limit = (DIVERGED * losses[0].clamp(min=1)).clamp_(max=torch.finfo(w.dtype).max)
            if t % CHECK_EVERY == CHECK_EVERY - 1 or t == steps - 1:
                since = losses[t - t % CHECK_EVERY : t + 1]
                gone = (~(since <= limit)).any(0) & ~dead
                if gone.any():
                    _bury(stack, optimizer, gone)
                    dead |= gone
                advance(n * len(since))
        marks[:, at[steps]] = _evaluate(stack)
    return _records(losses, limit, marks, rates, plan.eval_steps)


def _bury(stack: Stack, optimizer: Rule, runs: Tensor) -> None:
    """Set diverged runs to zero: they stay finite, slow nothing down, and are masked later."""
    optimizer.silence(runs)
    for w in stack.weights:
        w[runs] = 0


def _records(
    losses: Tensor,
    limit: Tensor,
    marks: Tensor,
    rates: NDArray[np.float64],
    eval_steps: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """Find where each run diverged, and make everything after it NaN."""
    bad = (~(losses <= limit)).cpu().numpy()
    at = np.where(bad.any(0), bad.argmax(0), -1)
    end = np.where(at < 0, len(bad), at)
    loss = losses.T.double().cpu().numpy()
    step = np.arange(len(bad))
    loss[step > end[:, None]] = np.nan
    rate = np.where(step < end[:, None], rates.T, np.nan)
    late = (eval_steps > end[:, None]) | ((eval_steps == len(bad)) & (at >= 0)[:, None])
    values = [np.where(late, np.nan, m.T.cpu().numpy()) for m in marks]
    names = ("train_loss", "val_loss", "val_accuracy")
    columns = {"loss": loss, "used": rate, "diverged_at": at} | dict(
        zip(names, values, strict=True)
    )
    return [{name: column[i] for name, column in columns.items()} for i in range(len(at))]


def _evaluate(stack: Stack) -> Tensor:
    """Return training loss, validation loss and validation accuracy, (3, runs)."""
    data = stack.data
    train, _ = _mean_loss(stack, data.x_train, data.y_train)
    return torch.stack([train, *_mean_loss(stack, data.x_val, data.y_val)])


def _mean_loss(stack: Stack, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean loss and accuracy (runs,) over rows, a block of rows at a time."""
    loss, right = torch.zeros(2, stack.runs, dtype=torch.float64, device=x.device)
    for xs, ys in zip(torch.split(x, EVAL_ROWS), torch.split(y, EVAL_ROWS), strict=True):
        z = stack.outputs(xs)
        if stack.data.loss == "mse":
            loss += (z - ys.T).square().mean(1).sum(1)
        else:
            index = ys.expand(stack.runs, 1, -1)
            loss -= torch.log_softmax(z, 1).gather(1, index).sum((1, 2))
            # z.argmax(1) == ys, the first of equals, in passes that the processor vectorises.
            if loss.isnan().any():  # torch's argmax takes the first NaN
                nan = z.isnan()
                z = torch.where(nan.any(1, keepdim=True), nan.to(z), z)
            rank = torch.arange(z.shape[1], 0, -1, dtype=z.dtype, device=z.device)
            best = (z == z.amax(1, keepdim=True)).mul(rank[:, None]).amax(1)
            right += (best == rank[ys]).sum(1)
    return loss / len(x), right / len(x) if stack.data.loss != "mse" else right * torch.nan
