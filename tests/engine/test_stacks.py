"""Which models a stack can hold, its products, and the single models that it hands back."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lrcourse.chapters.convergence import one_hot
from lrcourse.data import digits, line, split
from lrcourse.engine import stacks
from lrcourse.engine.stacks import (
    KERNELS,
    Mapped,
    Perceptrons,
    Unbatchable,
    products,
    stack_for,
)
from lrcourse.models import cnn, mlp
from lrcourse.randomness import seeded

DIGITS = digits()
RNG = np.random.default_rng(0)
TOY = split("toy", RNG.standard_normal((60, 3)), RNG.integers(0, 3, 60))


def test_perceptrons_are_recognised():
    assert stack_for(mlp(), DIGITS) is Perceptrons
    assert stack_for(nn.Linear(64, 10), DIGITS) is Perceptrons
    assert stack_for(nn.Sequential(nn.Linear(64, 9), nn.GELU(), nn.Linear(9, 10)), DIGITS) is Mapped
    assert stack_for(nn.Sequential(nn.Linear(64, 10, bias=False)), DIGITS) is Mapped


def hooked():
    model = mlp((3, 3))
    model[-1].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def frozen():
    model = mlp((3, 3))
    next(model.parameters()).requires_grad_(False)
    return model


def tied():
    inner = nn.Linear(3, 3)
    return nn.Sequential(inner, nn.Tanh(), inner)


def dropping():
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 3))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.lstm(x[..., None])[0][:, -1])


class Branching(nn.Linear):
    def forward(self, x):
        return super().forward(x if self.bias.sum() > 0 else -x)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (hooked, "it has hooks, which may do anything"),
        (frozen, "some of its weights are frozen"),
        (tied, "its layers share weights"),
        (dropping, "1 draws random numbers"),
        (Recurrent, "lstm is recurrent, which torch.func.vmap has no rule for"),
        (partial(Branching, 3, 3), "vmap cannot follow its forward"),
    ],
)
def test_what_no_stack_can_hold_says_why(model, why):
    with pytest.raises(Unbatchable, match=why):
        stack_for(model(), TOY)


def normed():
    return nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10))


CASES = [
    (mlp, DIGITS, Perceptrons),
    (mlp, one_hot(DIGITS), Perceptrons),
    (normed, DIGITS, Mapped),
    (normed, one_hot(DIGITS), Mapped),
]


@pytest.mark.parametrize(("model", "data", "kind"), CASES)
@pytest.mark.parametrize("batch", [None, 16])
def test_losses_and_gradients_are_those_of_autograd(model, data, kind, batch):
    models = [seeded(model, seed).double() for seed in range(6)]
    data = data.to(next(models[0].parameters()))
    stack = kind(models, data, seeds=3)
    rows = None if batch is None else torch.arange(3 * batch).view(3, batch)
    with torch.no_grad():
        losses, grads = stack.gradients(rows)
    for run, one in enumerate(models):
        chosen = slice(None) if batch is None else rows[run // 2]
        loss = data.loss_of(one.train()(data.x_train[chosen]), data.y_train[chosen])
        loss.backward()
        torch.testing.assert_close(losses[run], loss.detach(), rtol=1e-12, atol=1e-12)
        own = [p.grad for p in one.parameters()]
        if kind is Perceptrons:  # the bias is the last column of the weights
            own = [torch.column_stack(pair) for pair in zip(own[::2], own[1::2], strict=True)]
        for stacked, expected in zip(grads, own, strict=True):
            torch.testing.assert_close(stacked[run], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("model", "data", "kind"), [*CASES, (nn.Linear, line(), Perceptrons)])
def test_a_stack_hands_back_the_model_of_each_run(model, data, kind):
    factory = partial(nn.Linear, 1, 1) if model is nn.Linear else model
    models = [seeded(factory, seed) for seed in range(4)]
    originals = [{n: t.clone() for n, t in m.state_dict().items()} for m in models]
    stack = kind(models, data, seeds=2)
    for run in (3, 0, 2):
        state = stack.module(run).state_dict()
        assert state.keys() == originals[run].keys()
        assert all(torch.equal(state[n], t) for n, t in originals[run].items())
    with stack.guard():
        for w in stack.weights:
            w[3] += 1.0
    for name, p in stack.module(3).named_parameters():
        torch.testing.assert_close(p.detach(), originals[3][name] + 1)
        assert p.requires_grad
        assert p.grad is None


def test_a_model_handed_back_computes_what_the_stack_computes():
    for factory, data in ((mlp, DIGITS), (normed, DIGITS)):
        models = [seeded(factory, seed) for seed in range(2)]
        stack = stack_for(models[0], data)(models, data, seeds=2)
        with stack.guard():
            outputs = stack.outputs(data.x_val).clone()
        for run in range(2):
            alone = stack.module(run).eval()(data.x_val)
            torch.testing.assert_close(outputs[run].T, alone.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize(("seeds", "rows"), [(1, 512), (3, 512), (3, 8)])
def test_products_by_any_library_are_those_of_the_definition(kind, seeds, rows):
    torch.manual_seed(0)
    w, x = torch.randn(seeds, rows, 65), 0.2 * torch.randn(seeds, 64, 65)
    made = products(w, x, torch.empty(seeds, rows, 64), KERNELS[kind])
    torch.testing.assert_close(made, kind()(w @ x.mT), rtol=1e-5, atol=1e-5)


def test_the_plain_product_gives_the_same_numbers(monkeypatch, trained):
    shared = {"lr": np.geomspace(0.01, 0.1, 8).tolist(), "steps": 20, "batch_size": 16}
    model, calls = partial(mlp, (64, 64, 10)), []
    onednn = stacks._ONEDNN
    if onednn is None:
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(stacks, "_ONEDNN", lambda *args: (calls.append(1), onednn(*args))[1])
    fast = trained(model, DIGITS, **shared)
    assert len(calls) > 2 * 20  # forward and backward in every update, and the evaluations
    monkeypatch.setattr(stacks, "_ONEDNN", None)
    plain = trained(model, DIGITS, **shared)
    for (_, a), (_, b) in zip(fast, plain, strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=2e-5)


def test_convolutions_are_mapped():
    images = split("i", RNG.standard_normal((40, 1, 28, 28)), RNG.integers(0, 10, 40))
    assert stack_for(cnn(2, 8), images) is Mapped
