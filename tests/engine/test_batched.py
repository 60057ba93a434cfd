"""Runs trained as a stack against the same runs trained alone; interrupted and resumed ones."""

import signal
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrcourse.chapters.convergence import one_hot
from lrcourse.data import Data, digits, line, split
from lrcourse.engine import batched
from lrcourse.models import linear, mlp
from lrcourse.schedules import Cosine, OneCycle

DIGITS = digits()
RNG = np.random.default_rng(0)
TOY = split("toy", RNG.standard_normal((60, 3)), RNG.integers(0, 3, 60))

# float64: rounding alone, summed over 60 updates.  float32: the same at 1e-7 instead of 1e-16.
CLOSE = {torch.float64: 1e-11, torch.float32: 2e-5}


def toy_mlp(dtype=torch.float64, sizes=(3, 7, 5, 3), activation="tanh"):
    return mlp(sizes, activation).to(dtype)


GRIDS = {
    "sgd": {"momentum": [0.0, 0.9], "weight_decay": 0.01, "clip": [None, 0.3]},
    "adagrad": {"weight_decay": [0.0, 0.1], "eps": [1e-10, 1e-3]},
    "rmsprop": {"momentum": [0.0, 0.9], "alpha": [0.9, 0.99], "lr": [1e-3, 1e-2]},
    "adam": {"weight_decay": [0.0, 0.1], "eps": [1e-8, 1e-2], "clip": 0.5},
    "adamw": {"weight_decay": [0.0, 0.1], "betas": (0.8, 0.99)},
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, torch.float64) for name in GRIDS), ("sgd", torch.float32), ("adamw", torch.float32)],
)
def test_every_run_of_a_stack_is_the_run_made_alone(name, dtype, same_as_alone):
    grid = {"optimizer": name, "lr": [0.01, 0.1], "seed": [0, 7]} | GRIDS[name]
    shared = {"steps": 60, "eval_every": 25, "batch_size": 16, "schedule": Cosine(1.0, 60)}
    same_as_alone(partial(toy_mlp, dtype), TOY, CLOSE[dtype], **grid, **shared)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_a_schedule_moves_the_momentum_of_every_run(optimizer, same_as_alone):
    shared = {"schedule": OneCycle(1.0, 40), "steps": 40, "batch_size": 16}
    same_as_alone(toy_mlp, TOY, 1e-11, optimizer=optimizer, lr=[0.001, 0.02], seed=[1, 2], **shared)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=0, max_size=3),
    activation=st.sampled_from(["tanh", "relu", "sigmoid"]),
    lr=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=3, unique=True),
    seed=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
    batch_size=st.sampled_from([None, 1, 7, 45]),
    clip=st.none() | st.floats(0.01, 1),
    size=st.sampled_from([1, 2, 4, 99]),
)
@settings(max_examples=20, deadline=None)
def test_shape_batch_seeds_and_chunks_change_nothing(
    same_as_alone, sizes, activation, lr, seed, batch_size, clip, size
):
    model = partial(toy_mlp, torch.float64, (3, *sizes, 3), activation)
    shared = {"steps": 20, "batch_size": batch_size, "clip": clip, "eval_every": 7, "size": size}
    same_as_alone(model, TOY, 1e-11, lr=lr, seed=seed, **shared)


def test_a_diverged_run_does_not_disturb_its_neighbours(same_as_alone):
    shared = {"steps": 60, "batch_size": None, "eval_every": 20}
    rates = [0.001, 0.1, 0.01, 1e30, 0.02]
    records = same_as_alone(linear, line(), 2e-5, lr=rates, seed=[0, 1], **shared)
    gone = [record["diverged_at"] >= 0 for record in records]
    assert gone == [rate in (0.1, 1e30) for rate in rates for _ in range(2)]


def test_a_diverged_run_keeps_its_rates_in_double_precision(same_as_alone):
    records = same_as_alone(toy_mlp, TOY, 1e-10, lr=[0.1, 1e300], steps=40, batch_size=16)
    assert records[1]["diverged_at"] > 0


def test_ties_count_as_the_first_class(trained):
    def flat():
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).apply(zero)

    def zero(part):
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    ((_, record),) = trained(flat, TOY, lr=0.1, steps=1, batch_size=8)
    first = (TOY.y_val == 0).double().mean().item()
    assert record["val_accuracy"][0] == pytest.approx(first)


