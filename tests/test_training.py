import platform
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lrcourse.curvature import sharpness
from lrcourse.data import digits, line
from lrcourse.models import linear, mlp
from lrcourse.plateau import ReduceOnPlateau
from lrcourse.randomness import batches, seeded
from lrcourse.schedules import Cosine, Exponential, OneCycle, Step, Triangular
from lrcourse.settings import Settings
from lrcourse.sweeps import sweep, sweep_function
from lrcourse.training import evaluate, fit, plain_loop, progress_bar

DIGITS = digits()
tiny = partial(mlp, (64, 6, 10))

TORCH = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adagrad": (torch.optim.Adagrad, {"weight_decay": 0.01}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.9, "momentum": 0.5}),
    "adam": (torch.optim.Adam, {"betas": (0.8, 0.99), "weight_decay": 0.01}),
    "adamw": (torch.optim.AdamW, {"eps": 1e-6, "weight_decay": 0.1}),
}


@pytest.fixture(autouse=True)
def one_thread():
    """How many threads `fit` takes depends on the moment, and the last bits on the threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("optimizer", TORCH)
def test_fit_is_the_loop_one_would_write(optimizer):
    kind, options = TORCH[optimizer]
    model, twin = seeded(tiny, 5), seeded(tiny, 5)
    settings = {"lr": 0.01, "steps": 30, "seed": 2, "clip": 0.8}
    history = fit(model, DIGITS, optimizer=optimizer, **settings, **options)
    torch_optimizer = kind(twin.parameters(), lr=0.01, **options)
    for t, rows in enumerate(batches(len(DIGITS.x_train), 64, 30, 2)):
        loss = nn.functional.cross_entropy(twin(DIGITS.x_train[rows]), DIGITS.y_train[rows])
        torch_optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 0.8)
        torch_optimizer.step()
        assert history.loss[t] == loss.item()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "schedule",
    [
        Step(0.1, 7),
        Cosine(0.1, 20),
        Triangular(0.2, 0.01, 4),
        OneCycle(0.1, 20),
        Exponential(1.0, 0.5),
    ],
)
def test_the_used_rate_is_the_planned_rate(schedule):
    history = fit(seeded(tiny, 0), DIGITS, schedule=schedule, steps=20)
    assert np.array_equal(history.used, history.planned)
    assert np.array_equal(history.used, schedule(np.arange(20)))


def test_rate_is_lr_times_schedule_after_warmup():
    plan = Settings(steps=10, lr=0.5, schedule=partial(Cosine, 1.0), warmup_steps=4)
    rates = plan.full_schedule(np.arange(11))
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rates[4] == 0.5
    assert rates[10] == pytest.approx(0)


def test_one_cycle_sets_the_momentum_that_the_optimizer_uses():
    seen = []

    def optimizer(parameters):
        made = torch.optim.SGD(parameters, lr=1.0, momentum=0.9)
        made.register_step_post_hook(lambda o, *_: seen.append(o.param_groups[0]["momentum"]))
        return made

    cycle = OneCycle(0.1, 10)
    fit(seeded(tiny, 0), DIGITS, schedule=cycle, steps=10, optimizer=optimizer)
    assert seen == cycle.momentum(np.arange(10)).tolist()


def test_a_diverged_run_stops_and_says_where():
    history = fit(linear(zero=True), line(), lr=0.1, steps=100, batch_size=None, eval_every=10)
    at = history.diverged_at
    assert at == history.updates
    limit = 1e4 * history.loss[0]
    assert history.loss[at] > limit >= history.loss[at - 1]
    assert np.isnan(history.loss[at + 1 :]).all()
    assert np.isnan(history.used[at:]).all()
    assert np.isfinite(history.used[:at]).all()
    assert np.isfinite(history.planned).all()
    assert np.isnan(history.val_loss[history.eval_step > at]).all()


def test_a_stable_run_has_no_divergence_and_both_ends_evaluated():
    history = fit(linear(zero=True), line(), lr=0.01, steps=25, batch_size=None, eval_every=10)
    assert history.diverged_at is None
    assert history.eval_step.tolist() == [0, 10, 20, 25]
    assert np.isfinite(history.val_loss).all()
    assert np.isnan(history.val_accuracy).all()
    assert history.to_dataset().diverged_at == -1


def test_an_infinite_first_loss_is_a_divergence_at_zero():
    model = linear()
    nn.init.constant_(model[1].weight, 1e30)
    history = fit(model, line(), lr=0.1, steps=5)
    assert (history.diverged_at, history.updates) == (0, 0)


def test_batches_shuffle_afresh_and_drop_the_rest():
    rows = batches(10, 3, steps=7, seed=1)
    assert rows.shape == (7, 3)
    first, second = rows[:3].ravel(), rows[3:6].ravel()
    assert len(set(first)) == len(set(second)) == 9
    assert not np.array_equal(first, second)
    assert np.array_equal(batches(10, 3, steps=2, seed=1), rows[:2])
    assert not np.array_equal(batches(10, 3, steps=7, seed=2), rows)
    assert np.array_equal(batches(4, None, steps=2, seed=0), [range(4)] * 2)
    with pytest.raises(ValueError, match="batch_size must be at most the 10 training rows, was 11"):
        batches(10, 11, 1, 0)


def test_batches_that_cannot_be_are_refused_in_words():
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1, was 0"):
        batches(5, 0, 3, 0)
    with pytest.raises(ValueError, match="batch_size must be at most the 5 training rows, was 6"):
        batches(5, 6, 3, 0)


def test_training_leaves_global_randomness_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fit(seeded(tiny, 1), DIGITS, lr=0.1, steps=2)
    assert torch.equal(torch.rand(4), expected)


def test_dropout_repeats_under_a_seed():
    def dropping():
        return nn.Sequential(nn.Linear(64, 16), nn.Dropout(0.5), nn.Linear(16, 10))

    runs = [fit(seeded(dropping, 0), DIGITS, lr=0.1, steps=5, seed=s).loss for s in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_evaluation_keeps_the_mode_and_the_accuracy_is_a_share():
    model = seeded(tiny, 0).eval()
    train, val, accuracy = evaluate(model, DIGITS)
    assert not model.training
    assert 0 <= accuracy <= 1
    assert train == pytest.approx(np.log(10), abs=0.5)
    assert val == pytest.approx(train, abs=0.2)


def test_callbacks_see_every_update_and_may_end_the_run():
    seen = []
    history = fit(
        seeded(tiny, 0),
        DIGITS,
        lr=0.1,
        steps=9,
        callbacks=[lambda t, model, loss: seen.append((t, loss)), lambda t, *_: t == 3],
    )
    assert seen == list(enumerate(history.loss[:4]))
    assert history.updates == 4
    assert np.isnan(history.loss[4:]).all()


def test_an_interrupt_keeps_what_is_done():
    def press(t, model, loss):
        if t == 4:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted at update 4"):
        history = fit(seeded(tiny, 0), DIGITS, lr=0.1, steps=9, callbacks=[press])
    assert history.interrupted
    assert np.isfinite(history.loss[:5]).all()
    assert np.isnan(history.loss[5:]).all()
    assert np.array_equal(history.used[:5], history.planned[:5])


def test_an_error_in_a_run_frees_the_optimizer_and_is_raised():
    def fail(t, model, loss):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(seeded(tiny, 0), DIGITS, lr=0.1, steps=9, callbacks=[fail])


def test_a_plateau_rule_is_told_of_each_evaluation_and_stays_unused_itself():
    rule = ReduceOnPlateau(lr=1e-9, patience=0)
    settings = {"schedule": rule, "steps": 12, "eval_every": 3}
    first = fit(seeded(tiny, 0), DIGITS, **settings)
    assert first.used[0] == 1e-9
    assert rule.rate == 1e-9
    assert np.array_equal(fit(seeded(tiny, 0), DIGITS, **settings).used, first.used)


def test_float64_models_train_in_float64():
    history = fit(seeded(tiny, 0).double(), DIGITS, lr=0.1, steps=2)
    assert history.loss[0] != np.float32(history.loss[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_model_on_a_gpu_trains_there():
    on_gpu = fit(seeded(tiny, 0).cuda().double(), DIGITS, lr=0.1, steps=20)
    here = fit(seeded(tiny, 0).double(), DIGITS, lr=0.1, steps=20)
    assert on_gpu.loss == pytest.approx(here.loss, rel=1e-9)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lr": -0.1}, "lr must be a finite number >= 0, was -0.1"),
        ({"lr": float("nan")}, "lr must be a finite number >= 0, was nan"),
        ({"lr": None}, "lr must be given where there is no schedule"),
        ({"steps": 0}, "steps must be an integer >= 1, was 0"),
        ({"batch_size": 2000}, "batch_size must be at most the 1347 training rows"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"optimizer": "sdg"}, "optimizer must be 'sgd'"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum is for sgd and rmsprop"),
        ({"betas": (0.9, 0.99)}, "betas is for adam and adamw, optimizer was 'sgd'"),
        ({"nesterov": True}, "nesterov must come with momentum > 0"),
        ({"momentum": 1.0}, "momentum must be a finite number >= 0 and < 1"),
        ({"clip": 0}, "clip must be a finite number > 0"),
        ({"eval_every": 0}, "eval_every must be an integer >= 1"),
        ({"schedule": 0.1}, "schedule must be a Schedule"),
        ({"schedule": ReduceOnPlateau(0.1)}, "a ReduceOnPlateau has its own lr"),
        ({"optimizer": "adam", "betas": (0.9,)}, "betas must be two numbers"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"leraning_rate": 1}, "'leraning_rate' is no setting"),
        ({"weight_deca": 1}, "did you mean 'weight_decay'"),
    ],
)
def test_wrong_settings_are_named(wrong, words):
    with pytest.raises((ValueError, TypeError), match=words):
        fit(seeded(tiny, 0), DIGITS, **({"lr": 0.1, "steps": 2} | wrong))


def test_the_bar_is_quiet_under_a_test_and_shown_on_request(capsys):
    with progress_bar(3, "fit", None) as bar:
        assert bar.disable
    with progress_bar(3, "fit", True) as bar:
        bar.delay = 0
        bar.update(3)
        bar.refresh()
    assert "fit" in capsys.readouterr().err


def test_no_warnings_in_an_ordinary_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(seeded(tiny, 0), DIGITS, lr=0.1, steps=3)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_tensors_give_back_is_not_faulted_in_again():
    code = """
