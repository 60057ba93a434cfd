"""What the chapter on warmup trains with, measures, and says about its pictures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

from lrcourse.chapters.warmup import (
    BETA1,
    DEEP,
    NETWORKS,
    RAMPS,
    STARTS,
    first_steps,
    largest,
    mistakes,
    network,
    normalised,
    optimizer_of,
    planned,
    ramp,
    said_of_causes,
    said_of_cures,
    said_of_ramps,
    said_of_rates,
)
from lrcourse.cubes import load
from lrcourse.curvature import divisors, hessian_product
from lrcourse.data import digits
from lrcourse.models import mlp
from lrcourse.randomness import batches
from lrcourse.results import middle, off_plan
from lrcourse.training import fit, seeded

OFF_PLAN = {
    "linear": 0,
    "constant": 0,
    "none": 0,
    "begins at rate 0": 20,
    "one epoch late": 30,
    "stepped once an epoch": 199,
    "counted in epochs": 20,
}


@pytest.mark.parametrize("rule", ["Adam", "from g²", "RAdam", "SGD"])
def test_every_way_to_start_has_its_divisors(rule):
    """An update is the rate times the averaged gradient, divided by them."""
    torch.manual_seed(0)
    w = torch.randn(50, requires_grad=True)
    optimizer, average, lr = optimizer_of([w], rule), torch.zeros(50), 0.01
    optimizer.param_groups[0]["lr"] = lr
    for t in range(1, 9):
        w.grad, before = torch.randn(50), w.detach().clone()
        optimizer.step()
        if rule == "SGD":
            average = BETA1 * average + w.grad
            step = average
        else:
            average = BETA1 * average + (1 - BETA1) * w.grad
            step = average / (1 - BETA1**t)
        moved, divided = before - w.detach(), step.double() / torch.tensor(divisors(optimizer))
        torch.testing.assert_close(moved.double(), lr * divided, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("start", ["no warmup", "20 updates of warmup", "larger ε"])
def test_first_steps_are_those_of_fit(start):
    how = STARTS[start]
    settings = {"optimizer": "adam", "eps": how.get("eps", 1e-8), "batch_size": 128}
    alone = fit(
        partial(mlp, DEEP, "relu"), digits(), lr=0.005, seed=2, steps=4,
        warmup_steps=how.get("warmup", 0), **settings,
    )  # fmt: skip
    run = first_steps(start, 0.005, seed=2, steps=4)
    np.testing.assert_allclose(run["loss"][1], alone.loss, rtol=1e-4)
    assert run["diverged_at"] == -1
    assert run["val_accuracy"] == pytest.approx(alone.val_accuracy[-1], abs=0.01)


def test_a_run_that_diverges_says_where_and_is_nan_from_there():
    run = first_steps("no warmup", 1e6, seed=0, steps=5)
    at = run["diverged_at"]
    assert 0 < at < 5
    assert np.isnan(run["size"][1][at:]).all()
    assert np.isnan(run["val_accuracy"])


def test_curvature_is_measured_before_the_updates_asked_for():
    run = first_steps("no warmup", 0.01, seed=0, steps=3, probes=[0, 2])
    sharpness, share = run["sharpness"][1], run["share"][1]
    assert np.isfinite(sharpness).all()
    assert share[0] > 1  # a sign step at this rate is over the limit
    later = first_steps("20 updates of warmup", 0.01, seed=0, steps=1, probes=[0])
    assert later["sharpness"][1][0] == pytest.approx(sharpness[0], rel=1e-6)
    assert later["share"][1][0] == pytest.approx(share[0] / 21, rel=0.02)


def test_adams_share_at_the_first_update_is_that_of_a_power_iteration():
    run, data = first_steps("no warmup", 0.01, seed=0, steps=1, probes=[0]), digits()
    model = seeded(partial(mlp, DEEP, "relu"), 0)
    rows = batches(len(data.x_train), 128, 1, seed=0)[0]
    batch = replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows])
    loss = batch.loss_of(model(batch.x_train), batch.y_train)
    grads = torch.autograd.grad(loss, model.parameters())
    root = np.sqrt(np.concatenate([g.abs().flatten().double().numpy() for g in grads]) + 1e-8)
    product, size = hessian_product(model, batch)
    v = np.random.default_rng(1).standard_normal(size)
    for _ in range(60):
        v /= np.linalg.norm(v)
        longer = product(v / root) / root
        largest_curvature, v = v @ longer, longer
    truth = 0.01 * (1 - BETA1) * largest_curvature / (2 * (1 + BETA1))
    assert run["share"][1][0] == pytest.approx(truth, rel=0.02)


@pytest.mark.parametrize("start", ["no warmup", "RAdam"])
def test_recorded_curvatures_of_the_first_updates_come_out_again(start):
    recorded = load("warmup_causes").sel(start=start, lr=0.05, seed=1).isel(probe=[0, 1])
    run = first_steps(start, 0.05, seed=1, steps=2, probes=[0, 1])
    for name in ("share", "sharpness"):
        np.testing.assert_allclose(run[name][1], recorded[name], rtol=0.1)


def test_what_the_text_says_of_lost_runs_and_shares_is_recorded():
    sgd = load("warmup_sgd").sel(network="SGD + momentum", lr=[0.3, 0.5])
    wrong = mistakes(sgd).sel(lr=0.3)
    lost = (sgd.diverged_at.sel(lr=0.5) >= 0).sum("seed")
    assert lost.sel(warmup_steps=[0, 20]).values.tolist() == [3, 1]
    assert (wrong > 50).sum("seed").sel(warmup_steps=[0, 20]).values.tolist() == [0, 1]
    share = middle(load("warmup_causes").share.sel(lr=0.05), "seed")
    near = share.sel(start="20 updates of warmup")
    assert 0.4 <= float(near.min()) < float(near.max()) <= 2
    encoder = mistakes(load("warmup")).sel(network="Adam, encoder")
    change = encoder.sel(warmup_steps=60, lr=0.01) - encoder.sel(warmup_steps=0, lr=0.015)
    assert [round(float(change.min())), round(float(change.max()))] == [-9, 2]


def test_sgd_meets_the_limit_with_plain_sharpness():
    run = first_steps("SGD without warmup", 0.1, seed=0, steps=1, probes=[0])
    assert run["share"][1][0] == pytest.approx(0.1 * run["sharpness"][1][0] / 3.8)


def test_batch_normalisation_stands_before_each_relu():
    names = [type(layer).__name__ for layer in normalised()]
    assert names == ["Flatten", *["Linear", "BatchNorm1d", "ReLU"] * 3, "Linear"]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_reads_the_digits(name):
    data = digits()
    assert network(name)()(data.x_val).shape == (len(data.x_val), 10)


def test_an_unknown_network_or_rule_is_refused():
    with pytest.raises(ValueError, match="name must be"):
        network("cnn")
    with pytest.raises(ValueError, match="rule must be"):
        optimizer_of([torch.zeros(1, requires_grad=True)], "Lion")


@pytest.mark.parametrize("how", RAMPS)
def test_a_loop_uses_the_rates_that_its_fault_says(how):
    run = ramp(how, 0.01, seed=0)
    runs = xr.Dataset(run).expand_dims(how=[how], seed=[0])
    assert off_plan(runs).item() == OFF_PLAN[how]
    used = run["used"][1]
    late = how == "stepped once an epoch"  # it never gets there
    assert used.max() == pytest.approx(0.01 * 20 / 21 if late else 0.01)
    assert (used[0] == 0) == (how == "begins at rate 0")
    text = said_of_ramps(runs).item()
    assert text.startswith(RAMPS[how][1])
    assert ("another rate than planned" in text) == (OFF_PLAN[how] > 0)


def test_the_linear_ramp_is_the_one_of_fit():
    alone = fit(network("Adam, deep network"), digits(), lr=0.01, warmup_steps=20, steps=200,
                batch_size=128, optimizer="adam")  # fmt: skip
    run = ramp("linear", 0.01, seed=0)
    np.testing.assert_allclose(run["used"][1], alone.used)
    np.testing.assert_allclose(planned("linear", 0.01), alone.planned)


def test_what_diverged_has_no_mistakes_to_count_and_is_the_worst():
    dims = {"lr": [0.1, 0.2, 0.3]}
    runs = xr.Dataset(
        {
            "val_accuracy": (("lr", "seed"), [[0.9, 0.95], [0.9, 0.9], [0.99, 0.99]]),
            "diverged_at": (("lr", "seed"), [[-1, -1], [-1, -1], [3, 4]]),
        },
        dims,
    )
    wrong = mistakes(runs)
    assert wrong.isnull().sum() == 2
    assert largest(wrong).item() == 0.2


@pytest.mark.parametrize(
    ("wrong", "without", "text"),
    [
        (2.0, 2.5, "It trains: 2 % mistakes. Without warmup it ends level, within 1 point."),
        (2.0, 9.0, "It trains: 2 % mistakes. That is 7 points fewer than without warmup."),
        (9.0, 2.0, "It trains: 9 % mistakes. That is 7 points more than without warmup."),
        (2.0, np.nan, "It trains: 2 % mistakes. Without warmup it does not: it diverges."),
        (50.0, 5.0, "It does not train: 50 % mistakes. Without warmup it does: 5 % mistakes."),
        (90.0, 90.0, "It does not train, with this warmup or without: 90 % mistakes."),
    ],
)
def test_a_rate_with_warmup_is_compared_with_none(wrong, without, text):
    both = xr.DataArray([[[without]], [[wrong]]], {"warmup_steps": [0, 20], "lr": [0.1]},
                        ["warmup_steps", "lr", "seed"])  # fmt: skip
    assert said_of_rates(both).values[1, 0] == text
    assert said_of_rates(both).values[0, 0].startswith("It ")


def test_what_the_recorded_runs_say_is_never_nonsense():
    causes, cures = load("warmup_causes"), load("warmup_cures")
    for text in (
        *said_of_causes(causes.share, causes.loss).values.flat,
        *said_of_cures(mistakes(cures), cures["size"]).values.flat,
        *(
            t
            for name in ("warmup", "warmup_sgd")
            for t in said_of_rates(mistakes(load(name))).values.flat
        ),
    ):
        assert text.endswith(".")
        assert "nan" not in text
        assert "inf" not in text
