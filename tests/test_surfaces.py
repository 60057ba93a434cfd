"""Surfaces against differences, linear algebra and what their docstrings promise."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcourse.optimizers import descents
from lrcourse.surfaces import (
    Bumpy,
    Quadratic,
    Rosenbrock,
    Saddle,
    Surface,
    least_squares,
    parabola,
    ravine,
)

LINE = np.linspace(-10, 10, 100)
SURFACES = [
    parabola(),
    ravine(30),
    ravine(30, angle=0.7),
    Quadratic([[2, 1, 0], [1, 3, 0], [0, 0, 0.5]], centre=[1, -1, 0], least=-2),
    least_squares(LINE, 2 * LINE + 1 + np.sin(LINE)),
    Rosenbrock(),
    Saddle(slope=0.3),
    Bumpy(),
]
each_surface = pytest.mark.parametrize("surface", SURFACES, ids=lambda s: s.label)


def differences(f, x, h):
    """Central differences of f along each coordinate, on a new last axis."""
    steps = h * np.eye(x.shape[-1])
    return np.stack([(f(x + e) - f(x - e)) / (2 * h) for e in steps], axis=-1)


@each_surface
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_derivatives_agree_with_differences(surface: Surface, data):
    x = np.array([data.draw(st.floats(low, high)) for low, high in surface.bounds])
    scale = 1 + np.abs(surface.hessian(x)).max()
    np.testing.assert_allclose(
        surface.grad(x), differences(surface.value, x, 1e-5), rtol=1e-6, atol=1e-6 * scale
    )
    np.testing.assert_allclose(
        surface.hessian(x), differences(surface.grad, x, 1e-5), rtol=1e-6, atol=1e-6 * scale
    )


@each_surface
def test_minima_are_flat_and_curved_upwards(surface):
    np.testing.assert_allclose(surface.grad(surface.minima), 0, atol=1e-12)
    assert (np.linalg.eigvalsh(surface.hessian(surface.minima)) > 0).all()


@each_surface
def test_minima_and_start_lie_within_bounds(surface):
    for point in [surface.start, *surface.minima]:
        assert all(low <= x <= high for x, (low, high) in zip(point, surface.bounds, strict=True))


@each_surface
def test_leading_axes_are_kept_and_points_do_not_mix(surface):
    points = np.random.default_rng(0).normal(size=(4, 3, surface.dim))
    assert surface.value(points).shape == (4, 3)
    assert surface.grad(points).shape == (4, 3, surface.dim)
    assert surface.hessian(points).shape == (4, 3, surface.dim, surface.dim)
    np.testing.assert_allclose(surface.value(points)[2, 1], surface.value(points[2, 1]), rtol=1e-14)
    np.testing.assert_allclose(surface.grad(points)[2, 1], surface.grad(points[2, 1]), rtol=1e-14)


@each_surface
def test_a_surface_is_data(surface):
    copy = pickle.loads(pickle.dumps(surface))
    assert copy == surface
    assert hash(copy) == hash(surface)
    assert eval(repr(surface)) == surface
    assert copy.minima == surface.minima


def test_rosenbrock_equals_torch_autograd():
    points = torch.randn(50, 2, dtype=torch.float64, requires_grad=True)
    x0, x1 = points.unbind(-1)
    loss = (1 - x0) ** 2 + 100 * (x1 - x0**2) ** 2
    (grad,) = torch.autograd.grad(loss.sum(), points)
    mine = points.detach().numpy()
    np.testing.assert_allclose(Rosenbrock().value(mine), loss.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(Rosenbrock().grad(mine), grad.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("bias", [True, False])
def test_least_squares_is_the_mean_squared_error(bias):
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(size=(40, 3)), rng.normal(size=40)
    surface = least_squares(inputs, targets, bias)
    w = rng.normal(size=(5, 3 + bias))
    predicted = w[:, :3] @ inputs.T + (w[:, 3:] if bias else 0)
    expected = ((predicted - targets) ** 2).mean(axis=1)
    np.testing.assert_allclose(surface.value(w), expected, rtol=1e-12)


def test_the_regression_on_inputs_up_to_ten_has_curvature_68_in_its_weight():
    surface = least_squares(LINE, 3 * LINE + 4)
    np.testing.assert_allclose(
        surface.hessian([0, 0]), np.diag([2 * np.mean(LINE**2), 2]), atol=1e-12
    )
    assert surface.hessian([0, 0])[0, 0] == pytest.approx(68.01, abs=0.005)
    assert surface.max_stable_lr == pytest.approx(2 / 68.0135, rel=1e-5)
    np.testing.assert_allclose(surface.minima, [[3, 4]])
    assert surface.value([3, 4]) == pytest.approx(0, abs=1e-20)


def test_least_squares_accepts_inputs_that_repeat_each_other():
    surface = least_squares(np.column_stack([LINE, LINE]), LINE, bias=False)
    assert surface.value(surface.minima) == pytest.approx(0, abs=1e-20)


def test_a_turned_ravine_has_the_same_curvatures():
    turned = ravine(30, angle=0.7)
    np.testing.assert_allclose(np.linalg.eigvalsh(turned.hessian([0, 0])), [1, 30])
    floor = np.array([np.cos(0.7), np.sin(0.7)])
    assert turned.value(floor) == pytest.approx(0.5)
    assert turned.max_stable_lr == pytest.approx(2 / 30)


def test_a_flat_bowl_takes_any_rate():
    assert Quadratic(0.0).max_stable_lr == np.inf


def test_the_flattest_minimum_sets_the_largest_stable_rate():
    bumpy = Bumpy()
    assert bumpy.max_stable_lr == pytest.approx(2 / bumpy.sharpness(bumpy.minima).min())
    assert bumpy.sharpness(bumpy.minima).argmin() == 0  # the wide well on the left
    assert bumpy.value(bumpy.minima).argmin() == 1  # the deepest is the one in the middle


def test_sharpness_is_the_largest_eigenvalue_even_where_others_are_negative():
    assert Saddle().sharpness([0, 0]) == 1
    assert Bumpy().sharpness([1.0]) < 0


def test_grid_has_rows_first_and_the_values_of_the_surface():
    grid = Rosenbrock().grid(7)
    assert grid.dims == ("x1", "x0")
    assert grid.sizes == {"x0": 7, "x1": 7}
    point = grid.isel(x0=2, x1=5)
    assert point.item() == pytest.approx(Rosenbrock().value([point.x0, point.x1]))
    assert (grid.x0[0], grid.x0[-1], grid.x1[0], grid.x1[-1]) == (-2, 2, -1, 3)


def test_grid_in_one_dimension():
    grid = Bumpy().grid(11)
    assert grid.dims == ("x0",)
    np.testing.assert_array_equal(grid, Bumpy().value(grid.x0.values[:, None]))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Quadratic([1, -1]), "curvature must be >= 0 in all directions, was [1, -1]"),
    (lambda: Quadratic([[1, 2], [0, 1]]),
     "curvature must be a number, a sequence of numbers or a symmetric matrix, was [[1, 2]"),
    (lambda: Quadratic([[1, 2, 3], [0, 1, 1]]), "curvature must be a number, a sequence"),
    (lambda: Quadratic(np.zeros((2, 2, 2))), "curvature must be a number, a sequence"),
    (lambda: Quadratic([]), "curvature must be a number, a sequence"),
    (lambda: Quadratic([1, np.nan]), "curvature must be a finite number, was nan"),
    (lambda: Quadratic([1, 2], centre=[0, 0, 0]), "centre must have 2 coordinates, was [0, 0, 0]"),
    (lambda: Quadratic(1, radius=0), "radius must be a finite number > 0, was 0"),
    (lambda: ravine(0.5), "condition must be a finite number >= 1, was 0.5"),
    (lambda: Rosenbrock(-1), "steepness must be a finite number > 0, was -1"),
    (lambda: Saddle(0), "slope must be a finite number > 0, was 0"),
    (lambda: Bumpy(curvature=0), "curvature must be a finite number > 0, was 0"),
    (lambda: Bumpy(wells=[(0, 1, 0)]), "wells must be (place, depth, width > 0) for each well"),
    (lambda: Bumpy(wells=[1, 2, 3]), "wells must be (place, depth, width > 0) for each well"),
    (lambda: least_squares([1, 2], [1]), "shapes (n, features) and (n,), were (2,) and (1,)"),
    (lambda: least_squares([], []), "must have shapes (n, features) and (n,), were (0,) and (0,)"),
    (lambda: least_squares([1, np.inf], [1, 2]), "inputs and targets must be finite, were not"),
    (lambda: Quadratic([1, 2, 3]).grid(), "grid needs 1 or 2 parameters, quadratic has 3"),
    (lambda: Rosenbrock().grid(1), "n must be an integer >= 2, was 1"),
    (lambda: parabola().value(3.0), "x must have a last axis of length 1, one for each "
     "parameter of x², its shape was ()"),
    (lambda: Rosenbrock().grad([1, 2, 3]), "its shape was (3,)"),
])  # fmt: skip
def test_wrong_input_is_named(make, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are checked below
        make()
    assert words in str(error.value)


def test_the_wrong_kind_of_thing_is_a_type_error():
    with pytest.raises(TypeError, match="slope must be a finite number > 0, was 'steep'"):
        Saddle("steep")


def test_a_learner_can_write_a_surface():
    class Quartic(Surface):
        label, bounds, start, minima = "x⁴", ((-2.0, 2.0),), (1.5,), ((0.0,),)

        def _value(self, x):
            return x[..., 0] ** 4

        def _grad(self, x):
            return 4 * x**3

        def _hessian(self, x):
            return 12 * x[..., None] ** 2

    runs = descents(Quartic(), lr=[0.05, 0.3], steps=200)
    assert runs.attrs["surface"] == "x⁴"
    assert abs(runs.x0.sel(lr=0.05).isel(step=-1)) < 0.2
    assert runs.diverged_at.sel(lr=0.3) > 0
    assert Quartic().max_stable_lr == np.inf  # flat at its minimum
