"""Curvature against the exact Hessian, against formulas, and against gradient descent itself."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lrcourse.curvature import (
    divisors,
    eigenvalues,
    hessian_product,
    lanczos,
    preconditioned_sharpness,
    rectification,
    sharpness,
)
from lrcourse.data import Data, digits, line
from lrcourse.models import linear, mlp
from lrcourse.randomness import seeded
from lrcourse.surfaces import Quadratic, least_squares
from lrcourse.training import fit


def exact_hessian(model, data):
    """All p² entries, by torch."""
    names, weights = zip(*model.named_parameters(), strict=True)
    sizes = [w.numel() for w in weights]

    def loss(flat):
        parts = {n: p.view_as(w) for n, p, w in zip(names, flat.split(sizes), weights, strict=True)}
        return data.loss_of(torch.func.functional_call(model, parts, data.x_train), data.y_train)

    flat = torch.cat([w.detach().flatten() for w in weights])
    return torch.autograd.functional.hessian(loss, flat).numpy()


def toy(loss="cross_entropy", rows=40):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=rng, dtype=torch.float64)
    y = torch.randint(0, 4, (rows,), generator=rng)
    if loss == "mse":
        y = nn.functional.one_hot(y, 4).double()
    return Data("toy", x, y, x, y, loss)


@pytest.fixture(params=["cross_entropy", "mse"])
def pair(request):
    return seeded(partial(mlp, (3, 5, 4)), 1).double(), toy(request.param)


def test_products_equal_the_exact_hessian(pair):
    exact = exact_hessian(*pair)
    product, size = hessian_product(*pair)
    assert exact.shape == (size, size)
    np.testing.assert_allclose([product(e) for e in np.eye(size)], exact, atol=1e-12)


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("k", [1, 3])
def test_extreme_eigenvalues_equal_the_exact_ones(pair, which, k):
    exact = np.linalg.eigvalsh(exact_hessian(*pair))
    wanted = exact[::-1][:k] if which == "largest" else exact[:k]
    found = eigenvalues(*pair, k=k, which=which, tol=1e-8)
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)


def test_the_start_vector_does_not_matter_and_the_seed_decides_it(pair):
    one, two = (sharpness(*pair, tol=1e-9, seed=seed) for seed in (0, 1))
    assert one == pytest.approx(two, rel=1e-8)
    assert sharpness(*pair) == sharpness(*pair)


@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_tolerance_bounds_the_error(pair, tol):
    exact = np.linalg.eigvalsh(exact_hessian(*pair))[-1]
    assert abs(sharpness(*pair, tol=tol) / exact - 1) <= tol


def test_single_precision_agrees_with_double():
    model, data = seeded(mlp, 0), digits()
    single = sharpness(model, data)
    assert single == pytest.approx(sharpness(model.double(), data), rel=1e-3)


def test_regression_has_the_curvature_of_its_surface():
    data = line()
    surface = least_squares(data.x_train[:, 0].double().numpy(), data.y_train[:, 0].numpy())
    np.testing.assert_allclose(
        eigenvalues(linear().double(), data, k=2, tol=1e-9),
        np.linalg.eigvalsh(surface.curvature)[::-1],
        rtol=1e-5,
    )


def test_lanczos_finds_both_ends_of_a_quadratic():
    matrix = np.array(Quadratic([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 9.0]]).curvature)
    exact, start = np.linalg.eigvalsh(matrix), np.ones(3)
    values, vectors = lanczos(matrix.dot, start, k=3)
    np.testing.assert_allclose(values, exact[::-1])
    np.testing.assert_allclose(vectors @ matrix, values[:, None] * vectors, atol=1e-12)
    np.testing.assert_allclose(lanczos(matrix.dot, start, k=2, which="smallest")[0], exact[:2])


def test_lanczos_finds_a_negative_end_that_is_larger_in_size():
    matrix = np.diag([-100.0, 1.0, 2.0, 3.0])
    assert lanczos(matrix.dot, np.ones(4))[0] == pytest.approx([3.0])
    assert lanczos(matrix.dot, np.ones(4), which="smallest")[0] == pytest.approx([-100.0])


def test_lanczos_stops_where_its_space_is_exhausted():
    """The identity has one eigenvalue: no start vector can show a second."""
    values, vectors = lanczos(lambda v: v, np.ones(6), k=2)
    assert values == pytest.approx([1.0])
    assert vectors.shape == (1, 6)
    assert lanczos(lambda v: 0 * v, np.ones(6))[0] == pytest.approx([0.0])


def test_lanczos_says_when_it_gives_up():
    matrix = np.diag(np.linspace(0, 1, 2000))
    with pytest.raises(RuntimeError, match="no convergence to tol=1e-09 within 5 products"):
        lanczos(matrix.dot, np.ones(2000), tol=1e-9, max_products=5)


def test_the_threshold_is_where_gradient_descent_turns():
    """The point of it all: 1 % below 2/λ stays, 1 % above leaves."""
    data = toy("mse")
    limit = 2 / sharpness(linear(3, 4).double(), data, tol=1e-9)
    for factor, stays in ((0.99, True), (1.01, False)):
        model = seeded(partial(linear, 3, 4), 0).double()
        loss = fit(model, data, lr=factor * limit, steps=600, batch_size=None).loss
        assert (loss[-1] < loss[0]) == stays


def test_frozen_parameters_do_not_count():
    model, data = seeded(partial(mlp, (3, 5, 4)), 1).double(), toy()
    model[1].requires_grad_(False)
    assert hessian_product(model, data)[1] == 24


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4)).double()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    sharpness(model, toy())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.requires_grad_(False), "model must have parameters that require gradients"),
        (
            lambda m: nn.init.constant_(m[1].weight, np.nan),
            "model must have a finite loss, was nan",
        ),
    ],
)
def test_a_model_without_curvature_is_refused(change, words):
    model = linear(3, 4).double()
    change(model)
    with pytest.raises(ValueError, match=words):
        sharpness(model, toy())


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="data must be a Data"):
        sharpness(linear(), None)
    with pytest.raises(ValueError, match="which must be 'largest' or 'smallest', was 'both'"):
        eigenvalues(linear(), line(), which="both")
    with pytest.raises(ValueError, match="tol must be a finite number > 0"):
        sharpness(linear(), line(), tol=0)
    for start in (np.zeros(3), [np.nan, 1, 1], 3.0, [], np.ones((2, 2))):
        with pytest.raises(ValueError, match="start must be a finite vector other than 0, was"):
            lanczos(lambda v: v, start)
    with pytest.raises(ValueError, match="max_products must be an integer >= 1, was 0"):
        lanczos(lambda v: v, np.ones(3), max_products=0)


def quadratic(curvature):
    """Linear regression whose loss in its weights is half of w' C w, up to a constant."""
    root = np.linalg.cholesky(np.asarray(curvature, float))
    x = torch.tensor(np.sqrt(len(root) / 2) * root.T)
    y = torch.zeros(len(root), 1, dtype=torch.float64)
    return nn.Linear(len(root), 1, bias=False).double(), Data("quadratic", x, y, x, y, "mse")


