"""Rules against torch.optim, descents against the analysis of quadratics."""

import inspect
import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcourse.grids import axes_of
from lrcourse.optimizers import (
    GD,
    AdaGrad,
    Adam,
    AdamW,
    Momentum,
    RMSprop,
    Rule,
    descend,
    descents,
    per_run,
)
from lrcourse.schedules import Constant, Cosine, warmup
from lrcourse.surfaces import (
    Bumpy,
    Quadratic,
    Rosenbrock,
    Saddle,
    least_squares,
    parabola,
    ravine,
)

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.normal(size=(30, 4)), RNG.normal(size=30)
MATRIX = np.array([[3.0, 1.0], [1.0, 2.0]])


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def bowl(x):
    return x @ torch.tensor(MATRIX) @ x / 2


def regression(w):
    return ((torch.tensor(INPUTS) @ w - torch.tensor(TARGETS)) ** 2).mean()


# surface, the same loss in torch, start, and a rate that suits (rules without, with) a division
LOSSES = {
    "rosenbrock": (Rosenbrock(), rosenbrock, [-1.2, 1.0], (5e-4, 0.005)),
    "quadratic": (Quadratic(MATRIX), bowl, [2.0, -1.5], (0.05, 0.1)),
    "regression": (least_squares(INPUTS, TARGETS, bias=False), regression,
                   [1.0, -1.0, 2.0, 0.5], (0.05, 0.1)),
}  # fmt: skip
RULES = [
    (GD(), torch.optim.SGD, {}),
    (GD(weight_decay=0.1), torch.optim.SGD, {"weight_decay": 0.1}),
    (Momentum(0.9), torch.optim.SGD, {"momentum": 0.9}),
    (Momentum(0.7, weight_decay=0.1), torch.optim.SGD, {"momentum": 0.7, "weight_decay": 0.1}),
    (Momentum(0.9, nesterov=True), torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (Momentum(0.5, nesterov=True, weight_decay=0.1), torch.optim.SGD,
     {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    (AdaGrad(), torch.optim.Adagrad, {}),
    (AdaGrad(eps=0.1, weight_decay=0.1), torch.optim.Adagrad, {"eps": 0.1, "weight_decay": 0.1}),
    (RMSprop(), torch.optim.RMSprop, {}),
    (RMSprop(alpha=0.5, eps=0.1, weight_decay=0.1), torch.optim.RMSprop,
     {"alpha": 0.5, "eps": 0.1, "weight_decay": 0.1}),
    (Adam(), torch.optim.Adam, {}),
    (Adam(betas=(0.5, 0.9), eps=0.1), torch.optim.Adam, {"betas": (0.5, 0.9), "eps": 0.1}),
    (Adam(weight_decay=0.1), torch.optim.Adam, {"weight_decay": 0.1}),
    (AdamW(), torch.optim.AdamW, {}),
    (AdamW(betas=(0.8, 0.99), weight_decay=0.3), torch.optim.AdamW,
     {"betas": (0.8, 0.99), "weight_decay": 0.3}),
]  # fmt: skip


def torch_path(optimizer, loss, start, rates, options):
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = optimizer([x], lr=1.0, **options)
    path = [x.detach().numpy().copy()]
    for rate in rates:
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        loss(x).backward()
        optimizer.step()
        path.append(x.detach().numpy().copy())
    return np.array(path)


@pytest.mark.parametrize("problem", LOSSES)
@pytest.mark.parametrize(("rule", "optimizer", "options"), RULES, ids=lambda v: str(v)[:60])
def test_equals_torch_while_the_rate_changes(rule, optimizer, options, problem):
    surface, loss, start, (plain, divided) = LOSSES[problem]
    peak = plain if isinstance(rule, GD | Momentum) else divided
    rates = warmup(Cosine(peak, 380), 20)(np.arange(400))
    mine = descend(rule, surface, start, rates).x
    theirs = torch_path(optimizer, loss, start, rates, options)
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
    assert np.abs(np.diff(mine, axis=0)).max() > 1e-3  # it went somewhere


def test_a_rule_can_be_driven_by_hand():
    params, rule = np.array([1.0, -2.0]), Adam()
    state = rule.init(params)
    params, state = rule.update(params, np.array([1e-3, 50.0]), state, lr=0.1, t=0)
    np.testing.assert_allclose(params, [0.9, -2.1], atol=1e-5)  # the first step is the rate
    assert set(state) == {"mean", "square"}


@pytest.mark.parametrize(("rule", "optimizer", "options"), RULES, ids=lambda v: str(v)[:60])
def test_a_rule_is_data(rule, optimizer, options):
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert eval(repr(rule)) == rule


def test_a_learner_can_write_a_rule():
    class SignDescent(Rule):
        def direction(self, grad, state, t):
            return np.sign(grad), state

    runs = descents(parabola(), SignDescent(), lr=[0.1, 0.3], start=1.0, steps=5)
    np.testing.assert_allclose(runs.x0.sel(lr=0.1), [1, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert "SignDescent" in runs.attrs["rule"]


# -- the regimes of gradient descent ---------------------------------------------------------------


@given(lr=st.floats(0.001, 1.3), start=st.floats(0.1, 2))
@settings(max_examples=50, deadline=None)
def test_gradient_descent_on_a_parabola_is_a_geometric_sequence(lr, start):
    x = descents(parabola(), GD(), lr=lr, start=start, steps=20, bound=1e300).x0
    np.testing.assert_allclose(x, start * (1 - 2 * lr) ** np.arange(21), rtol=1e-9, atol=1e-12)


def test_the_five_regimes_of_a_parabola():
    runs = descents(parabola(), lr=[0.2, 0.5, 0.8, 1.0, 1.2], start=1.0, steps=150)
    x = {float(lr): runs.x0.sel(lr=lr).values for lr in runs.lr}
    assert (x[0.2][:50] > 0).all()  # falls on one side
    assert (np.diff(x[0.2][:50]) < 0).all()
    np.testing.assert_array_equal(x[0.5], [1] + 150 * [0])  # arrives in one update
    signs = (-1.0) ** np.arange(50)
    np.testing.assert_array_equal(np.sign(x[0.8][:50]), signs)  # from side to side, shrinking
    assert abs(x[0.8][-1]) < 1e-12
    np.testing.assert_array_equal(x[1.0], (-1.0) ** np.arange(151))  # from side to side for ever
    np.testing.assert_array_equal(runs.diverged_at > 0, [False] * 4 + [True])
    np.testing.assert_allclose(x[1.2][:20], (-1.4) ** np.arange(20))


def test_each_eigenvector_contracts_by_its_own_factor():
    runs = descents(ravine(25), GD(), lr=0.07, start=(1, 1), steps=30)
    step = runs.step.values
    np.testing.assert_allclose(runs.x0, (1 - 0.07) ** step, rtol=1e-12)
    np.testing.assert_allclose(runs.x1, (1 - 0.07 * 25) ** step, rtol=1e-9)


def test_the_threshold_of_divergence_is_two_over_the_largest_curvature():
    surface = ravine(40, angle=0.3)
    edge = surface.max_stable_lr
    runs = descents(surface, lr=[0.99 * edge, 1.01 * edge], steps=3000)
    assert runs.loss[0, -1] < 1e-12
    assert runs.diverged_at[1] > 0


def test_the_slides_regression_diverges_at_a_tenth_and_leaves_the_bias_off_at_a_hundredth():
    line = np.linspace(-10, 10, 100)
    runs = descents(least_squares(line, 2 * line + 3), lr=[0.1, 0.01], start=(0, 0), steps=100)
    assert 0 < runs.diverged_at.sel(lr=0.1) < 20
    end = runs.sel(lr=0.01, step=100)
    assert end.x0 == pytest.approx(2, abs=1e-12)
    assert end.x1 == pytest.approx(3 - 3 * 0.98**100, rel=1e-9)  # 13 % of the bias is missing


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_converges_up_to_twice_one_plus_momentum(momentum):
    edge = 2 * (1 + momentum)
    lr = [0.01, 0.5 * edge, 0.99 * edge, 1.01 * edge, 1.5 * edge]
    runs = descents(Quadratic(1.0), Momentum(), lr=lr, momentum=momentum, start=1.0, steps=4000)
    np.testing.assert_array_equal(runs.diverged_at > 0, [False, False, False, True, True])
    assert (runs.loss[:3, -1] < 1e-12).all()


def test_momentum_contracts_by_the_root_of_momentum_where_it_oscillates():
    runs = descents(Quadratic(1.0), Momentum(0.81), lr=1.0, start=1.0, steps=400)
    size = np.sqrt(runs.x0.values[1:] ** 2 + runs.x0.values[:-1] ** 2)
    rate = (size[300] / size[100]) ** (1 / 200)
    assert rate == pytest.approx(0.9, abs=0.003)


def test_the_rate_decides_which_minimum_is_found():
    lr = [0.05, 0.3, 1.5, 6.0]
    runs = descents(Bumpy(), lr=lr, steps=2000)
    end = runs.x0.sel(step=2000).values
    wide, deep, sharp = np.ravel(Bumpy().minima)
    np.testing.assert_allclose(end[:3], [sharp, deep, wide], atol=1e-6)
    assert np.abs(end[3] - Bumpy().minima).min() > 0.01  # stays nowhere


def test_a_saddle_holds_a_descent_for_a_logarithm_of_the_distance():
    starts = [(1, 1e-2), (1, 1e-4), (1, 1e-6), (1, 0)]
    runs = descents(Saddle(), lr=0.1, start=starts, steps=400)
    leaves = (abs(runs.x1) > 0.1).argmax("step").values
    np.testing.assert_allclose(np.diff(leaves[:3]), np.log(100) / np.log(1.1), atol=1)
    assert (runs.x1[3] == 0).all()


# -- noise -----------------------------------------------------------------------------------------


def test_the_noise_floor_is_that_of_the_formula():
    curvature, sigma, lr = 2.0, 0.5, [0.05, 0.2, 0.6]
    given = {"noise": sigma, "seed": range(200), "steps": 1500}
    runs = descents(Quadratic(curvature), lr=lr, start=0.0, **given)
    floor = (runs.x0.sel(step=slice(500, None)) ** 2).mean(["seed", "step"])
    theory = [eta * sigma**2 / (curvature * (2 - eta * curvature)) for eta in lr]
    np.testing.assert_allclose(floor, theory, rtol=0.03)


def test_a_seed_brings_the_same_noise_alone_or_in_any_grid():
    given = {"noise": 0.3, "steps": 40}
    alone = descents(ravine(5), Momentum(0.5), lr=0.1, seed=7, **given)
    grid = descents(
        {"other": ravine(50), "this": ravine(5)}, {"gd": GD(), "this": Momentum(0.5)},
        lr=[0.02, 0.1], seed=[3, 7, 11], start=[(0, 0), ravine(5).start], **given,
    ).sel(surface="this", rule="this", lr=0.1, seed=7, start="(1.5, 1.5)")  # fmt: skip
    np.testing.assert_array_equal(grid.x1, alone.x1)
    np.testing.assert_array_equal(grid.loss, alone.loss)


def test_noise_does_not_depend_on_the_number_of_steps():
    short, long = (
        descents(parabola(), lr=0.1, noise=1.0, seed=1, steps=steps).x0 for steps in (10, 60)
    )
    np.testing.assert_array_equal(short, long[:11])


def test_no_noise_means_that_seeds_agree():
    runs = descents(parabola(), lr=0.1, seed=[0, 1], noise=[0.0, 1.0], steps=5)
    assert runs.x0.dims == ("noise", "seed", "step")
    assert (runs.x0.sel(noise=0, seed=0) == runs.x0.sel(noise=0, seed=1)).all()
    assert (runs.x0.sel(noise=1, seed=0) != runs.x0.sel(noise=1, seed=1))[1:].all()


# -- grids -----------------------------------------------------------------------------------------

GRIDS = [
    (GD(), {"lr": [1e-4, 1e-3], "weight_decay": [0.0, 0.1]}),
    (Momentum(), {"momentum": [0.0, 0.9], "nesterov": [False, True], "lr": [1e-4, 5e-4]}),
    (AdaGrad(), {"eps": [1e-8, 1e-2], "lr": [0.1, 1.0]}),
    (RMSprop(), {"alpha": [0.9, 0.99], "lr": [0.01, 0.1], "eps": [1e-8, 1e-2]}),
    (Adam(), {"betas": [(0.5, 0.9), (0.9, 0.999)], "lr": [0.01, 0.1], "weight_decay": [0, 0.1]}),
    (AdamW(), {"betas": {"slow": (0.5, 0.9), "fast": (0.9, 0.999)}, "weight_decay": [0, 0.1],
               "lr": np.array([0.01, 0.1])}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "grid"), GRIDS, ids=lambda v: getattr(v, "label", ""))
def test_every_cell_of_a_grid_is_the_run_on_its_own(rule, grid):
    schedule = {"flat": Constant(1.0), "falling": Cosine(1.0, 60)}
    runs = descents(Rosenbrock(), rule, **grid, schedule=schedule, noise=0.1, seed=[4, 5], steps=60)
    assert runs.loss.dims == (*grid, "schedule", "seed", "step")
    for cell in np.ndindex(*runs.diverged_at.shape):
        one = runs[dict(zip(runs.diverged_at.dims, cell, strict=True))]
        settings = {
            name: dict(grid[name])[one[name].item()] if isinstance(grid[name], dict)
            else grid[name][runs.get_index(name).get_loc(one[name].item())]
            for name in grid
        }  # fmt: skip
        alone = descents(
            Rosenbrock(), rule, **settings, schedule=schedule[one.schedule.item()],
            noise=0.1, seed=int(one.seed), steps=60,
        )  # fmt: skip
        for name in ("x0", "x1", "loss", "used"):
            np.testing.assert_allclose(one[name], alone[name], rtol=1e-9, atol=1e-12)
        assert one.diverged_at == alone.diverged_at


def test_dimensions_come_in_the_order_given_with_seed_last():
    settings = {"seed": [0, 1], "momentum": [0, 0.5, 0.9], "lr": [0.1, 0.01], "start": [1.0, 2.0]}
    runs = descents({"a": parabola(), "b": Bumpy()}, [Momentum()], **settings, steps=3)
    assert runs.loss.dims == ("surface", "rule", "momentum", "lr", "start", "seed", "step")
    assert runs.diverged_at.dims == runs.loss.dims[:-1]
    np.testing.assert_array_equal(runs.lr, [0.1, 0.01])
    np.testing.assert_array_equal(runs.step, range(4))
    assert list(runs.rule.values) == ["Momentum"]


def test_one_run_has_no_dimension_but_step():
    runs = descents(Rosenbrock(), Adam(), lr=0.1, steps=3)
    assert runs.loss.dims == ("step",)
    assert runs.diverged_at.shape == ()
    assert (runs.x0[0], runs.x1[0], runs.loss[0]) == (-1.2, 1, pytest.approx(24.2))
    assert runs.attrs == {"surface": "Rosenbrock", "rule": repr(Adam()), "steps": 3,
                          "bound": 1e12, "lr": 0.1}  # fmt: skip


def test_a_grid_can_be_saved(tmp_path):
    runs = descents(ravine(), [GD(), Momentum(nesterov=True)], lr=[0.1, 0.2],
                    start=[(1, 2), (2, 1)], schedule={"c": Cosine(1.0, 9)})  # fmt: skip
    runs.to_netcdf(tmp_path / "runs.nc")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "runs.nc"), runs)


SAME_GRID = {
    "list": [0.1, 0.2, 0.3],
    "tuple": (0.1, 0.2, 0.3),
    "array": np.array([0.1, 0.2, 0.3]),
    "tensor": torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64),
    "series": pd.Series([0.1, 0.2, 0.3], index=[7, 8, 9]),
    "dataarray": xr.DataArray([0.1, 0.2, 0.3], dims="lr"),
    "values": {"a": 0.1, "b": 0.2, "c": 0.3}.values(),
}


@pytest.mark.parametrize("lr", SAME_GRID.values(), ids=SAME_GRID)
def test_whatever_holds_values_in_an_order_spans_the_same_grid(lr):
    runs = descents(parabola(), lr=lr, start=1.0, steps=3)
    xr.testing.assert_identical(runs, descents(parabola(), lr=[0.1, 0.2, 0.3], start=1.0, steps=3))


def test_a_dict_gives_labels_and_may_repeat_values():
    runs = descents(parabola(), lr={"slow": 0.1, "again": 0.1}, start={"left": -1.0}, steps=3)
    assert list(runs.lr.values) == ["slow", "again"]
    assert list(runs.start.values) == ["left"]
    np.testing.assert_array_equal(runs.x0.sel(lr="slow"), runs.x0.sel(lr="again"))


def test_labels_are_those_of_a_sweep():
    schedules = [Constant(0.1), Cosine(0.1, 9)]
    settings = {"schedule": schedules, "betas": [(0.5, 0.9), (0.9, 0.99)], "seed": range(2)}
    runs = descents(parabola(), Adam(), **settings, steps=3)
    for axis in axes_of(settings):
        np.testing.assert_array_equal(runs[axis.name], axis.labels)


@pytest.mark.parametrize("start", [[(1, 2), (2, 1)], np.array([[1, 2], [2, 1]])], ids=type)
def test_starts_come_as_points_or_as_rows_of_an_array(start):
    runs = descents(ravine(), lr=0.01, start=start, steps=1)
    assert list(runs.start.values) == ["(1, 2)", "(2, 1)"]
    np.testing.assert_array_equal(runs.x1.sel(step=0), [2, 1])


@pytest.mark.parametrize("betas", [(0.5, 0.9), [0.5, 0.9], np.array([0.5, 0.9])], ids=type)
def test_a_pair_of_betas_is_one_value(betas):
    runs = descents(parabola(), Adam(), lr=0.1, betas=betas, start=1.0, steps=5)
    alone = descents(parabola(), Adam(betas=(0.5, 0.9)), lr=0.1, start=1.0, steps=5)
    assert runs.loss.dims == ("step",)
    np.testing.assert_array_equal(runs.loss, alone.loss)


def test_help_names_every_setting():
    named = inspect.signature(descents).parameters
    for rule in (GD(), Momentum(), AdaGrad(), RMSprop(), Adam(), AdamW()):
        assert {"lr", "schedule", "start", "noise", "seed", *rule.hyperparameters()} <= set(named)


def test_a_rule_may_have_hyperparameters_of_its_own():
    @dataclass(frozen=True)
    class Power(Rule):
        power: float = 1.0

        def direction(self, grad, state, t):
            return np.sign(grad) * np.abs(grad) ** per_run(self.power), state

    runs = descents(parabola(), Power(), power=[0.0, 1.0], lr=0.25, start=1.0, steps=1)
    np.testing.assert_array_equal(runs.x0.sel(step=1), [0.75, 0.5])
    with pytest.raises(TypeError, match="power must be a finite number, was 'x'"):
        Power("x")


@pytest.mark.parametrize("surface", [Rosenbrock(), Quadratic(np.diag([1.0, 2, 3, 4]))])
def test_there_is_a_variable_for_each_parameter(surface):
    runs = descents(surface, lr=[1e-3], steps=2)
    assert [name for name in runs if name[0] == "x"] == [f"x{i}" for i in range(surface.dim)]


# -- the rate --------------------------------------------------------------------------------------


def test_used_is_the_rate_of_the_update_that_leaves_the_step():
    schedule = Cosine(0.4, 10)
    runs = descents(parabola(), lr=schedule, start=1.0, steps=10)
    np.testing.assert_array_equal(runs.used[:-1], schedule(np.arange(10)))
    assert np.isnan(runs.used[-1])
    x = runs.x0.values
    np.testing.assert_allclose(x[:-1] - x[1:], runs.used[:-1] * 2 * x[:-1])


def test_lr_is_the_factor_on_a_schedule():
    runs = descents(parabola(), lr=[0.1, 0.2], schedule=Cosine(1.0, 5), steps=5)
    np.testing.assert_allclose(runs.used.sel(lr=0.2)[:-1], 0.2 * Cosine(1.0, 5)(np.arange(5)))


def test_any_function_of_t_is_a_schedule():
    runs = descents(parabola(), schedule=[lambda t: 0.1 / (1 + t)], start=1.0, steps=2)
    np.testing.assert_allclose(runs.x0[0], [1, 0.8, 0.72])


# -- divergence ------------------------------------------------------------------------------------


def test_a_divergent_run_is_marked_and_its_neighbours_are_undisturbed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs = descents(Rosenbrock(), lr=[1e-3, 1.0, 1e300], steps=500)
        calm = descents(Rosenbrock(), lr=1e-3, steps=500)
    at = runs.diverged_at.values
    assert list(at) == [-1, 2, 1]
    np.testing.assert_array_equal(runs.loss[0], calm.loss)
    for name in ("x0", "x1", "loss", "used"):
        run = runs[name].sel(lr=1.0).values
        np.testing.assert_array_equal(np.isfinite(run), np.arange(501) < at[1])


@pytest.mark.parametrize(("rule", "_", "__"), RULES, ids=lambda v: str(v)[:60])
def test_no_rule_leaks_a_warning_when_it_overflows(rule, _, __):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs = descents(parabola(), rule, lr=[0.1, 1e155], start=1.0, steps=30, bound=1e308)
    assert runs.diverged_at[0] == -1
    assert runs.diverged_at[1] >= 1


def test_the_bound_is_the_largest_loss_that_is_followed():
    runs = descents(parabola(), lr=1.5, start=1.0, steps=10, bound=16)  # 1, -2, 4, -8 ...
    np.testing.assert_array_equal(runs.loss[:3], [1, 4, 16])
    assert runs.diverged_at == 3
    np.testing.assert_array_equal(runs.used[:4], [1.5, 1.5, 1.5, np.nan])


def test_a_start_beyond_the_bound_has_diverged_at_zero():
    runs = descents(parabola(), lr=0.1, start=1e7, steps=3)
    assert runs.diverged_at == 0
    assert runs.loss.isnull().all()


def test_a_loss_that_falls_below_minus_the_bound_has_diverged_too():
    class Slope(Quadratic):
        def _value(self, x):
            return -x[..., 0]

        def _grad(self, x):
            return -np.ones_like(x)

    path = descend(GD(), Slope(1.0), [0.0], np.ones(10), bound=4)
    assert path.diverged_at == 5


# -- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Momentum(1.5), "momentum must be a finite number >= 0 and < 1, was 1.5"),
    (lambda: Momentum([0.5, -1]), "momentum must be a finite number >= 0 and < 1, was -1"),
    (lambda: Adam(betas=(0.9, 1.0)), "betas must be a finite number >= 0 and < 1, was 1.0"),
    (lambda: Adam(betas=(0.9, 0.99, 0.999)), "betas must be two numbers >= 0 and < 1, such as"),
    (lambda: Adam(betas=([0.9, 1.0], 0.99)), "betas must be a finite number >= 0 and < 1, was 1.0"),
    (lambda: Momentum(1.0), "momentum must be a finite number >= 0 and < 1, was 1.0"),
    (lambda: RMSprop(alpha=1), "alpha must be a finite number >= 0 and < 1, was 1"),
    (lambda: Adam(eps=-1), "eps must be a finite number >= 0, was -1"),
    (lambda: GD(weight_decay=np.nan), "weight_decay must be a finite number >= 0, was nan"),
    (lambda: RMSprop(alpha=2), "alpha must be a finite number >= 0 and < 1, was 2"),
    (lambda: descents(parabola(), lr=-1), "lr must be a finite number >= 0, was -1"),
    (lambda: descents(parabola(), lr=[0.1, np.inf]), "lr must be a finite number >= 0, was inf"),
    (lambda: descents(parabola(), lr=[]), "lr must hold at least one value, was empty"),
    (lambda: descents(parabola(), lr={}), "lr must hold at least one value, was empty"),
    (lambda: descents(parabola(), lr=[1, 1.0]), "lr must hold each value once, 1.0 stands"),
    (lambda: descents(parabola(), [GD(), GD()], lr=1), "rule must hold each value once, 'GD'"),
    (lambda: descents(parabola(), lr=0.1, steps=0), "steps must be an integer >= 1, was 0"),
    (lambda: descents(parabola(), lr=0.1, noise=-1), "noise must be a finite number >= 0, was -1"),
    (lambda: descents(parabola(), lr=0.1, seed=-1), "seed must be an integer >= 0, was -1"),
    (lambda: descents(ravine(), lr=0.1, start=1.0), "start must be 2 finite coordinates, was 1.0"),
    (lambda: descents(ravine(), lr=0.1, start=[1, 2, 3]), "start must be 2 finite coordinates"),
    (lambda: descents(parabola(), lr=0.1, start=np.nan), "must be 1 finite coordinate, was nan"),
    (lambda: descents([ravine(), parabola()], lr=0.1), "surface must all have as many parameters"),
    (lambda: descents(parabola(), lr=lambda t: 1.0 - t), "rates must be finite numbers >= 0"),
    (lambda: descents(parabola(), Adam(), lr=1, betas=[(0.9,)]), "betas must be two numbers"),
    (lambda: descents(parabola(), lr=np.ones((2, 2))), "lr must be one-dimensional, had shape"),
    (lambda: descents(parabola(), Momentum([0.1, 0.2]), lr=1), "rule must have one value for each"),
    (lambda: descents(parabola(), lr=0.1, bound=-1), "bound must be a finite number >= 0, was -1"),
    (lambda: descend(GD(), parabola(), [1.0], 0.1), "rates must be finite numbers >= 0, one for"),
    (lambda: descend(GD(), ravine(), [1.0], [0.1]), "x must have a last axis of length 2"),
])  # fmt: skip
def test_wrong_values_are_named(make, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are checked below
        make()
    assert words in str(error.value)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: descents(parabola()), "descents needs lr or schedule"),
    (lambda: descents(parabola(), GD(), lr=0.1, momentum=0.9), "'momentum' is no setting of GD; "
     "there are lr, schedule, start, noise, seed, weight_decay"),
    (lambda: descents(parabola(), lr="fast"), "lr must be a finite number >= 0, was 'fast'"),
    (lambda: descents(parabola(), schedule=0.1), "schedule must be a function such as Cosine"),
    (lambda: descents(parabola(), "adam", lr=0.1), "rule must be a Rule such as GD() or Adam()"),
    (lambda: descents(abs, lr=0.1), "surface must be a Surface such as parabola(), was <built-in"),
    (lambda: descents(parabola(), lr=0.1, seed=0.5), "seed must be an integer >= 0, was 0.5"),
    (lambda: Momentum(nesterov=1), "nesterov must be True or False, was 1"),
    (lambda: Adam(betas=0.9), "betas must be two numbers >= 0 and < 1, such as (0.9"),
    (lambda: Adam(betas=np.ones((2, 2)) / 2), "betas must be two numbers >= 0 and < 1, such as"),
    (lambda: descents(parabola(), Adam(), lr=1, betas=0.9), "betas must be two numbers >= 0"),
    (lambda: descents(parabola(), Adam(), lr=1, betas=np.array([0.9, 0.8, 0.7])), "betas must"),
    (lambda: descents(parabola(), lr=(x for x in [0.1])), "a generator can be read only once"),
    (lambda: descents(parabola(), lr={0.1, 0.2}), "a set has no order"),
    (lambda: descents((s for s in [parabola()]), lr=0.1), "surface must be one value, or a"),
    (lambda: descents(Rosenbrock, lr=0.1), "surface must be a Surface such as parabola(), was"),
    (lambda: descents(parabola(), Adam, lr=0.1), "rule must be a Rule such as GD() or Adam(), was"),
    (lambda: descents([parabola(), 3], lr=0.1), "surface must be a Surface such as parabola()"),
    (lambda: descents(parabola(), lr=0.1, momentun=0.9), "did you mean 'momentum'?"),
    (lambda: descents(parabola(), lr=0.1, start="left"), "start must be 1 finite coordinate, was"),
    (lambda: descend(GD(), abs, [1.0], [0.1]), "surface must be a Surface such as parabola()"),
    (lambda: descend("gd", parabola(), [1.0], [0.1]), "rule must be a Rule such as GD() or Adam()"),
])  # fmt: skip
def test_wrong_kinds_are_named(make, words):
    with pytest.raises(TypeError) as error:
        make()
    assert words in str(error.value)
