"""The batched engine against single runs, and what a sweep accepts and refuses."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrcourse.data import Data, digits, line, split
from lrcourse.engine import batched, planning, stacks
from lrcourse.engine.assembly import Assembly
from lrcourse.engine.stacks import ACTIVATIONS, Mapped, Perceptrons, products, stack_for
from lrcourse.models import linear, mlp
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.randomness import seeded
from lrcourse.schedules import Constant, Cosine, OneCycle, Step, Triangular
from lrcourse.sweeps import sweep
from lrcourse.training import fit

DIGITS = digits()
RNG = np.random.default_rng(0)
TOY = split("toy", RNG.standard_normal((60, 3)), RNG.integers(0, 3, 60))
FLOATS = ("loss", "train_loss", "val_loss", "val_accuracy")

# float64: rounding alone, summed over 60 updates.  float32: the same at 1e-7 instead of 1e-16.
CLOSE = {torch.float64: 1e-11, torch.float32: 2e-5}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny products gain nothing from a second thread, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def toy_mlp(dtype=torch.float64, sizes=(3, 7, 5, 3), activation="tanh"):
    return mlp(sizes, activation).to(dtype)


def assert_equals_single_runs(cube, model, data, tolerance, **shared):
    """Compare every run of a cube with fit, alone, in torch.optim."""
    axes = [name for name in cube.loss.dims if name != "step"]
    for index in np.ndindex(*(cube.sizes[a] for a in axes)):
        run = cube.isel(dict(zip(axes, index, strict=True)))
        given_values = {a: run[a].item() for a in axes}
        if "clip" in given_values and np.isinf(given_values["clip"]):
            given_values["clip"] = None
        seed = given_values.get("seed", shared.get("seed", 0))
        alone = fit(seeded(model, seed), data, **(shared | given_values))
        for name in FLOATS:
            np.testing.assert_allclose(
                run[name].values, getattr(alone, name), rtol=tolerance, atol=tolerance
            )
        assert np.array_equal(run.used.values, alone.used, equal_nan=True)
        assert run.diverged_at == (-1 if alone.diverged_at is None else alone.diverged_at)


GRIDS = {
    "sgd": {"momentum": [0.0, 0.9], "weight_decay": [0.0, 0.1], "clip": [None, 0.3]},
    "nesterov": {"optimizer": "sgd", "momentum": [0.5, 0.9], "nesterov": True},
    "adagrad": {"weight_decay": [0.0, 0.1], "eps": [1e-10, 1e-3]},
    "rmsprop": {"momentum": [0.0, 0.9], "alpha": [0.9, 0.99], "lr": [1e-3, 1e-2]},
    "adam": {"weight_decay": [0.0, 0.1], "eps": [1e-8, 1e-2], "clip": 0.5},
    "adamw": {"weight_decay": [0.0, 0.1], "betas": (0.8, 0.99)},
}


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", GRIDS)
def test_every_run_of_a_cube_is_the_run_made_alone(name, dtype):
    grid = {"optimizer": name, "lr": [0.01, 0.1], "seed": [0, 7]} | GRIDS[name]
    shared = {"steps": 60, "eval_every": 25, "batch_size": 16, "schedule": Cosine(1.0, 60)}
    model = partial(toy_mlp, dtype)
    cube = sweep(model, TOY, engine="batched", **grid, **shared)
    plain = {n: v for n, v in grid.items() if n not in cube.dims}
    assert_equals_single_runs(cube, model, TOY, CLOSE[dtype], **plain, **shared)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_a_schedule_moves_the_momentum_of_every_run(optimizer):
    cycle = OneCycle(1.0, 40)
    shared = {"optimizer": optimizer, "schedule": cycle, "steps": 40, "batch_size": 16}
    cube = sweep(toy_mlp, TOY, engine="batched", lr=[0.001, 0.02], seed=[1, 2], **shared)
    assert_equals_single_runs(cube, toy_mlp, TOY, 1e-11, **shared)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=0, max_size=3),
    activation=st.sampled_from(["tanh", "relu", "sigmoid"]),
    lr=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=3, unique=True),
    seed=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
    batch_size=st.sampled_from([None, 1, 7, 45]),
    clip=st.none() | st.floats(0.01, 1),
    chunk=st.sampled_from([1, 3000, 10**7]),
)
@settings(max_examples=20, deadline=None)
def test_shape_batch_seeds_and_chunks_change_nothing(
    sizes, activation, lr, seed, batch_size, clip, chunk
):
    model = partial(toy_mlp, torch.float64, (3, *sizes, 3), activation)
    shared = {"steps": 20, "batch_size": batch_size, "clip": clip, "eval_every": 7}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(planning.CHUNK_BYTES, "cpu", chunk)
        cube = sweep(model, TOY, engine="batched", lr=lr, seed=seed, **shared)
    assert_equals_single_runs(cube, model, TOY, 1e-11, **shared)


def test_a_diverged_run_does_not_disturb_its_neighbours():
    shared = {"steps": 60, "batch_size": None, "eval_every": 20}
    rates = [0.001, 0.1, 0.01, 1e30, 0.02]
    cube = sweep(linear, line(), engine="batched", lr=rates, seed=range(2), **shared)
    assert_equals_single_runs(cube, linear, line(), 2e-5, **shared)
    assert (cube.diverged_at.values >= 0).tolist() == [[rate in (0.1, 1e30)] * 2 for rate in rates]
    assert cube.finished.all()


def test_divergence_of_every_run_is_a_result():
    cube = sweep(linear, line(), lr=[0.5, 1.0], steps=50, batch_size=None)
    assert (cube.diverged_at > 0).all()
    assert np.isnan(cube.val_loss.sel(eval_step=50)).all()


def test_ties_count_as_the_first_class():
    def flat():
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).apply(zero)

    def zero(part):
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    cube = sweep(flat, TOY, engine="batched", lr=[0.0, 0.1], steps=1, batch_size=8)
    assert cube.val_accuracy[0, 0].item() == pytest.approx((TOY.y_val == 0).double().mean().item())


class Residual(nn.Module):
    def __init__(self, normed=False):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8) if normed else nn.Identity()

    def forward(self, x):
        x = self.a(x)
        return self.c(x + torch.tanh(self.norm(self.b(x))))


@pytest.mark.parametrize("normed", [False, True])
def test_other_models_are_stacked_by_vmap(normed):
    def model():
        return Residual(normed).double()

    assert stack_for(model(), TOY.to(torch.zeros(1).double())) is Mapped
    shared = {"steps": 30, "batch_size": 16, "eval_every": 10, "optimizer": "adam", "clip": 0.5}
    cube = sweep(model, TOY, engine="batched", lr=[0.001, 0.01], seed=[0, 1], **shared)
    assert_equals_single_runs(cube, model, TOY, 1e-10, **shared)
    assert cube.attrs["engine"] == "batched"


def test_convolutions_are_stacked_by_vmap():
    images = split("i", RNG.standard_normal((40, 1, 6, 6)), RNG.integers(0, 2, 40))

    def model():
        conv = nn.Conv2d(1, 2, 3)
        return nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2))

    shared = {"steps": 10, "batch_size": 8}
    cube = sweep(model, images, engine="batched", lr=[0.01, 0.1], seed=[0, 1], **shared)
    assert_equals_single_runs(cube, model, images, 2e-5, **shared)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.lstm(x[..., None])[0][:, -1])


class Branching(Residual):
    def forward(self, x):
        return super().forward(x if x.sum().item() > 0 and self.a.bias.sum() > 0 else -x)


def dropping():
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 3))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Recurrent, "lstm is recurrent, which torch.func.vmap has no rule for"),
        (Branching, "vmap cannot follow its forward"),
        (dropping, "1 draws random numbers"),
    ],
)
def test_models_that_cannot_be_stacked_go_alone_or_say_why(model, why):
    shared = {"lr": [0.01, 0.1], "steps": 3, "batch_size": 8}
    with pytest.raises(ValueError, match=f"engine 'batched' cannot hold .*{why}"):
        sweep(model, TOY, engine="batched", **shared)
    cube = sweep(model, TOY, **shared)
    assert cube.attrs["engine"] == "executor"
    assert_equals_single_runs(
        cube, model, TOY, 0, **{n: shared[n] for n in ("steps", "batch_size")}
    )


def test_settings_that_cannot_be_stacked_say_why_and_the_rest_is():
    rules = {"plateau": ReduceOnPlateau(0.1, patience=0), "constant": Constant(0.1)}
    with pytest.raises(ValueError, match="a ReduceOnPlateau decides during the run"):
        sweep(toy_mlp, TOY, schedule=rules, steps=6, batch_size=8, engine="batched")
    cube = sweep(toy_mlp, TOY, schedule=rules, seed=[0, 1], steps=6, batch_size=8, eval_every=1)
    assert cube.attrs["engine"] == "batched and executor"
    alone = fit(
        seeded(toy_mlp, 1),
        TOY,
        schedule=rules["plateau"],
        steps=6,
        batch_size=8,
        eval_every=1,
        seed=1,
    )
    assert np.array_equal(cube.used.sel(schedule="plateau", seed=1), alone.used)


def test_dimensions_stand_in_the_order_given_with_seed_last_and_values_as_given():
    cube = sweep(
        {"small": partial(mlp, (3, 2, 3)), "large": partial(mlp, (3, 9, 3))},
        {"toy": TOY, "half": split("h", RNG.standard_normal((30, 3)), RNG.integers(0, 3, 30))},
        seed=range(2),
        batch_size=[None, 8],
        lr=np.array([0.1, 0.01]),
        optimizer=["sgd", "adam"],
        schedule=[Constant(1.0), Step(1.0, 2)],
        steps=3,
    )
    dims = ("model", "data", "batch_size", "lr", "optimizer", "schedule", "seed", "step")
    assert cube.loss.dims == dims
    assert cube.lr.values.tolist() == [0.1, 0.01]
    assert cube.batch_size.values.tolist() == [-1, 8]
    assert cube.model.values.tolist() == ["small", "large"]
    assert cube.schedule.values.tolist() == ["Constant(lr=1.0)", repr(Step(1.0, 2))]
    assert cube.diverged_at.dims == cube.finished.dims == dims[:-1]
    alone = fit(
        seeded(partial(mlp, (3, 9, 3)), 1),
        TOY,
        seed=1,
        batch_size=8,
        lr=0.01,
        optimizer="adam",
        steps=3,
    )
    run = cube.sel(
        model="large",
        data="toy",
        batch_size=8,
        lr=0.01,
        optimizer="adam",
        schedule="Constant(lr=1.0)",
        seed=1,
    )
    np.testing.assert_allclose(run.loss, alone.loss, rtol=1e-5)


def test_budgets_of_different_length_share_a_cube():
    shared = {"lr": 0.1, "schedule": partial(Cosine, 1.0), "batch_size": 8}
    cube = sweep(toy_mlp, TOY, steps=[4, 10], eval_every=3, seed=[0, 1], **shared)
    assert cube.eval_step.values.tolist() == [0, 3, 4, 6, 9, 10]
    short = cube.sel(steps=4, seed=1)
    assert np.isnan(short.loss[4:]).all()
    alone = fit(seeded(toy_mlp, 1), TOY, steps=4, eval_every=3, seed=1, **shared)
    np.testing.assert_allclose(short.loss[:4], alone.loss, rtol=1e-12)
    np.testing.assert_allclose(short.val_loss.sel(eval_step=[0, 3, 4]), alone.val_loss, rtol=1e-12)
    assert np.isnan(short.val_loss.sel(eval_step=[6, 9, 10])).all()


def test_runs_of_a_seed_share_start_and_batches():
    cube = sweep(toy_mlp, TOY, lr=[0.0, 0.1], seed=[0, 1], steps=3, batch_size=8)
    assert np.array_equal(cube.loss[0, :, 0], cube.loss[1, :, 0])
    assert len(set(cube.loss[0, :, 0].values)) == 2


def test_a_single_run_has_no_dimensions():
    cube = sweep(toy_mlp, TOY, lr=0.1, steps=3, batch_size=8)
    assert cube.loss.dims == ("step",)
    assert cube.diverged_at.dims == ()


def test_a_single_value_keeps_its_dimension():
    assert sweep(toy_mlp, TOY, lr=[0.1], steps=3, batch_size=8).sizes["lr"] == 1


def test_the_same_sweep_twice_is_the_same_cube_and_says_how_it_was_made():
    make = partial(sweep, toy_mlp, TOY, lr=[0.1, 0.2], seed=range(3), steps=5, batch_size=8)
    first, second = make(), make()
    assert first.equals(second)
    assert first.attrs["settings"]["batch_size"] == "8"
    assert first.attrs["versions"]["torch"] == torch.__version__
    assert first.attrs["failed"] == []
    assert first.attrs["wall_time"] > 0
    assert "toy" in first.attrs["data"]


def test_the_number_of_threads_changes_rounding_alone():
    call = partial(sweep, mlp, DIGITS, lr=[0.1, 0.2], seed=range(20), steps=20)
    cores = torch.get_num_threads()
    cubes = []
    for threads in (2, 1):
        torch.set_num_threads(threads)
        cubes.append(call())
    torch.set_num_threads(cores)
    xr.testing.assert_allclose(*cubes, rtol=1e-4)


def undecided(calls=iter(range(99))):  # noqa: B008
    model = mlp((3, 3))
    nn.init.constant_(model[1].bias, next(calls))
    return model


def all_frozen():
    return toy_mlp().requires_grad_(False)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lr": [0.1, 0.1]}, "lr must hold each value once, 0.1 stands there twice"),
        ({"lr": []}, "lr must hold at least one value, was empty"),
        ({"lr": np.ones((2, 2))}, r"lr must be one-dimensional, had shape \(2, 2\)"),
        ({"lr": [0.1, -1.0]}, "lr must be a finite number >= 0, was -1.0"),
        ({"lr": [0.1, float("nan")]}, "lr must have labels that a file can hold, had nan"),
        ({"lrs": [0.1]}, "'lrs' is no setting; did you mean 'lr'"),
        ({"engine": "fast"}, "engine must be 'auto', 'batched' or 'executor', was 'fast'"),
        (
            {"steps": 10**13, "seed": range(2)},
            r"2 runs x 10,000,000,000,000 steps would take .* GB",
        ),
        ({"model": mlp((3, 3))}, "model must be a function that builds a model, was Sequential"),
        ({"model": undecided}, "model must start the same under the same torch seed"),
        ({"data": object()}, "data must be a Data, whose batches a seed repeats"),
        ({"lr": iter([0.1])}, "a generator can be read only once"),
        ({"device": "banana"}, "device must be one that torch finds here, was 'banana'"),
        ({"model": partial(mlp, (3, 2))}, "an output for each of the classes 0 to 2, had 2"),
        ({"model": partial(mlp, (4, 3))}, "model must accept rows of Data"),
        ({"model": all_frozen}, "model must have weights to train, has none"),
        ({"schedule": Constant}, "was the class Constant itself: call it"),
        ({"seed": 2**64}, "seed must be an integer below 2\\*\\*63, was 18446744073709551616"),
        (
            {"schedule": OneCycle(0.1, 3), "optimizer": "adagrad"},
            "plans the momentum, but 'adagrad'",
        ),
        ({"schedule": OneCycle(0.1, 3), "warmup_steps": 2}, "warmup_steps must be 0 beside"),
        (
            {"schedule": OneCycle(0.1, 3), "momentum": [0.5, 0.9]},
            "momentum must not be given where",
        ),
        (
            {"schedule": OneCycle(0.1, 3), "optimizer": "adam", "betas": (0.8, 0.9)},
            "betas must not be",
        ),
        ({"batch_size": [8, 46]}, "batch_size must be at most the 45 training rows, was 46"),
        ({"optimizer": ["sgd", "adam"], "momentum": 0.9}, "momentum is for sgd and rmsprop"),
    ],
)
def test_wrong_grids_are_named(wrong, words):
    call = {"model": toy_mlp, "data": TOY, "lr": 0.1, "steps": 3, "batch_size": 8} | wrong
    with pytest.raises((ValueError, TypeError), match=words):
        sweep(**call)


def test_steps_are_asked_for():
    with pytest.raises(TypeError, match="steps must be given"):
        sweep(toy_mlp, TOY, lr=0.1)


def test_unsorted_values_keep_their_order():
    cube = sweep(toy_mlp, TOY, lr=[0.3, 0.1, 0.2], steps=2, batch_size=8)
    assert cube.lr.values.tolist() == [0.3, 0.1, 0.2]


def test_an_interrupt_keeps_the_finished_chunks(monkeypatch):
    monkeypatch.setitem(planning.CHUNK_BYTES, "cpu", 1)
    put = Assembly.put

    def interrupt(cube, records):
        put(cube, records)
        if cube.finished.sum() == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Assembly, "put", interrupt)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        cube = sweep(toy_mlp, TOY, lr=np.linspace(0.1, 0.9, 40), steps=50, batch_size=8)
    text = " ".join(str(w.message) for w in seen)
    assert "interrupted: the finished runs are kept" in text
    assert "38 of 40 runs are missing" in text
    assert cube.finished.sum() == 2
    assert np.isfinite(cube.loss.values[cube.finished.values]).all()
    assert np.isnan(cube.loss.values[~cube.finished.values]).all()
    assert np.isnan(cube.diverged_at.values[~cube.finished.values]).all()
    assert (cube.diverged_at.values[cube.finished.values] == -1).all()


class Skip(nn.Sequential):
    """A Sequential whose forward is not that of a Sequential."""

    def forward(self, x):
        return x + super().forward(x)


def skip():
    return Skip(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def tied():
    inner = nn.Linear(3, 3)
    return nn.Sequential(inner, nn.Tanh(), inner).double()


def frozen():
    model = toy_mlp()
    next(model.parameters()).requires_grad_(False)
    return model


def hooked():
    model = toy_mlp()
    model[-1].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


@pytest.mark.parametrize("model", [skip, tied, frozen, hooked])
def test_models_that_only_look_like_perceptrons_train_as_they_do_alone(model):
    shared = {"steps": 12, "batch_size": 16}
    cube = sweep(model, TOY, lr=[0.1, 0.5], seed=[0, 1], **shared)
    assert_equals_single_runs(cube, model, TOY, 1e-10, **shared)


def test_frozen_and_shared_weights_and_hooks_are_refused_by_name():
    for model, why in ((frozen, "frozen"), (hooked, "hooks"), (tied, "share weights")):
        with pytest.raises(ValueError, match=why):
            sweep(model, TOY, engine="batched", lr=[0.1, 0.5], steps=2, batch_size=8)


def test_a_diverged_run_keeps_its_rates_in_double_precision():
    shared = {"steps": 40, "batch_size": 16}
    cube = sweep(toy_mlp, TOY, lr=[0.1, 1e300], **shared)
    assert cube.diverged_at[1] > 0
    assert_equals_single_runs(cube, toy_mlp, TOY, 1e-10, **shared)


def test_a_full_batch_of_one_row_keeps_its_targets():
    one = Data("one", TOY.x_train[:1], TOY.y_train[:1], TOY.x_val, TOY.y_val)
    shared = {"steps": 6, "batch_size": None}
    cube = sweep(toy_mlp, one, engine="batched", lr=[0.1, 0.5], **shared)
    assert_equals_single_runs(cube, toy_mlp, one, 1e-10, **shared)


@pytest.mark.parametrize(
    ("optimizer", "nesterov"), [("sgd", False), ("sgd", True), ("rmsprop", False)]
)
def test_a_momentum_that_touches_zero_rests_like_that_of_torch(optimizer, nesterov):
    wave = Triangular(1.0, 0.01, 5, momentum_range=(0.0, 0.9))
    shared = {"schedule": wave, "optimizer": optimizer, "nesterov": nesterov}
    shared |= {"steps": 30, "batch_size": 16}
    cube = sweep(toy_mlp, TOY, engine="batched", lr=[0.01, 0.03], **shared)
    assert_equals_single_runs(cube, toy_mlp, TOY, 1e-10, **shared)


def test_a_planned_momentum_is_recorded():
    cycle = OneCycle(0.1, 9)
    cube = sweep(toy_mlp, TOY, schedule={"cycle": cycle, "flat": Constant(0.1)}, steps=9,
                 batch_size=16, optimizer="adam")  # fmt: skip
    np.testing.assert_allclose(cube.used_momentum.sel(schedule="cycle"), cycle.momentum(range(9)))
    assert np.isnan(cube.used_momentum.sel(schedule="flat")).all()
    assert "used_momentum" not in sweep(toy_mlp, TOY, lr=[0.1, 0.2], steps=2, batch_size=8)


class Stubborn(torch.optim.SGD):
    """An optimizer that goes at half the rate it is told."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] /= 2
        return super().step(closure)


