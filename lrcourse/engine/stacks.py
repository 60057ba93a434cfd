"""Stacks: the weights of many runs of one model, computed on as one.

A small network spends most of its training time on the way from Python to the processor.  Here the
weights of many runs lie in one tensor with a leading run axis, so that a layer of all runs is one
matrix product.  Runs of one seed see the same batches, so their first layers are a single product
with one shared input.

Two stacks share one interface.  ``Perceptrons`` knows plain multi-layer perceptrons and writes
their gradient out by hand; ``Mapped`` leaves other models to ``torch.func.vmap``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrcourse.data import Data

aten = torch.ops.aten
LOG2_E = math.log2(math.e)


class Unbatchable(ValueError):
    """A model, or a setting, that cannot be trained as one of a stack; says why."""


def _find_onednn() -> Callable[..., Tensor] | None:
    try:
        product = torch.ops.mkldnn._linear_pointwise.default
        product(torch.ones(2, 2), torch.ones(2, 2), None, "tanh", [], "")
    except (AttributeError, RuntimeError):
        return None
    return product


_ONEDNN = _find_onednn()


def _tanh_(z: Tensor) -> None:
    # 2 sigmoid(2z) - 1: equal up to rounding, and five times as fast where MKL's tanh is scalar.
    z.mul_(2).sigmoid_().mul_(2).sub_(1)


class Activation(NamedTuple):
    """An activation: oneDNN's name, its value in place of z, its gradient in place of that of a."""

    name: str
    apply_: Callable[[Tensor], Any]
    backward_: Callable[[Tensor, Tensor], Any]


KERNELS: dict[type[nn.Module], Activation] = {
    nn.ReLU: Activation(
        "relu",
        torch.relu_,
        lambda g, a: aten.threshold_backward.grad_input(g, a, 0, grad_input=g),
    ),
    nn.Tanh: Activation(
        "tanh", _tanh_, lambda g, a: aten.tanh_backward.grad_input(g, a, grad_input=g)
    ),
    nn.Sigmoid: Activation(
        "sigmoid",
        torch.sigmoid_,
        lambda g, a: aten.sigmoid_backward.grad_input(g, a, grad_input=g),
    ),
}
IDENTITY = Activation("none", lambda z: None, lambda g, a: None)

# From so many rows of weights on oneDNN wins; from so much work a seed it wins with a call a seed.
TALL, WORTH = 256, 2**20


def products(w: Tensor, x: Tensor, out: Tensor, phi: Activation = IDENTITY) -> Tensor:
    """Return phi(w @ x.mT) for tall w (s, m, k) and x (s, n, k), perhaps in `out` (s, m, n).

    oneDNN is about twice as fast as MKL on processors that MKL does not favour, and applies phi
    while the numbers are still at hand.
    """
    s, m, k = w.shape
    suits = _ONEDNN and w.dtype == torch.float32 and w.device.type == "cpu" and m >= TALL
    if _ONEDNN and suits and (s == 1 or m * k * x.shape[1] >= WORTH):
        if s == 1:
            return _ONEDNN(w[0], x[0], None, phi.name, [], "")[None]
        for each, own, place in zip(w, x, out, strict=True):
            place.copy_(_ONEDNN(each, own, None, phi.name, [], ""))
        return out
    torch.bmm(w, x.mT, out=out)
    phi.apply_(out)
    return out


def _pick(values: Tensor, rows: Tensor | None) -> Tensor:
    """Return the batches (seeds, batch, ...), or all rows (1, n, ...) for every seed."""
    if rows is None:
        return values[None]
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])


def _filled(model: nn.Module, state: dict[str, Tensor], run: int) -> nn.Module:
    """Give a model the weights and buffers of one run."""
    with torch.no_grad():
        for own in (model.named_parameters(), model.named_buffers()):
            for name, tensor in own:
                tensor.copy_(state[name][run])
    model.zero_grad()
    return model


class Layer:
    """Weights (runs, out, in + 1) of one layer, the bias in the last column, and their gradient.

    Weights change in place only, so that the views made here once stay good.
    """

    def __init__(self, weights: Tensor) -> None:
        self.weights, self.grad = weights, torch.empty_like(weights)
        self.matrix, self.bias = weights[:, :, :-1], weights[:, :, -1:]
        self.matrix_grad = torch.empty_like(self.matrix, memory_format=torch.contiguous_format)
        self.transposed = self.matrix.mT


class Room(NamedTuple):
    """Memory for one size of batch: of each layer outputs and their gradient; -log2(batch)."""

    z: list[Tensor]
    g: list[Tensor]
    shift: Tensor