def test_a_full_batch_of_one_row_keeps_its_targets(same_as_alone):
    one = Data("one", TOY.x_train[:1], TOY.y_train[:1], TOY.x_val, TOY.y_val)
    same_as_alone(toy_mlp, one, 1e-10, lr=[0.1, 0.5], steps=6, batch_size=None)


def test_many_evaluation_blocks_are_one_evaluation(same_as_alone):
    assert len(DIGITS.x_train) > 2 * batched.EVAL_ROWS
    same_as_alone(mlp, DIGITS, 2e-5, lr=[0.01, 0.1], steps=5, batch_size=16)


def test_outputs_that_are_no_numbers_count_as_those_of_torch(trained, alone):
    shared = {"steps": 3, "batch_size": 16, "eval_every": 1}
    model = partial(toy_mlp, torch.float32, activation="relu")
    for chosen, record in trained(model, TOY, lr=[0.1, 1e38], **shared):
        single = alone(model, TOY, chosen)
        np.testing.assert_array_equal(record["val_accuracy"], single.val_accuracy)


def test_gradients_too_large_to_square_leave_an_unclipped_run_alone(trained):
    far = Data("far", 1e19 * TOY.x_train, TOY.y_train, TOY.x_val, TOY.y_val)
    model = partial(linear, 3, 3)
    (_, free), _ = trained(model, far, clip=[None, 1.0], steps=3, batch_size=16, lr=0.0)
    assert free["diverged_at"] == -1


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_squares_that_overflow_stop_a_run_and_do_not_poison_it(optimizer, trained, alone):
    far = Data("far", 1e20 * TOY.x_train, TOY.y_train, TOY.x_val, TOY.y_val)
    shared = {"steps": 9, "batch_size": 16, "optimizer": optimizer}
    model = partial(linear, 3, 3, zero=True)
    for chosen, record in trained(model, far, lr=[1e-30, 1e-28], **shared):
        assert record["diverged_at"] == -1
        np.testing.assert_allclose(record["loss"], alone(model, far, chosen).loss, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_targets_of_another_shape_are_broadcast_as_torch_does(same_as_alone):
    same_as_alone(partial(linear, 1, 3), line(), 1e-5, lr=[1e-3, 2e-3], steps=5, batch_size=None)


class Skip(nn.Sequential):
    """A Sequential whose forward is not that of a Sequential."""

    def forward(self, x):
        return x + super().forward(x)


def test_a_model_that_only_looks_like_a_perceptron_trains_as_it_does_alone(same_as_alone):
    def skip():
        return Skip(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()

    same_as_alone(skip, TOY, 1e-10, lr=[0.1, 0.5], seed=[0, 1], steps=12, batch_size=16)


class Residual(nn.Module):
    def __init__(self, normed=False):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8) if normed else nn.Identity()

    def forward(self, x):
        x = self.a(x)
        return self.c(x + torch.tanh(self.norm(self.b(x))))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("normed", [False, True])
def test_other_models_are_stacked_by_vmap(normed, loss, same_as_alone):
    def model():
        return Residual(normed).double()

    data = TOY if loss == "cross_entropy" else one_hot(TOY)
    shared = {"steps": 30, "batch_size": 16, "eval_every": 10, "optimizer": "adam", "clip": 0.5}
    same_as_alone(model, data, 1e-10, lr=[0.001, 0.01], seed=[0, 1], **shared)


def test_convolutions_are_stacked_by_vmap(same_as_alone):
    images = split("i", RNG.standard_normal((40, 1, 6, 6)), RNG.integers(0, 2, 40))

    def model():
        conv = nn.Conv2d(1, 2, 3)
        return nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2))

    same_as_alone(model, images, 2e-5, lr=[0.01, 0.1], seed=[0, 1], steps=10, batch_size=8)


def test_batch_norm_at_a_high_rate_parts_by_rounding_alone(same_as_alone):
    """In single precision these runs part visibly; in double precision by 1e-16, magnified too."""

    def normed():
        layers = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10)
        return nn.Sequential(*layers).double()

    same_as_alone(normed, DIGITS, 1e-6, lr=[10.0], steps=60, eval_every=20)