import resource, torch
from lrcourse.engine.memory import keep_memory
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def churn():
    before = faults()
    for _ in range(10):
        torch.ones(2 ** 24)
    return faults() - before
plain = churn()
keep_memory()
churn()
print(plain, churn())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plain, kept = map(int, done.stdout.split())
    assert plain > 10 * (kept + 1)


def test_a_factory_is_trained_as_the_cell_of_a_sweep():
    shared = {"steps": 12, "eval_every": 5, "momentum": 0.5}
    cube = sweep(tiny, DIGITS, lr=[0.1, 0.2], seed=[3, 4], engine="executor", executor="serial",
                 **shared)  # fmt: skip
    alone = fit(tiny, DIGITS, lr=0.2, seed=4, **shared)
    cell = cube.sel(lr=0.2, seed=4)
    record = alone.to_dataset()
    for name in ("loss", "used", "train_loss", "val_loss", "val_accuracy", "diverged_at"):
        assert np.array_equal(cell[name], record[name]), name
        assert cell[name].dims == record[name].dims
    ready = seeded(tiny, 4)
    again = fit(ready, DIGITS, lr=0.2, seed=4, **shared)
    assert np.array_equal(again.loss, alone.loss)
    assert again.model is ready
    assert evaluate(alone.model, DIGITS)[1] == alone.val_loss[-1]


