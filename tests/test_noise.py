"""The noise scale against closed forms, and against all gradients of single examples."""

from functools import partial

import numpy as np
import pytest
import torch

from lrcourse.data import Data, digits
from lrcourse.models import linear, mlp
from lrcourse.noise import noise_scale, signal_and_noise, squared_norms
from lrcourse.randomness import seeded
from lrcourse.sweeps import sweep
from lrcourse.training import fit

SIZES = (4, 32)


def exact(model, data):
    """|G|² and the trace of the covariance over the training rows, one gradient at a time."""
    rows = []
    for x, y in zip(data.x_train, data.y_train, strict=True):
        model.zero_grad()
        data.loss_of(model(x[None]), y[None]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    each = torch.stack(rows).double().numpy()
    return float(np.sum(each.mean(0) ** 2)), float(each.var(0).sum())


def bowl(rows=4000, width=5, noise=2.0, seed=0):
    """A linear model at 0 on inputs of ones in turn: the covariance of its gradient is known.

    The loss of example i is (w · x - y)², so that at w = 0 its gradient is -2 y x.
    """
    rng = np.random.default_rng(seed)
    x = np.eye(width)[np.arange(rows) % width]
    y = 1 + noise * rng.standard_normal((rows, 1))
    x, y = (torch.tensor(v, dtype=torch.float64) for v in (x, y))
    return Data("bowl", x, y, x, y, "mse")


def test_the_pair_solves_the_two_equations_exactly():
    square, trace = 0.3, 7.0
    small, large = (square + trace / size for size in SIZES)
    assert np.allclose(signal_and_noise(small, large, sizes=SIZES), (square, trace))
    assert noise_scale(small, large, sizes=SIZES) == pytest.approx(trace / square)


def test_gaussian_gradients_of_known_covariance_are_estimated_without_bias():
    rng, mean, deviation = np.random.default_rng(0), np.array([0.5, -1.0, 0.0]), [1.0, 2.0, 3.0]
    pair = [
        np.sum((mean + rng.normal(0, deviation, (20_000, 3)) / np.sqrt(size)) ** 2, 1)
        for size in SIZES
    ]
    square, trace = signal_and_noise(*pair, sizes=SIZES)
    assert square.mean() == pytest.approx(1.25, abs=4 * square.std() / 20_000**0.5)
    assert trace.mean() == pytest.approx(14, abs=4 * trace.std() / 20_000**0.5)
    assert noise_scale(*pair, sizes=SIZES) == pytest.approx(14 / 1.25, rel=0.05)


def test_the_average_of_ratios_would_be_wrong():
    rng = np.random.default_rng(1)
    pair = [np.sum((0.5 + rng.normal(0, size**-0.5, (4000, 8))) ** 2, 1) for size in SIZES]
    square, trace = signal_and_noise(*pair, sizes=SIZES)
    truth = 8 / 2
    assert noise_scale(*pair, sizes=SIZES) == pytest.approx(truth, rel=0.1)
    assert abs(np.mean(trace / square) - truth) > 0.2 * truth


def test_a_linear_model_has_the_noise_that_a_formula_gives():
    data = bowl()
    model = seeded(partial(linear, 5, zero=True), 0).double()
    model[1].bias.requires_grad_(False)
    mean = sum(float((2 * data.y_train * data.x_train).mean(0)[i] ** 2) for i in range(5))
    total = float((4 * data.y_train**2).mean()) - mean  # E|g|² - |G|²
    small, large = squared_norms(SIZES, groups=2000)(model, data).numpy()
    square, trace = signal_and_noise(small, large, sizes=SIZES)
    assert float(trace) == pytest.approx(total, rel=0.05)
    assert float(square) == pytest.approx(mean, abs=0.06 * total / SIZES[0])


@pytest.mark.parametrize("steps", [0, 60])
def test_on_digits_it_agrees_with_all_single_gradients(steps):
    data = digits()
    model = seeded(mlp, 0)
    if steps:
        model = fit(mlp, data, lr=0.3, steps=steps, seed=0).model
    square, trace = exact(model, data)
    found = squared_norms((16, 256), groups=64)(model, data).numpy()
    assert noise_scale(*found, sizes=(16, 256)) == pytest.approx(trace / square, rel=0.15)


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    data, model = digits(), seeded(mlp, 3)
    rows = np.random.default_rng(5).integers(0, len(data.x_train), 256)
    loss = data.loss_of(model(data.x_train[rows]), data.y_train[rows])
    whole = sum(float(g.square().sum()) for g in torch.autograd.grad(loss, model.parameters()))
    found = squared_norms((16, 256), groups=1, seed=5)(model, data)
    assert float(found[1]) == pytest.approx(whole, rel=1e-4)


def test_a_stack_measures_what_single_runs_do():
    measures = {"squares": squared_norms(groups=1)}
    options = {"steps": 6, "eval_every": 3, "measures": measures, "progress": False}
    cube = sweep(mlp, digits(), lr=[0.1, 0.3], seed=[0], engine="batched", **options)
    alone = fit(mlp, digits(), lr=0.3, seed=0, **options)
    np.testing.assert_allclose(
        cube.squares.sel(lr=0.3, seed=0), alone.measures["squares"], rtol=1e-3
    )


def test_moments_are_kept_apart_along_an_axis():
    small, large = np.array([[6.0, 3.0], [6.0, 5.0]]), np.array([[3.0, 1.0], [3.0, 1.5]])
    found = noise_scale(small, large, sizes=(2, 8), axis=0)
    assert found.shape == (2,)
    assert found[0] == pytest.approx(4)


def test_too_few_measurements_give_no_number():
    assert np.isnan(noise_scale([8.0], [1.0], sizes=(2, 8)))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: signal_and_noise(1.0, 1.0, sizes=(8, 8)), r"sizes must rise.*were \(8, 8\)"),
        (lambda: signal_and_noise([1.0], 1.0, sizes=(2, 8)), r"one shape, had \(1,\) and \(\)"),
        (lambda: signal_and_noise(1.0, 1.0, sizes=(0, 8)), "sizes must be"),
        (lambda: squared_norms((3, 8)), r"a divisor of the larger, were \(3, 8\)"),
        (lambda: squared_norms((8, 4)), r"a divisor of the larger, were \(8, 4\)"),
        (lambda: squared_norms(groups=0), "groups must be"),
    ],
)
def test_bad_input_is_refused_in_words(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_weights_that_are_frozen_do_not_count():
    model = seeded(mlp, 0)
    free = squared_norms(groups=1)(model, digits())
    model[1].weight.requires_grad_(False)
    before = [p.clone() for p in model.parameters()]
    assert bool((squared_norms(groups=1)(model, digits()) < free).all())
    after = list(model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert [p.requires_grad for p in after] == [False, True, True, True]
