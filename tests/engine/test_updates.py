"""Update rules over a stack against torch.optim, run by run, on gradients drawn at random."""

import numpy as np
import pytest
import torch

from lrcourse import optimizers
from lrcourse.engine import updates
from lrcourse.engine.updates import RULES, stacked_rule
from lrcourse.settings import OPTIMIZERS, Settings

STEPS, SHAPES = 40, [(4, 3), (5,), (2, 3, 2, 2)]
RATES = np.random.default_rng(1).uniform(0, 0.1, STEPS)
WAVE = np.abs(np.linspace(-0.9, 0.9, STEPS + 1)[1:]).round(2)  # begins and ends high, touches 0

OPTIONS = {
    "sgd": [{}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"clip": 0.5, "momentum": 0.5}],
    "adagrad": [{}, {"eps": 1e-3}, {"weight_decay": 0.1, "clip": 0.5}],
    "rmsprop": [{}, {"momentum": 0.9, "alpha": 0.9}, {"eps": 0.1, "weight_decay": 0.1, "clip": 1}],
    "adam": [{}, {"betas": (0.5, 0.9), "clip": 0.5}, {"eps": 0.1, "weight_decay": 0.1}],
    "adamw": [{}, {"betas": (0.5, 0.9), "clip": 0.5}, {"eps": 0.1, "weight_decay": 0.1}],
}


def gradients(run, t):
    draw = torch.Generator().manual_seed(1000 * run + t)
    return [torch.randn(s, generator=draw, dtype=torch.float64) for s in SHAPES]


def by_torch(settings, run, momenta):
    """Make all updates of one run with torch's own optimizer."""
    weights = [torch.ones(s, dtype=torch.float64, requires_grad=True) for s in SHAPES]
    optimizer = settings.make_optimizer(weights)
    group = optimizer.param_groups[0]
    for t in range(STEPS):
        group["lr"] = RATES[t] * (run + 1)
        if momenta is not None and "betas" in group:
            group["betas"] = momenta[t], group["betas"][1]
        elif momenta is not None:
            group["momentum"] = momenta[t]
        for w, g in zip(weights, gradients(run, t), strict=True):
            w.grad = g
        if settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(weights, settings.clip)
        optimizer.step()
    return weights


def by_stack(runs, momenta):
    many = len(runs)
    weights = [torch.ones(many, *s, dtype=torch.float64) for s in SHAPES]
    planned = np.full((STEPS, many), np.nan)
    if momenta is not None:
        planned[:] = momenta[:, None]
    rates = RATES[:, None] * np.arange(1, many + 1)
    rule = stacked_rule(runs, rates, planned, weights[0])
    for t in range(STEPS):
        grads = zip(*(gradients(run, t) for run in range(many)), strict=True)
        rule.step(weights, [torch.stack(g) for g in grads], t)
    return weights


CASES = [(name, planned, False) for name in OPTIMIZERS for planned in (False, True)]
CASES.remove(("adagrad", True, False))  # it has no momentum to plan
CASES += [("sgd", planned, True) for planned in (False, True)]


@pytest.mark.parametrize(("name", "planned", "nesterov"), CASES)
def test_every_run_of_a_rule_takes_the_steps_of_torch(name, planned, nesterov):
    options = OPTIONS[name]
    if nesterov:
        options = [{"momentum": 0.9} | o | {"nesterov": True} for o in options]
    runs = [Settings(steps=STEPS, lr=1.0, optimizer=name, **o) for o in options]
    momenta = WAVE if planned else None
    stacked = by_stack(runs, momenta)
    for run, settings in enumerate(runs):
        for ours, theirs in zip(stacked, by_torch(settings, run, momenta), strict=True):
            torch.testing.assert_close(ours[run], theirs.detach(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_silenced_runs_stand_still_and_the_others_do_not_notice(name):
    runs = [Settings(steps=STEPS, lr=1.0, optimizer=name)] * 3
    whole = by_stack(runs, None)
    weights = [torch.ones(3, *s, dtype=torch.float64) for s in SHAPES]
    rates = RATES[:, None] * np.arange(1, 4)
    rule = stacked_rule(runs, rates, np.full((STEPS, 3), np.nan), weights[0])
    for t in range(STEPS):
        if t == 7:
            rule.silence(torch.tensor([False, True, False]))
            before = [w[1].clone() for w in weights]
        grads = zip(*(gradients(run, t) for run in range(3)), strict=True)
        rule.step(weights, [torch.stack(g) for g in grads], t)
    for w, expected, stood in zip(weights, whole, before, strict=True):
        assert torch.equal(w[1], stood)
        assert torch.equal(w[[0, 2]], expected[[0, 2]])


def test_there_is_a_rule_for_each_optimizer_and_no_class_of_one_name_twice():
    assert set(RULES) == set(OPTIMIZERS)
    assert not {n for n in vars(updates) if n.startswith("Stacked")} & set(vars(optimizers))