def test_the_planned_rate_is_kept_where_another_was_used():
    kinds = {"plain": "sgd", "stubborn": lambda p: Stubborn(p, lr=1.0)}
    cube = sweep(toy_mlp, TOY, optimizer=kinds, lr=0.2, steps=3, batch_size=8)
    assert cube.used.sel(optimizer="plain").values.tolist() == [0.2] * 3
    assert cube.used.sel(optimizer="stubborn").values.tolist() == [0.1] * 3
    assert (cube.planned == 0.2).all()
    assert "planned" not in sweep(toy_mlp, TOY, lr=[0.2, 0.3], steps=2, batch_size=8)


def test_outputs_that_are_no_numbers_count_as_those_of_torch():
    shared = {"steps": 3, "batch_size": 16, "eval_every": 1}
    model = partial(toy_mlp, torch.float32, activation="relu")
    cube = sweep(model, TOY, engine="batched", lr=[0.1, 1e38], **shared)
    for lr, accuracy in zip(cube.lr.values, cube.val_accuracy.values, strict=True):
        alone = fit(seeded(model, 0), TOY, lr=lr, **shared)
        np.testing.assert_array_equal(accuracy, alone.val_accuracy)


def test_gradients_too_large_to_square_leave_an_unclipped_run_alone():
    far = Data("far", 1e19 * TOY.x_train, TOY.y_train, TOY.x_val, TOY.y_val)
    shared = {"steps": 3, "batch_size": 16, "lr": 0.0}
    model = partial(linear, 3, 3)
    cube = sweep(model, far, engine="batched", clip=[None, 1.0], **shared)
    assert cube.diverged_at[0] == -1


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_squares_that_overflow_stop_a_run_and_do_not_poison_it(optimizer):
    far = Data("far", 1e20 * TOY.x_train, TOY.y_train, TOY.x_val, TOY.y_val)
    shared = {"steps": 9, "batch_size": 16, "optimizer": optimizer}
    model = partial(linear, 3, 3, zero=True)
    cube = sweep(model, far, engine="batched", lr=[1e-30, 1e-28], **shared)
    alone = [fit(seeded(model, 0), far, lr=lr, **shared) for lr in cube.lr.values]
    assert cube.diverged_at.values.tolist() == [-1, -1]
    np.testing.assert_allclose(cube.loss, [run.loss for run in alone], rtol=1e-5)


