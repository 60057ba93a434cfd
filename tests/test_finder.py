"""The range test: it gives back what it borrowed, and reads a curve no better than it is."""

from __future__ import annotations

import copy
import itertools
import math
import random
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lrcourse import explore, range_test, record
from lrcourse._borrowed import Feed
from lrcourse._curves import Fall, Watch, scatter, smoothed
from lrcourse.data import digits
from lrcourse.finder import READINGS, RangeTest, Suggestion, put_rate
from lrcourse.models import mlp
from lrcourse.randomness import seeded

DATA = digits()
QUICK = {"steps": 12, "low": 1e-3, "high": 0.1}


def loader(**options):
    rows = TensorDataset(DATA.x_train[:256], DATA.y_train[:256])
    return DataLoader(rows, batch_size=32, shuffle=True, **options)


class Everything(nn.Module):
    """Batch normalisation, dropout, a spectral norm, a shared weight, a buffer, a counter."""

    def __init__(self):
        super().__init__()
        self.first = nn.utils.parametrizations.spectral_norm(nn.Linear(64, 32))
        self.norm, self.drop = nn.BatchNorm1d(32), nn.Dropout(0.2)
        self.last = nn.Linear(32, 10)
        self.twin = self.last
        self.frozen = nn.Linear(32, 10).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(3, dtype=torch.int64))
        self.register_buffer("ids", torch.zeros(1).expand(4))
        self.calls, self.memory = 0, None

    def forward(self, x):
        self.calls += 1
        self.seen += len(x)
        self.memory = x.detach()
        h = self.drop(torch.relu(self.norm(self.first(x))))
        return self.last(h) + self.frozen(h)


OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": partial(torch.optim.Adam, lr=0.003, amsgrad=True),
    "Adam, rate as a tensor": partial(
        torch.optim.Adam, lr=torch.tensor(0.003), capturable=False, foreach=False
    ),
    "AdamW": partial(torch.optim.AdamW, lr=0.003, weight_decay=0.1),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.001, centered=True, momentum=0.5),
    "NAdam": partial(torch.optim.NAdam, lr=0.001),
    "Rprop": partial(torch.optim.Rprop, lr=0.001),
}


def photo(model, optimizer, batches=None):
    """All that must be the same afterwards, bit by bit."""
    states = optimizer.state_dict()
    generator = getattr(batches, "generator", None)
    return copy.deepcopy(
        {
            "state": model.state_dict(),
            "gradients": [None if p.grad is None else p.grad for p in model.parameters()],
            "modes": [m.training for m in model.modules()],
            "hooks": [
                [len(v) for k, v in m.__dict__.items() if "hooks" in k] for m in model.modules()
            ],
            "attributes": (getattr(model, "calls", 0), getattr(model, "memory", None)),
            "optimizer": states,
            "optimizer hooks": [
                len(optimizer._optimizer_step_pre_hooks),
                len(optimizer._optimizer_step_post_hooks),
            ],
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),  # noqa: NPY002
            "python": random.getstate(),
            "generator": None if generator is None else generator.get_state(),
            "threads": torch.get_num_threads(),
        }
    )


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def assert_same(before, after):
    assert [name for name in before if not same(before[name], after[name])] == []


class Failing:
    """A loss that raises at its k-th call, after it has drawn from every generator."""

    def __init__(self, error, at):
        self.error, self.at, self.calls = error, at, 0

    def __call__(self, outputs, y):
        self.calls += 1
        random.random(), np.random.random(), torch.rand(3)  # noqa: NPY002
        if self.calls == self.at:
            raise self.error
        return F.cross_entropy(outputs, y)


def warm(kind, *, steps=3):
    """A model and an optimizer in the middle of a training."""
    torch.manual_seed(1)
    model = Everything()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = OPTIMIZERS[kind](weights)
    for x, y in itertools.islice(loader(), steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_everything_is_given_back(kind, steps):
    model, optimizer = warm(kind, steps=steps)
    batches = loader(generator=torch.Generator().manual_seed(5))
    groups, group = optimizer.param_groups, optimizer.param_groups[0]
    gradients = [p.grad for p in model.parameters()]
    before = photo(model, optimizer, batches)
    found = range_test(model, optimizer, Failing(None, 0), batches, **QUICK)
    assert len(found.lr) == 12
    assert_same(before, photo(model, optimizer, batches))
    assert optimizer.param_groups is groups
    assert optimizer.param_groups[0] is group
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))