class Perceptrons:
    r"""A stack of multi-layer perceptrons of one shape, with the gradient written out.

    Layer l of run c is :math:`A_l = \phi(W_l A_{l-1} + b_l)`.  Batches stand last, so that every
    pass over an array is contiguous.

    Parameters
    ----------
    models : the runs' models, seed by seed: run c belongs to seed c // (runs / seeds)
    data, seeds : the data set, and how many seeds there are
    """

    guard = torch.inference_mode

    def __init__(self, models: Sequence[nn.Module], data: Data, seeds: int) -> None:
        parsed = [self.parse(model) for model in models]
        self.phi = [KERNELS[kind] for kind in parsed[0][1]] + [IDENTITY]
        self.runs, self.seeds, self.data = len(models), seeds, data
        with torch.no_grad():
            self.layers = [
                Layer(torch.stack([torch.column_stack([p.weight, p.bias]) for p in level]))
                for level in zip(*(linears for linears, _ in parsed), strict=True)
            ]
        self.weights = [layer.weights for layer in self.layers]
        self._single = copy.deepcopy(models[0])
        self._rooms: dict[int, Room] = {}
        self.x, self.y = self._inputs(data.x_train), self._targets(data.y_train)

    def named_state(self) -> dict[str, Tensor]:
        """Return views (runs, ...) of the weights, by their names in a model of one run."""
        views = [(layer.matrix, layer.bias[:, :, 0]) for layer in self.layers]
        linears, _ = self.parse(self._single)
        place = {
            p: v
            for m, pair in zip(linears, views, strict=True)
            for p, v in zip((m.weight, m.bias), pair, strict=True)
        }
        return {name: place[p] for name, p in self._single.named_parameters()}

    def module(self, run: int) -> nn.Module:
        """Return the model of one run; the next call changes it."""
        return _filled(self._single, self.named_state(), run)

    @staticmethod
    def parse(model: nn.Module) -> tuple[list[nn.Linear], list[type[nn.Module]]]:
        """Return the linear layers and the activations between them, or say why there are none."""
        parts = list(model) if type(model) is nn.Sequential else [model]
        parts = [p for p in parts if type(p) not in (nn.Flatten, nn.Identity)]
        linears, phi = parts[::2], [type(p) for p in parts[1::2]]
        plain = all(type(p) is nn.Linear and p.bias is not None for p in linears)
        distinct = len(list(model.parameters())) == 2 * len(linears)
        if not (plain and distinct and len(parts) % 2 and set(phi) <= set(KERNELS)):
            raise Unbatchable("the model is no plain stack of Linear layers and activations")
        return [p for p in linears if isinstance(p, nn.Linear)], phi

    def _inputs(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.column_stack([flat, flat.new_ones(len(flat), 1)])

    def _targets(self, y: Tensor) -> Tensor:
        if self.data.loss == "mse":
            return y
        return F.one_hot(y, self.weights[-1].shape[1]).to(self.weights[0])

    def _room(self, rows: int) -> Room:
        if rows not in self._rooms:
            z, g = ([w.new_empty(*w.shape[:2], rows) for w in self.weights] for _ in "zg")
            self._rooms[rows] = Room(z, g, self.weights[0].new_tensor(-math.log2(rows)))
        return self._rooms[rows]

    def _forward(self, x: Tensor) -> list[Tensor]:
        """Return the layers' outputs (runs, out, rows) at inputs (seeds or 1, rows, in + 1)."""
        s, rows, _ = x.shape
        room, first = self._room(rows), self.weights[0]
        z = products(first.view(s, -1, first.shape[2]), x, room.z[0].view(s, -1, rows), self.phi[0])
        outputs = [z.view(self.runs, -1, rows)]
        for layer, phi, z in zip(self.layers[1:], self.phi[1:], room.z[1:], strict=True):
            torch.baddbmm(layer.bias, layer.matrix, outputs[-1], out=z)
            phi.apply_(z)
            outputs.append(z)
        return outputs

    def gradients(self, rows: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the losses (runs,) and the gradients at the batches `rows` (seeds, batch)."""
        x, y = (_pick(v, rows) for v in (self.x, self.y))
        s, batch, _ = x.shape
        *hidden, z = self._forward(x)
        loss, g = self._loss(z, y.mT.clone(memory_format=torch.contiguous_format))
        below = zip(self.layers[1:], hidden, self.phi, self._room(batch).g, strict=False)
        for layer, a, phi, room in reversed(list(below)):
            torch.bmm(g, a.mT, out=layer.matrix_grad)  # bmm into the gradient itself is slow
            torch.cat([layer.matrix_grad, g.sum(2, keepdim=True)], 2, out=layer.grad)
            g = torch.bmm(layer.transposed, g, out=room)
            phi.backward_(g, a)
        first = self.layers[0].grad
        grad = products(g.view(s, -1, batch), x.mT, first.view(s, -1, first.shape[2]))
        return loss, [grad.view_as(first), *(layer.grad for layer in self.layers[1:])]

    def _loss(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (runs,) and, in place of the outputs z, their gradient.

        The targets t (seeds or 1, out, rows) are used up.
        """
        s, outs, batch = t.shape
        per_seed = z.view(s, -1, outs, batch)
        if self.data.loss == "mse":
            per_seed.sub_(t[:, None])
            return z.square().mean((1, 2)), z.mul_(2 / (batch * outs))
        t.mul_(-1 / batch)
        torch.log_softmax(z, 1, out=z)
        loss = torch.bmm(per_seed.flatten(2), t.view(s, -1, 1)).view(-1)
        # softmax / batch; exp2 because MKL's exp is a third as fast.
        torch.add(self._room(batch).shift, z, alpha=LOG2_E, out=z).exp2_()
        per_seed.add_(t[:, None])
        return loss, z

    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs (runs, outputs, rows) of all runs at the same rows."""
        return self._forward(self._inputs(x)[None])[-1]


class Mapped:
    """A stack of any models that ``torch.func.vmap`` can follow, with the same interface.

    A batched product sums in another order than a single one.  Batch normalisation at a high rate
    magnifies such rounding: of networks 64-32-10 trained on the digits for 200 updates by Adam at
    rates 0.3 and 1, accuracies batched and alone part by up to 0.17 in single precision, and those
    of a run alone part by up to 0.12 when one weight of its start moves by one unit in the last
    place.  In double precision the same runs agree to 4e-4 of the loss, and in accuracy exactly.
    """

    guard = torch.no_grad

    def __init__(self, models: Sequence[nn.Module], data: Data, seeds: int) -> None:
        self.model, self.runs, self.seeds, self.data = models[0], len(models), seeds, data
        params, buffers = torch.func.stack_module_state(list(models))
        self.names = list(params)
        self.weights = [p.detach() for p in params.values()]
        self.buffers = {name: b.detach() for name, b in buffers.items()}
        self._single = copy.deepcopy(models[0])
        self.model.train()

        def loss(
            params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor
        ) -> Any:
            # Batch norm writes to its buffers, which the gradient may not see: it gets a copy.
            buffers = {name: b.clone() for name, b in buffers.items()}
            outputs = torch.func.functional_call(self.model, (params, buffers), (x,))
            if data.loss == "mse":  # vmap within vmap gets the gradient of mse_loss wrong
                return (outputs - y).square().mean(), buffers
            return data.loss_of(outputs, y), buffers

        gradient = torch.func.grad_and_value(loss, has_aux=True)
        over_runs = torch.func.vmap(gradient, (0, 0, None, None))
        self._gradient = torch.func.vmap(over_runs, (0, 0, 0, 0))

    def named_state(self) -> dict[str, Tensor]:
        """Return weights and buffers (runs, ...) by their names in a model of one run."""
        return dict(zip(self.names, self.weights, strict=True)) | self.buffers

    def module(self, run: int) -> nn.Module:
        """Return the model of one run; the next call changes it."""
        return _filled(self._single, self.named_state(), run)

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
    if not all(p.requires_grad for p in model.parameters()):
        raise Unbatchable("some of its weights are frozen")
    if len(list(model.parameters())) < len(list(model.named_parameters(remove_duplicate=False))):
        raise Unbatchable("its layers share weights")
    if any(part._forward_hooks or part._forward_pre_hooks for part in model.modules()):
        raise Unbatchable("it has hooks, which may do anything")
    try:
        linears, _ = Perceptrons.parse(model)
        if data.loss != "mse" or data.y_train.shape[1:] == (linears[-1].out_features,):
            return Perceptrons
    except Unbatchable:
        pass
    for name, part in model.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            raise Unbatchable(f"{name} draws random numbers, which differ in a stack")
        if isinstance(part, nn.RNNBase | nn.RNNCellBase):
            raise Unbatchable(f"{name} is recurrent, which torch.func.vmap has no rule for")
    try:
        Mapped([model, model], data, 1).gradients(torch.arange(2, device=data.x_train.device)[None])
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise Unbatchable(f"torch.func.vmap cannot follow its forward: {reason}") from error
    return Mapped
