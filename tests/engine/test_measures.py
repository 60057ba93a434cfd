"""Measures of a stack: batched where they can be, run by run elsewhere, the same numbers always."""

import numpy as np
import pytest
import torch
from torch import nn

from lrcourse.curvature import sharpness
from lrcourse.data import digits, line, split
from lrcourse.engine import measures as module
from lrcourse.engine.measures import StackMeasures, measured
from lrcourse.engine.stacks import Mapped, Perceptrons, stack_for
from lrcourse.models import linear, mlp
from lrcourse.randomness import seeded

DIGITS = digits()
RNG = np.random.default_rng(0)
TOY = split("toy", RNG.standard_normal((60, 3)), RNG.integers(0, 3, 60))
GRID = {"lr": [0.01, 0.1], "seed": [0, 1], "steps": 20, "batch_size": 16, "eval_every": 10}


def toy():
    return mlp((3, 5, 3))


def normed():
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def norms(model, data):
    return torch.stack([p.norm() for p in model.parameters()])


def margin(model, data):
    top = model(data.x_val).topk(2).values
    return (top[:, 0] - top[:, 1]).mean()


def gradient_norm(model, data):
    loss = data.loss_of(model(data.x_train), data.y_train)
    return float(sum(g.square().sum() for g in torch.autograd.grad(loss, list(model.parameters()))))


def histogram(model, data):
    weights = torch.cat([p.flatten() for p in model.parameters()]).detach().numpy()
    return np.histogram(weights, bins=4, range=(-1, 1))[0]


MEASURES = {f.__name__: f for f in (norms, margin, gradient_norm, histogram)}


@pytest.mark.parametrize(("factory", "kind"), [(toy, Perceptrons), (normed, Mapped)])
def test_measures_of_a_stack_are_those_of_the_models_alone(factory, kind, trained, monkeypatch):
    recorders = []
    monkeypatch.setattr(StackMeasures, "columns", keep(recorders, StackMeasures.columns))
    for settings, record in trained(factory, TOY, measures=MEASURES, **GRID):
        steps = [0, 10, 20]
        for i, step in enumerate(steps):
            model = model_after(factory, settings, step)
            for name, f in MEASURES.items():
                expected = measured(name, f, model, TOY)
                np.testing.assert_allclose(record[name][i], expected, rtol=2e-4, atol=1e-5)
        assert record["norms"].shape == (3, len(list(factory().parameters())))
        assert record["histogram"].shape == (3, 4)
    (recorder,) = recorders
    assert recorder.mapped == dict(zip(MEASURES, (True, True, False, False), strict=True))
    assert type(recorder.stack) is kind is stack_for(factory(), TOY)


def keep(seen, columns):
    def call(recorder):
        seen.append(recorder)
        return columns(recorder)

    return call


def model_after(factory, settings, steps):
    """Train the plain way for a number of updates."""
    from lrcourse.randomness import batches

    model = seeded(factory, settings.seed)
    optimizer = torch.optim.SGD(model.parameters(), settings.lr)
    for rows in batches(len(TOY.x_train), settings.batch_size, steps, settings.seed):
        optimizer.zero_grad()
        TOY.loss_of(model(TOY.x_train[rows]), TOY.y_train[rows]).backward()
        optimizer.step()
    return model


def test_the_sharpness_of_a_quadratic_is_that_of_its_formula(trained):
    data = line()
    grid = {"lr": [0.001, 0.01], "steps": 10, "batch_size": None, "eval_every": 5}
    curvature = 2 * float((data.x_train**2).mean())
    for _, record in trained(linear, data, measures={"sharpness": sharpness}, **grid):
        np.testing.assert_allclose(record["sharpness"], curvature, rtol=1e-4)