@pytest.mark.parametrize("at", [1, 2, 7])
@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), GeneratorExit()])
def test_everything_is_given_back_after_an_error(error, at):
    model, optimizer = warm("Adam")
    model.norm.eval()
    before = photo(model, optimizer)
    with pytest.raises(type(error)):
        range_test(model, optimizer, Failing(error, at), loader(), **QUICK)
    assert_same(before, photo(model, optimizer))


def test_an_error_of_the_model_is_the_error_that_one_sees():
    model, optimizer = warm("Adam")
    with pytest.raises(RuntimeError, match="^just this$"):
        range_test(model, optimizer, Failing(RuntimeError("just this"), 4), loader(), **QUICK)


def test_after_ctrl_c_everything_is_given_back_and_the_rest_of_the_test_is_there():
    model, optimizer = warm("SGD")
    before = photo(model, optimizer)
    with pytest.warns(UserWarning, match="interrupted after 5 of 12 rates"):
        found = range_test(model, optimizer, Failing(KeyboardInterrupt(), 7), loader(), **QUICK)
    assert_same(before, photo(model, optimizer))
    assert (len(found.lr), found.stopped) == (5, "interrupted")


def test_ctrl_c_before_the_first_loss_gives_everything_back():
    model, optimizer = warm("SGD")
    before = photo(model, optimizer)
    with pytest.warns(UserWarning, match="interrupted after 0"):
        found = range_test(model, optimizer, Failing(KeyboardInterrupt(), 1), loader(), **QUICK)
    assert_same(before, photo(model, optimizer))
    assert found.suggest().lr is None


def test_training_goes_on_as_if_there_had_been_no_test():
    ends = []
    for tested in (False, True):
        model, optimizer = warm("Adam")
        batches = loader(generator=torch.Generator().manual_seed(5))
        torch.manual_seed(9)
        if tested:
            range_test(model, optimizer, F.cross_entropy, batches, **QUICK)
        for x, y in itertools.islice(batches, 6):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        ends.append(photo(model, optimizer, batches))
    assert_same(*ends)


def test_a_model_in_evaluation_mode_is_tested_in_training_mode_and_comes_back():
    model, optimizer = warm("SGD")
    model.eval()
    modes = []
    model.register_forward_hook(lambda *_: modes.append(model.drop.training))
    range_test(model, optimizer, F.cross_entropy, loader(), **QUICK)
    assert all(modes)
    assert not any(m.training for m in model.modules())


def test_a_frozen_part_stays_in_evaluation_mode():
    model, optimizer = warm("SGD")
    model.norm.eval()
    modes = []
    model.register_forward_hook(lambda *_: modes.append(model.norm.training))
    range_test(model, optimizer, F.cross_entropy, loader(), **QUICK)
    assert not any(modes)


def test_hooks_of_the_optimizers_steps_neither_run_nor_get_lost():
    model, optimizer = warm("SGD")
    with record(optimizer) as recorder:
        range_test(model, optimizer, F.cross_entropy, loader(), **QUICK)
        assert recorder.t == 0
        optimizer.step()
        assert recorder.t == 1


def test_a_scheduler_goes_on_where_it_was():
    model, optimizer = warm("SGD")
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    optimizer.step()
    decay.step()
    range_test(model, optimizer, F.cross_entropy, loader(), **QUICK)
    assert optimizer.param_groups[0]["lr"] == 0.025
    decay.step()
    assert optimizer.param_groups[0]["lr"] == 0.0125


def test_weights_of_the_loss_are_given_back_too():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, outputs, y):
            return F.cross_entropy(self.scale * outputs, y)

    model, loss = seeded(mlp, 0), Scaled()
    optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.1)
    range_test(model, optimizer, loss, loader(), **QUICK)
    assert loss.scale.item() == 1
    assert loss.scale.grad is None


def test_it_works_where_gradients_are_turned_off():
    model, optimizer = warm("SGD")
    with torch.no_grad():
        range_test(model, optimizer, F.cross_entropy, loader(), **QUICK)
        assert not torch.is_grad_enabled()