def size(model, data):
    """A measure that can be mapped over runs: the norm of all weights, and how often it looked."""
    assert not model.training
    return torch.stack([p.square().sum().sqrt() for p in model.parameters()])


def test_measures_are_recorded_at_evaluations_alone_and_in_sweeps():
    shared = {"steps": 9, "eval_every": 4, "measures": {"size": size, "sharp": sharp}}
    alone = fit(tiny, DIGITS, lr=0.1, seed=1, **shared)
    assert alone.measures["size"].shape == (4, 4)
    assert alone.eval_step.tolist() == [0, 4, 8, 9]
    start = [p.square().sum().sqrt().item() for p in seeded(tiny, 1).parameters()]
    np.testing.assert_allclose(alone.measures["size"][0], start, rtol=1e-6)
    assert alone.measures["sharp"][-1] == sharp(alone.model, DIGITS)
    for options in ({"engine": "batched"}, {"engine": "executor", "executor": "serial"}):
        cube = sweep(tiny, DIGITS, lr=[0.1, 0.2], seed=[1, 2], **shared, **options)
        assert cube["size"].dims == ("lr", "seed", "eval_step", "size_0")
        cell = cube.sel(lr=0.1, seed=1)
        np.testing.assert_allclose(cell["size"], alone.measures["size"], rtol=1e-5)
        np.testing.assert_allclose(cell.sharp, alone.measures["sharp"], rtol=1e-3)


