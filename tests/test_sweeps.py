"""The batched engine against single runs, and what a sweep accepts and refuses."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lrcourse.data import digits, line, split
from lrcourse.engine import planning
from lrcourse.engine.assembly import Assembly
from lrcourse.models import linear, mlp
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.randomness import seeded
from lrcourse.schedules import Constant, Cosine, OneCycle, Step
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


def test_divergence_of_every_run_is_a_result():
    cube = sweep(linear, line(), lr=[0.5, 1.0], steps=50, batch_size=None)
    assert (cube.diverged_at > 0).all()
    assert np.isnan(cube.val_loss.sel(eval_step=50)).all()


class Residual(nn.Module):
    def __init__(self, normed=False):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8) if normed else nn.Identity()

    def forward(self, x):
        x = self.a(x)
        return self.c(x + torch.tanh(self.norm(self.b(x))))


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
        ({"executor": 0}, "executor must be at least 1 process, or -1 for one a core, was 0"),
        ({"executor": 2.5}, "executor must be a concurrent.futures.Executor, .* was 2.5"),
        ({"measures": len}, "measures must be a dict from names to functions, was"),
        ({"measures": {"m": 3}}, "measures must be a dict from names to functions, had 'm': 3"),
        ({"measures": {"loss": len}}, "names of their own, 'loss' is a variable of every run"),
        ({"optimizer": lambda p: 3}, "optimizer must be a torch Optimizer, was 3"),
        (
            {"optimizer": lambda p: torch.optim.Adagrad(p), "schedule": OneCycle(0.1, 3)},
            "plans the momentum, but Adagrad has none",
        ),
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


def test_a_factory_must_build_a_new_model():
    model = mlp((3, 3))
    with pytest.raises(ValueError, match="must build a new model at every call"):
        sweep(lambda: model, TOY, lr=[0.1, 0.2], steps=2, batch_size=8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("model", [toy_mlp, lambda: Residual().double()])
def test_a_gpu_gives_the_same_cube(model):
    shared = {"lr": [0.01, 0.1], "seed": range(3), "steps": 30, "batch_size": 16}
    here = sweep(model, TOY, engine="batched", **shared)
    there = sweep(model, TOY, engine="batched", device="cuda", **shared)
    for name in FLOATS:
        np.testing.assert_allclose(here[name], there[name], rtol=1e-9, atol=1e-9)


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


def test_a_model_is_looked_at_once_whatever_the_number_of_runs():
    made = []

    def counted():
        made.append(1)
        return toy_mlp()

    sweep(counted, TOY, lr=np.linspace(0.1, 0.5, 40), steps=2, batch_size=8)
    assert len(made) <= 5