class Spy(torch.optim.SGD):
    """SGD that writes down its rates."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.taken = []

    def step(self, closure=None):
        self.taken.append([float(group["lr"]) for group in self.param_groups])
        return super().step(closure)


@pytest.mark.parametrize("spacing", ["log", "linear"])
@pytest.mark.parametrize(("low", "high"), [(1e-7, 3e-3), (0.003, 0.1), (1e-9, 1.1e-3)])
def test_the_optimizer_takes_every_rate_and_both_ends_exactly(spacing, low, high):
    model = seeded(mlp, 0)
    optimizer = Spy(model.parameters(), lr=0.7)
    found = range_test(
        model, optimizer, F.cross_entropy, loader(), low=low, high=high, steps=21, spacing=spacing
    )
    taken = np.array(optimizer.taken)[:, 0]
    assert (taken[0], taken[-1]) == (low, high)
    assert np.array_equal(taken, found.lr)
    steps = np.diff(np.log(found.lr) if spacing == "log" else found.lr)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)


def test_parameter_groups_keep_their_ratios():
    model = seeded(mlp, 0)
    body, head = list(model[1].parameters()), list(model[3].parameters())
    optimizer = Spy([{"params": body, "lr": 0.001}, {"params": head, "lr": 0.004}], lr=1)
    found = range_test(model, optimizer, F.cross_entropy, loader(), **QUICK)
    assert found.ratios == (0.25, 1.0)
    taken = np.array(optimizer.taken)
    np.testing.assert_allclose(taken[:, 0], found.lr / 4)
    np.testing.assert_array_equal(taken[:, 1], found.lr)
    put_rate(optimizer, 0.2)
    assert [g["lr"] for g in optimizer.param_groups] == [0.05, 0.2]


def test_a_frozen_group_at_rate_0_stays_at_0():
    model = seeded(mlp, 0)
    body, head = list(model[1].parameters()), list(model[3].parameters())
    optimizer = Spy([{"params": body, "lr": 0.0}, {"params": head, "lr": 0.01}], lr=1)
    range_test(model, optimizer, F.cross_entropy, loader(), **QUICK)
    assert {row[0] for row in optimizer.taken} == {0.0}


class Parabola(nn.Module):
    """The loss w²/2 + shift, times scale; gradient descent multiplies w by 1 - rate."""

    def __init__(self, w=1.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))

    def forward(self, x):
        return self.w * x


def parabola_loss(outputs, y, scale=1.0, shift=0.0):
    return scale * (outputs**2).sum() / 2 + shift


ONE = [(torch.ones(1, dtype=torch.float64), torch.zeros(1))]


def test_each_loss_is_what_its_rate_led_to():
    model = Parabola()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    found = range_test(model, optimizer, parabola_loss, ONE, low=0.01, high=1.5, steps=30)
    w = np.cumprod(1 - found.lr)
    np.testing.assert_allclose(found.loss, w**2 / 2, rtol=1e-12)
    assert found.first_loss == 0.5
    assert found.one_batch
    assert "same batch" in repr(found)


def test_the_validation_loss_is_a_mean_over_rows_in_evaluation_mode():
    model = seeded(mlp, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = DATA.x_val[:50], DATA.y_val[:50]
    parts = [(x[:40], y[:40]), (x[40:], y[40:])]
    modes = []
    model.register_forward_hook(lambda *_: modes.append(model.training))
    found = range_test(
        model, optimizer, F.cross_entropy, loader(), val_batches=parts, low=1e-12, high=1e-11,
        steps=3,
    )  # fmt: skip
    assert modes == [True, True, False, False, True, False, False, True, False, False]
    model.eval()
    np.testing.assert_allclose(found.val_loss, F.cross_entropy(model(x), y).item(), rtol=1e-6)
    assert np.array_equal(found.curve, found.val_loss)


def test_other_batches_go_through_a_loss_that_takes_the_model():
    model = seeded(mlp, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    named = [{"pixels": DATA.x_train[:64], "digit": DATA.y_train[:64]}]

    def loss(model, batch):
        return F.cross_entropy(model(batch["pixels"]), batch["digit"])

    found = range_test(model, optimizer, loss, named, takes_model=True, **QUICK)
    assert len(found.loss) == 12
    with pytest.raises(TypeError, match="batches must hold pairs .x, y., held a dict: give"):
        range_test(model, optimizer, F.cross_entropy, named, **QUICK)


# ------------------------------------------------------------------------------ batches


def tried(batches, **options):
    model = seeded(mlp, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return range_test(model, optimizer, F.cross_entropy, batches, **QUICK | options)


PAIRS = [(DATA.x_train[i : i + 16], DATA.y_train[i : i + 16]) for i in range(0, 96, 16)]


def test_a_list_begins_again_when_it_runs_out():
    assert len(tried(PAIRS).lr) == 12
    assert len(tried(PAIRS[:1]).lr) == 12


def test_the_iterator_of_a_list_stays_where_it_was():
    batches = iter(PAIRS)
    next(batches)
    found = tried(batches)
    assert next(batches) is PAIRS[1]
    assert found.gone == 0


def test_what_is_taken_from_a_generator_is_gone_and_said():
    batches = (pair for pair in PAIRS)
    found = tried(batches, steps=3)
    assert next(batches) is PAIRS[4]
    assert found.gone == 4
    assert "4 batches from an iterator that cannot be put back" in repr(found)


def test_a_generator_that_runs_dry_ends_the_test():
    found = tried(pair for pair in PAIRS)
    assert (len(found.lr), found.stopped) == (5, "the batches ran out")
    assert found.lr[0] == QUICK["low"]
    assert "has 5 finite losses, and 10 are needed" in found.suggest().why


def test_a_source_that_knows_its_place_is_put_back():
    class Stream:
        def __init__(self):
            self.at = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.at += 1
            return PAIRS[self.at % 6]

        def state_dict(self):
            return {"at": self.at}

        def load_state_dict(self, state):
            self.at = state["at"]

    stream = Stream()
    next(stream)
    assert tried(stream).gone == 0
    assert stream.at == 1


def test_generators_on_a_source_are_put_back():
    class Drawn:
        def __init__(self):
            self.rng = np.random.default_rng(3)
            self.old = np.random.RandomState(3)
            self.python = random.Random(3)

        def __iter__(self):
            while True:
                self.old.random_sample(), self.python.random()
                yield PAIRS[self.rng.integers(6)]

    drawn, twin = Drawn(), Drawn()
    tried(drawn)
    assert drawn.rng.random() == twin.rng.random()
    assert drawn.old.random_sample() == twin.old.random_sample()
    assert drawn.python.random() == twin.python.random()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "batches must hold at least one batch, was empty"),
        (iter(()), "batches must hold at least one batch, was empty"),
        (3, "batches must be an iterable of batches, such as a DataLoader, was 3"),
        (PAIRS[0], "batches must hold pairs"),
        ([(DATA.x_train[:4].to("meta"), DATA.y_train[:4])], "can move to the model's device, cpu"),
    ],
)
def test_what_is_no_source_of_batches_is_refused_in_words(batches, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tried(batches)


def test_validation_batches_must_be_there():
    with pytest.raises(ValueError, match="val_batches must hold at least one batch"):
        tried(PAIRS, val_batches=[])


# ------------------------------------------------------------------------ wrong input

MODEL = seeded(mlp, 0)
SGD = partial(torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": nn.Flatten()}, "model must have weights to train, has none"),
        ({"model": seeded(mlp, 0).requires_grad_(False)}, "none that are not frozen"),
        ({"model": seeded(mlp, 0)}, "optimizer must update weights of model, has none of them"),
        ({"model": "mlp"}, "model must be a torch nn.Module, was 'mlp'"),
        ({"model": nn.LazyLinear(3)}, "lazy ones: run one batch first"),
        ({"optimizer": 0.1}, "optimizer must be a torch Optimizer"),
        ({"optimizer": torch.optim.LBFGS(MODEL.parameters())}, "without a closure, LBFGS asks"),
        ({"loss": 3.0}, "loss must be a function"),
        ({"low": 0.1, "high": 0.1}, "low must be below high, were 0.1 and 0.1"),
        ({"low": 1.0, "high": 0.1}, "low must be below high, were 1 and 0.1"),
        ({"low": 0.0}, "low must be a finite number > 0, was 0"),
        ({"low": -1.0, "spacing": "linear"}, "low must be a finite number >= 0"),
        ({"high": math.inf}, "high must be a finite number > 0, was inf"),
        ({"high": math.nan}, "high must be a finite number > 0, was nan"),
        ({"steps": 1}, "steps must be an integer >= 2, was 1"),
        ({"steps": 10.0}, "steps must be an integer >= 2"),
        ({"spacing": "cubic"}, "spacing must be 'log' or 'linear', was 'cubic'"),
        ({"stop": 0}, "stop must be a finite number > 0"),
        ({"smoothing": -1}, "smoothing must be a finite number >= 0"),
        ({"takes_model": 1}, "takes_model must be True or False"),
        ({"loss": lambda o, y: 1.0}, "loss must return a tensor, returned a float"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, r"returned the shape .16,.*'none'"),
        ({"loss": lambda o, y: torch.fft.fft(o).sum()}, "a real number, returned a complex one"),
        ({"loss": lambda o, y: F.cross_entropy(o.detach(), y)}, "had no gradient: is it detached"),
        ({"loss": lambda o, y: o.mean() * math.nan}, "finite before the first update, was nan"),
    ],
)
def test_wrong_input_is_refused_in_words_and_changes_nothing(change, message):
    what = {"model": MODEL, "optimizer": SGD(MODEL.parameters()), "loss": F.cross_entropy}
    call = {"batches": PAIRS} | QUICK | what | change
    optimizer = call["optimizer"]
    before = photo(MODEL, what["optimizer"])
    if call["loss"] is change.get("loss") and callable(optimizer):
        pytest.fail("the optimizer must be one")
    with pytest.raises((ValueError, TypeError), match=message):
        range_test(**call)
    assert_same(before, photo(MODEL, what["optimizer"]))


def test_a_model_without_numbers_is_refused():
    model = seeded(mlp, 0).to("meta")
    with pytest.raises(ValueError, match="has weights on the device 'meta'"):
        range_test(model, SGD(model.parameters()), F.cross_entropy, PAIRS)


def test_a_group_without_a_rate_is_refused():
    optimizer = SGD(MODEL.parameters())
    del optimizer.param_groups[0]["lr"]
    with pytest.raises(ValueError, match="a rate in each group, group 0 has no 'lr'"):
        range_test(MODEL, optimizer, F.cross_entropy, PAIRS)


# -------------------------------------------------------------------- the early stop


def updates_until_stop(losses, factor=2.0):
    watch = Watch(factor)
    for i, loss in enumerate(losses):
        if watch.blown(float(loss)):
            return i
    return None


RNG = np.random.default_rng(0)
BOWL = np.concatenate([np.full(30, 2.3), np.linspace(2.3, 0.8, 30), 0.8 * 1.3 ** np.arange(20)])
BOWL = BOWL + 0.05 * RNG.standard_normal(80)


def test_a_curve_that_falls_and_blows_up_is_stopped_when_it_is_up_again():
    at = updates_until_stop(BOWL)
    assert 60 < at < 80
    assert BOWL[at] > 2.3


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(1e-12, 1e12), shift=st.floats(-100, 100))
def test_the_stop_is_the_same_on_every_scale_and_for_negative_losses(scale, shift):
    assert updates_until_stop(scale * (BOWL + shift)) == updates_until_stop(BOWL)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_once(value):
    assert updates_until_stop([1.0, 0.9, value]) == 2
    assert updates_until_stop([1.0, 0.9, value], factor=None) == 2


@pytest.mark.parametrize("level", [0.0, 1.0, -3.0, 1e-15, 1e9])
def test_a_constant_loss_and_one_that_only_scatters_are_not_stopped(level):
    assert updates_until_stop(np.full(200, level)) is None
    noise = RNG.standard_normal((20, 200)) * (abs(level) or 1.0)
    assert [updates_until_stop(level + row) for row in noise] == [None] * 20


def test_a_falling_loss_is_not_stopped():
    assert updates_until_stop(np.linspace(5, -5, 100)) is None
    assert updates_until_stop(np.geomspace(1, 1e-12, 100)) is None


def test_without_a_stop_only_a_loss_that_is_not_finite_ends_the_test():
    model = Parabola()
    test = partial(range_test, model, SGD(model.parameters()), parabola_loss, ONE)
    wide = {"low": 0.001, "high": 1e4, "steps": 60}
    assert test(**wide).stopped == "the loss blew up"
    assert len(test(**wide, stop=None).lr) > len(test(**wide).lr)
    found = test(low=0.001, high=1e200, steps=60, stop=None)
    assert found.stopped == "the loss is not finite"
    assert not np.isfinite(found.loss[-1])
    assert np.isnan(found.smoothed()[-1])
    assert np.isfinite(found.loss[:-1]).all()


@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0.0), (1.0, -7.0), (1e6, 5.0)])
def test_suggestions_do_not_depend_on_the_scale_of_the_loss(scale, shift):
    model = Parabola()
    found, other = (
        range_test(
            model,
            SGD(model.parameters()),
            partial(parabola_loss, scale=s, shift=t),
            ONE,
            low=1e-4 / s,
            high=100 / s,
            steps=80,
        )
        for s, t in ((1.0, 0.0), (scale, shift))
    )
    assert other.stopped == found.stopped
    for rule, one in found.suggestions().items():
        assert other.suggest(rule).lr == pytest.approx(one.lr / scale, rel=1e-6)


# ----------------------------------------------------------------- reading a curve


@pytest.mark.parametrize("width", [0.5, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("n", [3, 10, 100])
def test_smoothing_keeps_constants_and_lines_as_they_are(n, width):
    place = np.arange(float(n))
    level, slope, error = smoothed(np.full(n, 0.1), width)
    np.testing.assert_allclose(level, 0.1, rtol=1e-12)
    np.testing.assert_allclose(slope, 0, atol=1e-12)
    level, slope, _ = smoothed(1e6 + 3 * place, width)
    np.testing.assert_allclose(level, 1e6 + 3 * place, rtol=1e-9)
    np.testing.assert_allclose(slope, 3, rtol=1e-6)
    assert (error > 0).all()


def test_smoothing_is_the_weighted_line_through_the_neighbours():
    rng = np.random.default_rng(0)
    y, x, width = rng.standard_normal(40), np.arange(40.0), 3.0
    level, slope, error = smoothed(y, width)
    for i in (0, 1, 17, 39):
        weights = np.exp(-((x - i) ** 2) / (2 * width**2)) * (np.abs(x - i) <= 11)
        line = np.polyfit(x - i, y, 1, w=np.sqrt(weights))
        assert (slope[i], level[i]) == pytest.approx(tuple(line), rel=1e-9)
    many = np.array([smoothed(rng.standard_normal(40), width)[0] for _ in range(3000)])
    np.testing.assert_allclose(many.std(0), error, rtol=0.08)


def test_a_symmetric_valley_keeps_its_place():
    x = np.linspace(-3, 3, 61)
    assert smoothed(x**2, 4.0)[0].argmin() == 30


def made(losses, low=1e-5, high=10.0, stopped="the loss blew up", rates=None):
    rates = np.geomspace(low, high, len(losses)) if rates is None else rates
    return RangeTest(rates, np.asarray(losses, float), None, float(losses[0]), rates, stopped)


def bowl(rates, middle=1e-2, blow=1.0):
    """Falls by a logistic around `middle` in log rate, and blows up at `blow`."""
    return 2 - 1.5 / (1 + (middle / rates) ** 2) + 3 * (rates / blow) ** 4


@pytest.mark.parametrize("low", [1e-6, 1e-5, 1e-4])
def test_the_rules_read_what_they_say(low):
    rates = np.geomspace(low, 2.0, 300)
    found = made(bowl(rates), rates=rates)
    read = {rule: float(one) for rule, one in found.suggestions(0.005).items()}
    assert read["steepest"] == pytest.approx(0.01, rel=0.05)
    level = bowl(rates)
    left = level > 2 - 0.8 * (2 - level.min())
    assert read["valley"] == pytest.approx(rates[left & (rates < 0.1)][-1], rel=0.05)
    assert read["minimum/10"] == pytest.approx(rates[bowl(rates).argmin()] / 10, rel=0.05)


def test_steepest_is_per_log_rate_however_the_rates_are_spaced():
    linear = np.linspace(1e-4, 2.0, 20_000)
    assert float(made(bowl(linear), rates=linear).suggest("steepest", smoothing=1e-4)) == (
        pytest.approx(0.01, rel=0.05)
    )


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        (np.full(60, 0.7), "does not fall by more than it scatters"),
        (np.full(60, 0.0), "does not fall by more than it scatters"),
        (np.linspace(1, 2, 60), "does not fall by more than it scatters"),
        (np.linspace(2, 1, 9), "has 9 finite losses, and 10 are needed"),
        ([1.0], "has 1 finite losses"),
        ([math.nan] * 30, "has 0 finite losses"),
    ],
)
def test_there_is_no_rate_where_there_is_nothing_to_read(losses, why):
    found = made(losses)
    for one in found.suggestions().values():
        assert one.lr is None
        assert why in one.why
    assert why in repr(found)
    assert why in found.to_dataset()["says"].values[0].lower()
    found.plot(Figure().subplots())


def test_a_loss_that_still_falls_at_the_last_rate_asks_for_higher_ones():
    found = made(np.linspace(2, 1, 60), stopped="")
    assert found.suggest("valley").lr is None
    assert "not risen at the last rate, 10: go higher" in found.suggest("valley").why
    assert "go higher" in made(np.linspace(2, 1, 60), stopped="interrupted").suggest().why


def test_a_loss_that_falls_from_the_first_rate_on_asks_for_lower_ones():
    rates = np.geomspace(1e-2, 2.0, 100)
    found = made(bowl(rates, middle=1e-3), rates=rates)
    assert "falls from the lowest rate on, 0.01: start lower" in found.suggest().why


def test_pure_noise_rarely_has_a_rate():
    rng = np.random.default_rng(0)
    named = [made(3 + rng.standard_normal(100), stopped="").suggest().lr for _ in range(300)]
    assert sum(lr is not None for lr in named) <= 9


def test_noise_that_hides_the_fall_leaves_no_rate_and_less_noise_does():
    rates = np.geomspace(1e-5, 2.0, 150)
    clean, noise = bowl(rates), np.random.default_rng(0).standard_normal(150)
    assert made(clean + 10 * noise, rates=rates).suggest().lr is None
    steepest = float(made(clean + 0.05 * noise, rates=rates).suggest("steepest"))
    assert 0.003 < steepest < 0.03


def test_scatter_is_measured_beside_a_slope():
    noise = np.random.default_rng(0).standard_normal(4000)
    assert scatter(noise + np.linspace(0, 100, 4000)) == pytest.approx(1, rel=0.05)
    assert scatter(np.array([1.0])) == 0


def test_losses_that_are_not_finite_are_left_out_of_the_reading():
    rates = np.geomspace(1e-5, 2.0, 150)
    losses = bowl(rates)
    broken = np.where(rates > 1.0, np.nan, losses)
    assert Fall(rates, broken, 4.5, False).rates[-1] <= 1.0
    kept = made(losses, rates=rates).suggest("steepest").lr
    assert made(broken, rates=rates).suggest("steepest").lr == pytest.approx(kept, rel=0.2)


def test_a_suggestion_is_a_number_or_says_why_not():
    assert str(Suggestion("valley", 0.0123, "half")) == "0.012, half"
    with pytest.raises(ValueError, match="valley suggests no rate: flat"):
        float(Suggestion("valley", None, "flat"))
    with pytest.raises(ValueError, match="rule must be .* was 'mid'"):
        made(BOWL).suggest("mid")


# ------------------------------------------------------------------ pictures and words


def test_the_explorer_offers_the_smoothing_and_marks_the_rates():
    found = tried(loader(), low=1e-4, high=50.0, steps=60)
    explorer = explore(**found.for_explore())
    assert explorer.selection == {"smoothing": 0.02}
    assert "steepest" in explorer.sentence()
    data = found.to_dataset()
    assert set(READINGS) < set(data.data_vars)
    assert data.smoothed.dims == ("smoothing", "lr")
    np.testing.assert_array_equal(data.smoothed.sel(smoothing=0), data.loss)


def test_the_plot_shows_each_rate():
    found = tried(loader(), low=1e-4, high=50.0, steps=60)
    ax = found.plot(Figure().subplots())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.split()[0] for label in labels] == ["loss", "smoothed", *READINGS]
    assert ax.get_xscale() == "log"


def test_the_words_say_what_was_done():
    found = tried(loader(), low=1e-4, high=50.0, steps=60)
    lines = repr(found).split("\n")
    assert lines[0].startswith("RangeTest, ")
    assert "from 0.0001 to 50, stopped at" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == list(READINGS)


def test_nothing_is_printed_and_nothing_warns(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tried(loader())
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar_can_be_asked_for(capfd):
    slow = []

    def loss(outputs, y):
        slow.append(0)
        torch.zeros(1)
        return F.cross_entropy(outputs, y)

    tried(PAIRS, progress=True)
    assert "Traceback" not in capfd.readouterr().err


def test_a_feed_knows_when_it_has_been_through():
    feed = Feed("batches", [1, 2], None)
    assert [next(feed) for _ in range(3)] == [1, 2, 1]
    assert feed.length == 2