def test_targets_of_another_shape_are_broadcast_as_torch_does():
    wide = partial(linear, 1, 3)
    shared = {"steps": 5, "batch_size": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cube = sweep(wide, line(), lr=[1e-3, 2e-3], **shared)
        alone = fit(seeded(wide, 0), line(), lr=1e-3, **shared)
    np.testing.assert_allclose(cube.loss[0], alone.loss, rtol=1e-5)


def test_a_factory_must_build_a_new_model():
    model = mlp((3, 3))
    with pytest.raises(ValueError, match="must build a new model at every call"):
        sweep(lambda: model, TOY, lr=[0.1, 0.2], steps=2, batch_size=8)


def test_many_evaluation_blocks_are_one_evaluation():
    shared = {"steps": 5, "batch_size": 16}
    cube = sweep(mlp, DIGITS, engine="batched", lr=[0.01, 0.1], **shared)
    assert len(DIGITS.x_train) > 2 * batched.EVAL_ROWS
    for lr, run in zip(cube.lr.values, cube.train_loss, strict=True):
        alone = fit(seeded(mlp, 0), DIGITS, lr=lr, **shared)
        np.testing.assert_allclose(run, alone.train_loss, rtol=1e-5)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize(("seeds", "rows"), [(1, 512), (3, 512), (3, 8)])
def test_products_by_any_library_are_those_of_the_definition(kind, seeds, rows):
    torch.manual_seed(0)
    w, x = torch.randn(seeds, rows, 65), 0.2 * torch.randn(seeds, 64, 65)
    made = products(w, x, torch.empty(seeds, rows, 64), ACTIVATIONS[kind])
    torch.testing.assert_close(made, kind()(w @ x.mT), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("model", [toy_mlp, lambda: Residual().double()])
def test_a_gpu_gives_the_same_cube(model):
    shared = {"lr": [0.01, 0.1], "seed": range(3), "steps": 30, "batch_size": 16}
    here = sweep(model, TOY, engine="batched", **shared)
    there = sweep(model, TOY, engine="batched", device="cuda", **shared)
    for name in FLOATS:
        np.testing.assert_allclose(here[name], there[name], rtol=1e-9, atol=1e-9)


def test_the_plain_product_gives_the_same_numbers(monkeypatch):
    shared = {"lr": np.geomspace(0.01, 0.1, 8), "steps": 20, "batch_size": 16}
    model, calls = partial(mlp, (64, 64, 10)), []
    onednn = stacks._ONEDNN
    if onednn is None:
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(stacks, "_ONEDNN", lambda *args: (calls.append(1), onednn(*args))[1])
    fast = sweep(model, DIGITS, engine="batched", **shared)
    assert len(calls) > 2 * 20  # forward and backward in every update, and the evaluations
    monkeypatch.setattr(stacks, "_ONEDNN", None)
    plain = sweep(model, DIGITS, engine="batched", **shared)
    np.testing.assert_allclose(fast.loss, plain.loss, rtol=2e-5)


def test_perceptrons_are_recognised():
    assert stack_for(mlp(), DIGITS) is Perceptrons
    assert stack_for(nn.Linear(64, 10), DIGITS) is Perceptrons
    assert stack_for(nn.Sequential(nn.Linear(64, 9), nn.GELU(), nn.Linear(9, 10)), DIGITS) is Mapped
    assert stack_for(nn.Sequential(nn.Linear(64, 10, bias=False)), DIGITS) is Mapped
