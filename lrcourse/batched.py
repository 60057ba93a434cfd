"""Many small models trained as one computation.

A small network spends most of its training time on the way from Python to the processor.  Here the
weights of many runs lie in one tensor with a leading run axis, so that a layer of all runs is one
matrix product, and every run keeps its own rate, momentum, decay and clipping.  Runs of one seed
see the same batches, so their first layer is a single product with one shared input.

Two stacks share one interface.  ``Perceptrons`` knows plain multi-layer perceptrons and writes
their gradient out by hand; ``Mapped`` leaves other models to ``torch.func.vmap``.  ``train`` runs
either of them.  Whoever wants one labelled result for a whole grid uses ``lrcourse.sweeps``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lrcourse.data import Data
from lrcourse.schedules import Schedule
from lrcourse.training import DIVERGED, Settings, batches

CHECK_EVERY = 16
EVAL_ROWS = 256

aten = torch.ops.aten


class Unbatchable(ValueError):
    """A model, or a setting, that cannot be trained as one of a stack; says why."""


def _rows_times(weights: Tensor, x: Tensor) -> Tensor:
    """Return weights @ x.T for a tall matrix of weights, (m, k) and (n, k) to (m, n).

    oneDNN is about twice as fast as torch.mm on processors that MKL does not favour.
    """
    if weights.dtype == torch.float32 and weights.device.type == "cpu" and _ONEDNN:
        return _ONEDNN(weights, x, None, "none", [], "")
    return weights @ x.T


def _find_onednn() -> Callable[..., Tensor] | None:
    try:
        product = torch.ops.mkldnn._linear_pointwise.default
        product(torch.ones(2, 2), torch.ones(2, 2), None, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    return product


_ONEDNN = _find_onednn()


def _tanh(z: Tensor, out: Tensor) -> None:
    # 2 sigmoid(2z) - 1: equal up to rounding, and five times as fast where MKL's tanh is scalar.
    torch.sigmoid(z.mul_(2), out=out)
    out.mul_(2).sub_(1)


# name: (activation of z into out, gradient with respect to z from that of the output, in place)
ACTIVATIONS: dict[type[nn.Module], tuple[Callable[..., Any], Callable[[Tensor, Tensor], Any]]] = {
    nn.ReLU: (
        lambda z, out: torch.clamp_min(z, 0, out=out),
        lambda g, a: aten.threshold_backward.grad_input(g, a, 0, grad_input=g),
    ),
    nn.Tanh: (_tanh, lambda g, a: aten.tanh_backward.grad_input(g, a, grad_input=g)),
    nn.Sigmoid: (
        lambda z, out: torch.sigmoid(z, out=out),
        lambda g, a: aten.sigmoid_backward.grad_input(g, a, grad_input=g),
    ),
}


def _pick(values: Tensor, rows: Tensor | None) -> Tensor:
    """Return the batches (seeds, batch, ...), or all rows (1, n, ...) for every seed."""
    if rows is None:
        return values[None]
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])


class Perceptrons:
    r"""A stack of multi-layer perceptrons of one shape, with the gradient written out.

    Layer l of run c is :math:`A_l = \phi(W_l A_{l-1})`, the bias being a last column of W that
    meets a row of ones in A.  Batches stand last, so that every pass over an array is contiguous.

    Parameters
    ----------
    models : the runs' models, seed by seed: run c belongs to seed c // (runs / seeds)
    data, seeds : the data set, and how many seeds there are
    """

    def __init__(self, models: Sequence[nn.Module], data: Data, seeds: int) -> None:
        self.layers = [self.parse(model) for model in models]
        linears, self.phi = self.layers[0]
        self.runs, self.seeds, self.data = len(models), seeds, data
        with torch.no_grad():
            self.weights = [
                torch.stack(
                    [torch.column_stack([ls[i].weight, ls[i].bias]) for ls, _ in self.layers]
                )
                for i in range(len(linears))
            ]
        self.grads: list[Tensor] = [torch.empty_like(w) for w in self.weights]
        self._buffers: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self.x, self.y = self._inputs(data.x_train), self._targets(data.y_train)

    @staticmethod
    def parse(model: nn.Module) -> tuple[list[nn.Linear], list[type[nn.Module]]]:
        """Return the linear layers and the activations between them, or say why there are none."""
        parts = list(model) if isinstance(model, nn.Sequential) else [model]
        parts = [p for p in parts if type(p) not in (nn.Flatten, nn.Identity)]
        linears, phi = parts[::2], [type(p) for p in parts[1::2]]
        plain = all(type(p) is nn.Linear and p.bias is not None for p in linears)
        free = all(p.requires_grad for p in model.parameters())
        if not (plain and free and len(parts) % 2 and set(phi) <= set(ACTIVATIONS)):
            raise Unbatchable("the model is no plain stack of Linear layers and activations")
        return [p for p in linears if isinstance(p, nn.Linear)], phi

    def _inputs(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.column_stack([flat, flat.new_ones(len(flat), 1)])

    def _targets(self, y: Tensor) -> Tensor:
        if self.data.loss == "mse":
            return y
        return F.one_hot(y, self.weights[-1].shape[1]).to(self.weights[0])

    def _scratch(self, rows: int) -> list[tuple[Tensor, Tensor]]:
        """Return for each layer but the first its input with the row of ones, and its output."""
        if rows not in self._buffers:
            made = []
            for w in self.weights[1:]:
                a = w.new_ones(self.runs, w.shape[2], rows)
                made.append((a, w.new_empty(self.runs, w.shape[1], rows)))
            self._buffers[rows] = made
        return self._buffers[rows]

    def _forward(self, x: Tensor) -> Tensor:
        """Return outputs (runs, outputs, rows) of inputs (seeds or 1, rows, inputs + 1)."""
        w = self.weights[0]
        if len(x) == 1:
            z = _rows_times(w.flatten(0, 1), x[0])
        else:
            z = torch.bmm(w.view(len(x), -1, w.shape[2]), x.mT)
        z = z.view(self.runs, w.shape[1], -1)
        for phi, w, (a, out) in zip(
            self.phi, self.weights[1:], self._scratch(x.shape[1]), strict=True
        ):
            ACTIVATIONS[phi][0](z, out=a[:, :-1])
            z = torch.bmm(w, a, out=out)
        return z

    def gradients(self, rows: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the losses (runs,) and the gradients at the batches `rows` (seeds, batch)."""
        x, y = (_pick(v, rows) for v in (self.x, self.y))
        z = self._forward(x)
        t = y.mT.contiguous()  # (seeds or 1, outputs, rows)
        batch, per_seed = t.shape[2], (len(t), -1, *z.shape[1:])
        if self.data.loss == "mse":
            g = z.view(per_seed).sub(t[:, None]).view(z.shape)
            loss = g.square().mean((1, 2))
            g.mul_(2 / (batch * z.shape[1]))
        else:
            g = torch.log_softmax(z, 1)
            loss = torch.bmm(g.view(len(t), -1, t[0].numel()), t.view(len(t), -1, 1))
            loss = loss.view(-1).div(-batch)
            g.mul_(math.log2(math.e)).exp2_()  # exp, which MKL does a third as fast
            g.view(per_seed).sub_(t[:, None])
            g.mul_(1 / batch)
        layers = list(zip(self.phi, self.weights[1:], self._scratch(batch), strict=True))
        for i, (phi, w, (a, _)) in reversed(list(enumerate(layers, 1))):
            torch.bmm(g, a.mT, out=self.grads[i])
            g = torch.bmm(w[:, :, :-1].mT, g)
            ACTIVATIONS[phi][1](g, a[:, :-1])
        if len(x) == 1:
            first = _rows_times(g.flatten(0, 1), x[0].T)
        else:
            first = torch.bmm(g.view(len(x), -1, batch), x)
        self.grads[0] = first.view_as(self.weights[0])
        return loss, self.grads

    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs (runs, outputs, rows) of all runs at the same rows."""
        return self._forward(self._inputs(x)[None])


class Mapped:
    """A stack of any models that ``torch.func.vmap`` can follow, with the same interface."""

    def __init__(self, models: Sequence[nn.Module], data: Data, seeds: int) -> None:
        self.model, self.runs, self.seeds, self.data = models[0], len(models), seeds, data
        params, buffers = torch.func.stack_module_state(list(models))
        self.names = list(params)
        self.weights = [p.detach() for p in params.values()]
        self.buffers = {name: b.detach() for name, b in buffers.items()}
        self.model.train()

        def loss(
            params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor
        ) -> Any:
            # Batch norm writes to its buffers, which the gradient may not see: it gets a copy.
            buffers = {name: b.clone() for name, b in buffers.items()}
            outputs = torch.func.functional_call(self.model, (params, buffers), (x,))
            return data.loss_of(outputs, y), buffers

        gradient = torch.func.grad_and_value(loss, has_aux=True)
        over_runs = torch.func.vmap(gradient, (0, 0, None, None))
        self._gradient = torch.func.vmap(over_runs, (0, 0, 0, 0))

    def _by_seed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {n: t.view(self.seeds, -1, *t.shape[1:]) for n, t in tensors.items()}

    def gradients(self, rows: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the losses (runs,) and the gradients at the batches `rows` (seeds, batch)."""
        x, y = (_pick(v, rows) for v in (self.data.x_train, self.data.y_train))
        if rows is None:
            x, y = (v.expand(self.seeds, *v.shape[1:]) for v in (x, y))
        params = self._by_seed(dict(zip(self.names, self.weights, strict=True)))
        grads, (loss, buffers) = self._gradient(params, self._by_seed(self.buffers), x, y)
        self.buffers = {name: b.flatten(0, 1) for name, b in buffers.items()}
        return loss.flatten(), [grads[name].flatten(0, 1) for name in self.names]

    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs (runs, outputs, rows) of all runs at the same rows."""

        def call(params: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            result: Tensor = torch.func.functional_call(self.model, (params, buffers), (x,))
            return result

        self.model.eval()
        params = dict(zip(self.names, self.weights, strict=True))
        result: Tensor = torch.func.vmap(call)(params, self.buffers)
        self.model.train()
        return result.mT


Stack = Perceptrons | Mapped


def stack_for(model: nn.Module, data: Data) -> type[Stack]:
    """Return the kind of stack that can hold copies of `model`, or raise `Unbatchable`."""
    try:
        Perceptrons.parse(model)
        return Perceptrons
    except Unbatchable:
        pass
    for name, part in model.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            raise Unbatchable(f"{name} draws random numbers, which differ in a stack")
        if isinstance(part, nn.RNNBase | nn.RNNCellBase):
            raise Unbatchable(f"{name} is recurrent, which torch.func.vmap has no rule for")
    try:
        Mapped([model, model], data, 1).gradients(torch.arange(2)[None])
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise Unbatchable(f"torch.func.vmap cannot follow its forward: {reason}") from error
    return Mapped


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
            return torch.as_tensor(np.asarray(values, np.float64)).to(like)

        first, n = runs[0], np.arange(1, len(rates) + 1)[:, None]
        self.name, self.nesterov = str(first.optimizer), first.nesterov
        eps = {"adagrad": 1e-10}.get(self.name, 1e-8)
        own = [r.betas[0] if self.name.startswith("adam") else r.momentum for r in runs]
        beta1 = np.where(np.isnan(momenta), own, momenta)
        beta2 = np.array([r.betas[1] for r in runs])
        self.rates, self.decay = column(rates), column([r.weight_decay for r in runs])
        self.eps = column([eps if r.eps is None else r.eps for r in runs])
        self.clip = column([np.inf if r.clip is None else r.clip for r in runs])
        self.momentum, self.alpha = column(beta1), column([r.alpha for r in runs])
        self.has_momentum = bool((beta1 > 0).any())
        self.has_decay = any(r.weight_decay for r in runs)
        self.has_clip = any(r.clip is not None for r in runs)
        self.beta2, self.one_less_beta2 = column(beta2), column(1 - beta2)
        self.one_less_alpha = column([1 - r.alpha for r in runs])
        if self.name.startswith("adam"):
            self.one_less_momentum = column(1 - beta1)
            self.shrink = column(1 - rates * [r.weight_decay for r in runs])
            self.size = column(-rates / (1 - beta1**n))
            self.root = column(np.sqrt(1 - beta2**n))
        self.state: list[list[Tensor]] = []

    def step(self, weights: Sequence[Tensor], grads: Sequence[Tensor], t: int) -> None:
        """Make update t in place; the gradients are used up."""
        if not self.state:
            self.state = [[torch.zeros_like(w) for _ in range(self.slots)] for w in weights]
        if self.has_clip:
            squares = torch.stack([g.flatten(1).square().sum(1) for g in grads])
            factor = (self.clip / (squares.sum(0).sqrt() + 1e-6)).clamp_(max=1)
            for g in grads:
                g.mul_(per_run(factor, g))
        for w, g, state in zip(weights, grads, self.state, strict=True):
            if self.has_decay and self.name != "adamw":
                g.addcmul_(w, per_run(self.decay, w))
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
            mu = per_run(self.momentum[t], w)
            buffer.mul_(mu).add_(g)
            g = g.addcmul_(buffer, mu) if self.nesterov else buffer
        w.addcmul_(g, per_run(self.rates[t], w), value=-1)

    def adagrad(self, w: Tensor, g: Tensor, t: int, total: Tensor) -> None:
        """Divide by the root of the sum of all squares."""
        total.addcmul_(g, g)
        g.div_(total.sqrt().add_(per_run(self.eps, w)))
        w.addcmul_(g, per_run(self.rates[t], w), value=-1)

    def rmsprop(
        self, w: Tensor, g: Tensor, t: int, mean: Tensor, buffer: Tensor | None = None
    ) -> None:
        """Divide by the root of the moving mean of squares."""
        mean.mul_(per_run(self.alpha, w)).addcmul_(g * g, per_run(self.one_less_alpha, w))
        g.div_(mean.sqrt().add_(per_run(self.eps, w)))
        if buffer is not None:
            g = buffer.mul_(per_run(self.momentum[t], w)).add_(g)
        w.addcmul_(g, per_run(self.rates[t], w), value=-1)

    def adam(self, w: Tensor, g: Tensor, t: int, mean: Tensor, square: Tensor) -> None:
        """Divide the corrected mean by the root of the corrected mean square."""
        if self.has_decay and self.name == "adamw":
            w.mul_(per_run(self.shrink[t], w))
        mean.mul_(per_run(self.momentum[t], w)).addcmul_(g, per_run(self.one_less_momentum[t], w))
        square.mul_(per_run(self.beta2, w)).addcmul_(g.mul_(g), per_run(self.one_less_beta2, w))
        root = torch.sqrt(square, out=g).div_(per_run(self.root[t], w)).add_(per_run(self.eps, w))
        w.addcmul_(torch.div(mean, root, out=g), per_run(self.size[t], w))

    def silence(self, runs: Tensor) -> None:
        """Let the chosen runs take no more steps."""
        for rates in (self.rates, *([self.size] if hasattr(self, "size") else [])):
            rates[:, runs] = 0
        for state in self.state:
            for s in state:
                s[runs] = 0


def per_run(values: Tensor, like: Tensor) -> Tensor:
    """Return values (runs,) in a shape that broadcasts over the weights (runs, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def train(
    stack: Stack,
    runs: Sequence[Settings],
    seeds: Sequence[int],
    advance: Callable[[int], Any] = lambda updates: None,
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
        every = [batches(len(data.x_train), plan.batch_size, steps, seed) for seed in seeds]
        order = torch.from_numpy(np.stack(every, 1)).to(w.device)
    losses = w.new_empty(steps, n)
    at = {u: i for i, u in enumerate(plan.eval_steps.tolist())}
    marks = w.new_empty(3, len(at), n, dtype=torch.float64)
    limit = torch.full((n,), torch.inf)
    dead = torch.zeros(n, dtype=torch.bool, device=w.device)
    with torch.no_grad():
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
    columns = {"loss": loss, "rate": rate, "diverged_at": at} | dict(
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
            rank = torch.arange(z.shape[1], 0, -1, dtype=z.dtype, device=z.device)
            best = (z == z.amax(1, keepdim=True)).mul(rank[:, None]).amax(1)
            right += (best == rank[ys]).sum(1)
    return loss / len(x), right / len(x) if stack.data.loss != "mse" else right * torch.nan