def test_a_diverged_run_is_not_measured_and_the_others_are(trained):
    grid = {"lr": [0.001, 0.1, 1e30], "steps": 60, "batch_size": None, "eval_every": 5}
    for chosen in ({"sharpness": sharpness}, {"norms": norms}):  # run by run, and mapped
        slow, fast, huge = (
            record for _, record in trained(linear, line(), measures=chosen, **grid)
        )
        ((name, _),) = chosen.items()
        assert np.isfinite(slow[name]).all()
        for record in (fast, huge):
            late = np.arange(0, 61, 5) > record["diverged_at"]
            assert record["diverged_at"] >= 0
            assert np.isnan(record[name][late]).all()
            assert np.isfinite(record[name][0]).all()


def test_alone_and_in_a_stack_a_diverging_run_is_measured_at_the_same_evaluations(trained, alone):
    """At the evaluation before it is found diverged, its loss has no curvature to measure."""
    grid = {"lr": [0.001, 0.1, 1e30], "steps": 30, "batch_size": None, "eval_every": 1}
    for chosen, record in trained(linear, line(), measures={"sharpness": sharpness}, **grid):
        single = alone(linear, line(), chosen, measures={"sharpness": sharpness})
        np.testing.assert_allclose(record["sharpness"], single.measures["sharpness"], rtol=1e-3)


def test_where_all_runs_diverge_the_shape_stays(trained):
    grid = {"lr": [1e30, 1e35], "steps": 20, "batch_size": None, "eval_every": 5}
    for _, record in trained(linear, line(), measures={"norms": norms}, **grid):
        assert record["norms"].shape == (5, 2)
        assert np.isnan(record["norms"][1:]).all()


def test_a_measure_sees_a_model_in_eval_mode_that_takes_gradients(trained):
    seen = []

    def look(model, data):
        seen.append((model.training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return 0.0

    for factory in (toy, normed):
        trained(factory, TOY, measures={"look": look}, **GRID)
    assert set(seen) == {(False, True, False)}


def test_a_measure_that_maps_to_something_else_is_called_run_by_run(trained):
    """A draw that vmap makes once for all runs, and a state of its own."""
    calls = []

    def counted(model, data):
        calls.append(1)
        return sum(p.sum() for p in model.parameters()) * 0 + len(calls)

    records = [record for _, record in trained(toy, TOY, measures={"counted": counted}, **GRID)]
    values = np.array([record["counted"] for record in records])
    assert len(np.unique(values)) == values.size


def test_many_rows_are_mapped_a_few_runs_at_a_time(trained, monkeypatch):
    whole = trained(toy, TOY, measures={"margin": margin}, **GRID)
    monkeypatch.setattr(module, "AT_ONCE", 3 * 64 * len(TOY.x_train))
    parts = trained(toy, TOY, measures={"margin": margin}, **GRID)
    for (_, a), (_, b) in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a["margin"], b["margin"], rtol=1e-5)


def test_a_measure_whose_shape_changes_is_named(trained):
    calls = []

    def growing(model, data):
        calls.append(1)
        return np.ones(1 + (len(calls) > 4))

    with pytest.raises(ValueError, match=r"'growing' must keep one shape, was \(1,\), then \(2,\)"):
        trained(toy, TOY, measures={"growing": growing}, **GRID)
    calls = [1] * 3
    with pytest.raises(ValueError, match=r"'growing' must keep one shape, was \(1,\), then \(2,\)"):
        trained(toy, TOY, measures={"growing": growing}, **GRID)


@pytest.mark.parametrize("value", ["high", None, {"a": 1}, [1, [2, 3]], 1j])
def test_a_measure_that_returns_no_number_is_named(value):
    with pytest.raises(TypeError, match="measure 'odd' must return a number or an array of numb"):
        measured("odd", lambda model, data: value, toy(), TOY)


def test_measuring_leaves_every_part_in_its_mode():
    model = normed()
    model[1].eval()
    measured("norms", norms, model, TOY)
    assert [part.training for part in model.modules()] == [True, True, False, True, True]