def sharp(model, data):
    return sharpness(model, data, tol=1e-5)


def test_a_measure_that_changes_its_shape_is_named():
    shapes = iter([1, 2])
    with pytest.raises(ValueError, match=r"odd must have one shape, was \(1,\), then \(2,\)"):
        fit(tiny, DIGITS, lr=0.1, steps=2, measures={"odd": lambda m, d: np.ones(next(shapes))})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": partial(mlp, (64, 9))}, "an output for each of the classes 0 to 9, had 9"),
        ({"model": partial(mlp, (63, 10))}, "model must accept rows of Data"),
        ({"model": lambda: tiny().requires_grad_(False)}, "model must have weights to train"),
        ({"model": "mlp"}, "model must be a model or a function that builds one, was 'mlp'"),
        ({"device": "banana"}, "device must be one that torch finds here, was 'banana'"),
        ({"data": 3}, "data must be a Data, was 3"),
        ({"lrs": 0.1}, "'lrs' is no setting; did you mean 'lr'"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(wrong, words):
    call = {"model": tiny, "data": DIGITS, "lr": 0.1, "steps": 2} | wrong
    with pytest.raises((ValueError, TypeError), match=words):
        fit(**call)


def test_fit_changes_nothing_for_the_whole_process(monkeypatch):
    def refuse():
        raise AssertionError("fit may not set how the process keeps memory")

    monkeypatch.setattr("lrcourse.engine.memory.keep_memory", refuse)
    monkeypatch.setattr("lrcourse.engine.running.keep_memory", refuse)
    threads = torch.get_num_threads()
    fit(tiny, DIGITS, lr=0.1, steps=3)
    assert torch.get_num_threads() == threads
    with pytest.raises(AssertionError, match="may not set"):
        sweep(tiny, DIGITS, lr=[0.1, 0.2], steps=2)


def test_ctrl_c_in_one_of_many_runs_ends_them_all():
    def interrupt(t, model, loss):
        raise KeyboardInterrupt

    def train(lr):
        return fit(tiny, DIGITS, lr=lr, steps=3, callbacks=[interrupt] if lr == 0.2 else [])

    with pytest.warns(UserWarning, match="interrupted: the finished runs are kept"):
        cube = sweep_function(train, lr=[0.1, 0.2, 0.3], executor="serial")
    assert cube.finished.values.tolist() == [True, False, False]
    with pytest.warns(UserWarning, match="interrupted at update 0"):
        assert train(0.2).interrupted


def test_the_coordinate_of_a_cube_can_be_given_to_the_next():
    first = sweep(tiny, DIGITS, lr=[0.1, 0.2], steps=2)
    again = sweep(tiny, DIGITS, lr=first.lr, steps=2)
    assert again.lr.dtype == float
    assert again.equals(first)
    one = sweep(tiny, DIGITS, lr=first.lr[1], steps=2)
    np.testing.assert_allclose(one.loss, first.loss[1], rtol=1e-5)


def test_the_plain_loop_trains_as_fit_does_and_calls_its_hooks_in_turn():
    model, called = seeded(tiny, 2), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    rows = batches(len(DIGITS.x_train), 32, 6, seed=2)
    hooks = {
        name: partial(called.append, name) for name in ("epoch_starts", "batch_ends", "epoch_ends")
    }
    recorder, accuracy = plain_loop(model, DIGITS, optimizer, rows, per_epoch=3, **hooks)
    epoch = ["epoch_starts", *["batch_ends"] * 3, "epoch_ends"]
    assert called == epoch * 2
    run = fit(tiny, DIGITS, lr=0.3, momentum=0.9, batch_size=32, steps=6, eval_every=3, seed=2)
    np.testing.assert_allclose(accuracy, run.val_accuracy[1:], atol=1e-9)
    assert evaluate(model, DIGITS)[1] == pytest.approx(run.val_loss[-1], rel=1e-5)
    assert recorder.used[:, 0].tolist() == [0.3] * 6
    with pytest.raises(ValueError, match="per_epoch must divide the 6 updates, was 4"):
        plain_loop(model, DIGITS, optimizer, rows, per_epoch=4)