def test_the_number_of_threads_changes_rounding_alone(trained):
    call = partial(trained, mlp, DIGITS, lr=[0.1, 0.2], seed=list(range(20)), steps=20)
    one = call()
    torch.set_num_threads(2)
    for (_, a), (_, b) in zip(one, call(), strict=True):
        np.testing.assert_allclose(a["val_loss"], b["val_loss"], rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("model", [toy_mlp, lambda: Residual(True).double()])
def test_a_gpu_gives_the_same_records(model, trained):
    shared = {"lr": [0.01, 0.1], "seed": list(range(3)), "steps": 30, "batch_size": 16}
    pairs = zip(
        trained(model, TOY, **shared), trained(model, TOY, device="cuda", **shared), strict=True
    )
    for (_, here), (_, there) in pairs:
        for name in ("loss", "val_loss", "val_accuracy"):
            np.testing.assert_allclose(here[name], there[name], rtol=1e-9, atol=1e-9)


class Kept:
    """A checkpoint in a file, which torch must be able to read without running code."""

    def __init__(self, path):
        self.path, self.saves = path, 0

    def load(self):
        return torch.load(self.path, weights_only=True) if self.path.exists() else None

    def save(self, state):
        torch.save(state, self.path)
        self.saves += 1


def residual():
    return Residual(normed=True)


def weight_norm(model, data):
    return sum(p.square().sum() for p in model.parameters())


RESUMED = {
    "lr": [0.01, 1.0, 1e30],
    "seed": [3, 4],
    "steps": 60,
    "batch_size": 16,
    "eval_every": 10,
    "measures": {"norm": weight_norm},
}


def same_bits(one, other):
    for (_, a), (_, b) in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


@pytest.mark.parametrize("model", [partial(toy_mlp, torch.float32), residual])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw"])
@pytest.mark.parametrize("stop", [1, 16, 37, 48, 60])
def test_interrupted_and_resumed_is_the_whole_bit_for_bit(
    model, optimizer, stop, trained, tmp_path, monkeypatch
):
    options = {"momentum": 0.9} if optimizer != "adamw" else {"weight_decay": 0.1}
    call = partial(trained, model, TOY, optimizer=optimizer, **options, **RESUMED)
    whole = call()
    kept, update, made = Kept(tmp_path / "state.pt"), batched._Training.update, []

    def pressed_within_an_update(work):
        if work.t == stop - 1:
            signal.raise_signal(signal.SIGINT)
        update(work)
        made.append(work.t)

    monkeypatch.setattr(batched._Training, "update", pressed_within_an_update)
    with pytest.raises(KeyboardInterrupt):
        call(checkpoint=kept)
    assert made == list(range(1, stop + 1))  # the update under way was made to its end
    assert kept.saves == 1
    monkeypatch.undo()
    reports = []
    same_bits(call(checkpoint=kept, advance=reports.append), whole)
    assert sum(reports) == 6 * 60
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_during_an_evaluation_is_not_held_back(trained, tmp_path):
    calls = []

    def slow(model, data):
        calls.append(1)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the interrupt was held back")
        return sum(p.sum().item() for p in model.parameters())

    grid = {**RESUMED, "measures": {"norm": weight_norm, "slow": slow}}
    kept = Kept(tmp_path / "state.pt")
    with pytest.raises(KeyboardInterrupt):
        trained(toy_mlp, TOY, checkpoint=kept, **grid)
    assert kept.load()["evaluated"] == 1
    same_bits(trained(toy_mlp, TOY, checkpoint=kept, **grid), trained(toy_mlp, TOY, **grid))


def test_a_killed_training_goes_on_from_its_last_save(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(batched, "SAVE_SECONDS", 0.0)
    call = partial(trained, toy_mlp, TOY, **RESUMED)
    kept = Kept(tmp_path / "state.pt")

    class Killed(Exception):
        pass

    def kill(updates):
        if kept.saves == 2:
            raise Killed

    with pytest.raises(Killed):
        call(checkpoint=kept, advance=kill)
    assert kept.load()["t"] == 32
    same_bits(call(checkpoint=kept), call())


def test_a_state_of_another_shape_is_not_taken_up(trained, tmp_path):
    kept = Kept(tmp_path / "state.pt")

    def stop(updates):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(toy_mlp, TOY, checkpoint=kept, advance=stop, **RESUMED)
    wide = partial(toy_mlp, torch.float64, (3, 9, 3))
    same_bits(trained(wide, TOY, checkpoint=kept, **RESUMED), trained(wide, TOY, **RESUMED))