def test_the_preconditioned_sharpness_of_a_quadratic_is_that_of_a_dense_matrix():
    rng = np.random.default_rng(0)
    root, divisor = rng.standard_normal((6, 6)), rng.uniform(0.1, 5, 6)
    model, data = quadratic(curvature := root @ root.T)
    assert sharpness(model, data, tol=1e-9) == pytest.approx(np.linalg.eigvalsh(curvature)[-1])
    truth = np.linalg.eigvals(curvature / divisor[:, None]).real.max()
    assert preconditioned_sharpness(model, data, divisor, tol=1e-9) == pytest.approx(truth)


def test_equal_divisors_divide_the_sharpness(pair):
    size = hessian_product(*pair)[1]
    plain = sharpness(*pair, tol=1e-9)
    assert preconditioned_sharpness(*pair, np.ones(size), tol=1e-9) == plain
    assert preconditioned_sharpness(*pair, np.full(size, 4.0), tol=1e-9) == pytest.approx(plain / 4)


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_the_threshold_is_where_averaged_and_divided_steps_turn(beta1):
    """Adam with divisors that stand still: 1 % below the limit it stays, 1 % above it leaves."""
    curvature, divisor = np.diag([1.0, 3.0, 20.0]), np.array([0.1, 5.0, 2.0])
    sharp = preconditioned_sharpness(*quadratic(curvature), divisor, tol=1e-9)
    limit = 2 * (1 + beta1) / ((1 - beta1) * sharp)
    for factor, stays in ((0.99, True), (1.01, False)):
        w, average = np.ones(3), np.zeros(3)
        for _ in range(2000):
            average = beta1 * average + (1 - beta1) * curvature @ w
            w = w - factor * limit * average / divisor
        assert (np.abs(w).max() < 1) == stays


@pytest.mark.parametrize(
    "make",
    [
        partial(torch.optim.SGD, lr=0.01),
        partial(torch.optim.Adagrad, lr=0.01),
        partial(torch.optim.RMSprop, lr=0.01),
        partial(torch.optim.Adam, lr=0.01, betas=(0.0, 0.99)),
        partial(torch.optim.Adam, lr=0.01, betas=(0.0, 0.99), amsgrad=True),
        partial(torch.optim.AdamW, lr=0.01, betas=(0.0, 0.99), weight_decay=0.0),
        partial(torch.optim.RAdam, lr=0.01, betas=(0.0, 0.9)),
    ],
)
def test_an_update_is_the_rate_times_the_gradient_over_its_divisors(make):
    rng = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((4, 3), (5,))]
    frozen = torch.ones(2)
    for w in weights:
        w.requires_grad_()
    optimizer = make([*weights, frozen])
    for _ in range(12):
        before = [w.detach().clone() for w in weights]
        for w in weights:
            w.grad = torch.randn(w.shape, generator=rng, dtype=torch.float64)
        optimizer.step()
        moved = [(b - w.detach()).ravel() for b, w in zip(before, weights, strict=True)]
        gradient = torch.cat([w.grad.ravel() for w in weights]).numpy()
        found = 0.01 * gradient / divisors(optimizer)
        np.testing.assert_allclose(torch.cat(moved).numpy(), found, rtol=1e-6)


def test_rectification_begins_at_the_sixth_update_and_tends_to_one():
    assert [rectification(t) > 0 for t in (1, 5, 6, 7)] == [False, False, True, True]
    assert rectification(1e6) == pytest.approx(1, abs=1e-6)


def test_wrong_divisors_are_named():
    model, data = linear(), line()
    with pytest.raises(ValueError, match=r"divisor must have shape \(2,\), one a parameter, had"):
        preconditioned_sharpness(model, data, [1.0, 2.0, 3.0])
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"divisor must be finite numbers > 0, held {wrong}"):
            preconditioned_sharpness(model, data, [1.0, wrong])
    for make in (torch.optim.Adam, torch.optim.Adagrad):
        with pytest.raises(ValueError, match="optimizer must have made an update"):
            divisors(make(model.parameters()))
    for other in (torch.optim.Rprop, partial(torch.optim.RMSprop, centered=True)):
        with pytest.raises(TypeError, match="optimizer must be SGD, Adagrad, RMSprop that is not"):
            divisors(other(model.parameters()))
    with pytest.raises(ValueError, match="t must be a finite number >= 1"):
        rectification(0)
