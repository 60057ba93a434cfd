"""What the chapter on generalization trains with, measures, and says about its pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lrcourse.chapters.generalization import (
    COMPARED,
    PATCH,
    PLANS,
    READINGS,
    SETS,
    at_equal_loss,
    catapult,
    catapult_step,
    compared,
    curvatures,
    dead_units,
    learned,
    named,
    network,
    on_squares,
    paired,
    read_at,
    rescaled,
    said_of_catapults,
    said_of_curvatures,
    said_of_patterns,
    said_of_rates,
    said_of_twins,
    sampling_error,
    three_parts,
    twin,
    two_patterns,
    wrong_in_training,
    wrong_on,
)
from lrcourse.cubes import load
from lrcourse.curvature import sharpness
from lrcourse.data import digits
from lrcourse.results import middle
from lrcourse.training import fit, seeded


def test_the_three_parts_share_no_digit_and_hold_them_all():
    data, x_test, y_test = three_parts(seed=3)
    parts = [data.x_train, data.x_val, x_test]
    assert [len(part) for part in parts] == [400, 400, 997]
    assert len(y_test) == 997
    rows = torch.cat(parts).double()
    rows = (rows - rows.mean()) / rows.std()
    whole = digits()
    every = torch.cat([whole.x_train, whole.x_val]).double()
    every = (every - every.mean()) / every.std()
    sums = [torch.sort(r.square().sum(1))[0] for r in (rows, every)]
    torch.testing.assert_close(*sums, rtol=1e-4, atol=1e-4)


def test_noise_is_in_the_training_labels_alone():
    clean, x_test, y_test = three_parts(0.0, seed=1)
    noisy, x_again, y_again = three_parts(0.4, seed=1)
    wrong = (noisy.y_train != clean.y_train).double().mean().item()
    assert 0.3 < wrong < 0.42
    assert torch.equal(noisy.y_val, clean.y_val)
    assert torch.equal(y_again, y_test)
    for one, other in ((noisy.x_train, clean.x_train), (noisy.x_val, clean.x_val),
                       (x_again, x_test)):  # fmt: skip
        assert torch.equal(one, other)


@pytest.mark.parametrize("noise", [-0.1, 1.5, 40, float("nan"), float("inf"), "0.4", None, True])
def test_a_share_that_is_none_is_refused_in_words(noise):
    with pytest.raises((ValueError, TypeError), match="noise must be a.* number"):
        three_parts(noise)


def test_every_seed_has_a_split_and_wrong_labels_of_its_own():
    one, other = three_parts(0.4, seed=0)[0], three_parts(0.4, seed=1)[0]
    assert not torch.equal(one.x_train, other.x_train)
    assert not torch.equal(one.y_train, other.y_train)


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_a_reading_is_that_of_a_run_alone(noise):
    runs = compared("32 units", noise, seed=2, lr=[0.05, 0.2], steps=320, long=320)
    data, x_test, y_test = three_parts(noise, seed=2)
    alone = fit(network("32 units"), data, lr=0.2, batch_size=32, seed=2, steps=100)
    at = runs.sel(lr=0.2, compared=COMPARED[0])
    test = wrong_on(x_test, y_test, alone.model, data).item()
    assert at.test.item() == pytest.approx(test, abs=0.2)
    assert at.train.item() == pytest.approx(wrong_in_training(alone.model, data).item(), abs=0.5)
    assert at.train_loss.item() == pytest.approx(alone.train_loss[-1], rel=1e-3)
    assert at.updates.item() == 100
    assert runs.sel(compared=COMPARED[1]).test.isnull().all()  # 1,000 updates were not made
    early = runs.sel(compared=COMPARED[4])
    assert (early.val <= runs.val.sel(compared=COMPARED[0])).all()


def test_low_rates_get_more_updates():
    runs = compared("32 units", 0.0, seed=0, lr=[0.05, 0.2], steps=200, long=400)
    reached = runs.updates.sel(compared=COMPARED[3])
    assert reached.sel(lr=0.2) <= 200
    assert np.isnan(reached.sel(lr=0.05)) or reached.sel(lr=0.05) <= 400
    assert runs.eval_step.max() <= 200


def test_a_reading_that_is_never_reached_has_no_value():
    runs = xr.Dataset(
        {name: ("eval_step", [3.0, 2.0, 1.0]) for name in ("test", "train", "val", "train_loss")},
        {"eval_step": [0, 5, 10]},
    )
    assert read_at(runs, runs.train_loss <= 2).updates.item() == 5
    assert np.isnan(read_at(runs, runs.train_loss < 0.5).test.item())
    assert at_equal_loss(runs / 10, "test").item() == pytest.approx(0.1)
    assert np.isnan(at_equal_loss(runs, "test").item())


def test_curvatures_are_of_the_same_run():
    found = curvatures("32 units", 0.0, lr=0.2, seed=1, steps=1000)
    runs = compared("32 units", 0.0, seed=1, lr=[0.2], steps=1000, long=1000)
    test = runs.test.sel(lr=0.2, compared=[COMPARED[1], COMPARED[3]])
    np.testing.assert_allclose(found["test"][1], test, atol=0.5)
    data = three_parts(seed=1)[0]
    alone = fit(network("32 units"), data, lr=0.2, batch_size=32, seed=1, steps=1000)
    assert found["sharpness"][1][0] == pytest.approx(sharpness(alone.model, data), rel=0.05)


def test_a_step_of_the_smallest_network_is_that_of_autograd():
    torch.manual_seed(0)
    n, lr = 8, 0.7
    u, v = torch.randn(2, n, dtype=torch.float64, requires_grad=True).unbind()

    def state(u, v):
        return (u @ v / n**0.5).item(), ((u @ u + v @ v) / n).item()

    before = state(u, v)
    loss = (u @ v / n**0.5) ** 2 / 2
    du, dv = torch.autograd.grad(loss, (u, v))
    after = catapult_step(*before, lr=lr, width=n)
    assert after == pytest.approx(state(u - lr * du, v - lr * dv))


@pytest.mark.parametrize(("times", "ends"), [(1.5, "settles"), (3.0, "settles"), (4.5, "grows")])
def test_the_smallest_network_comes_back_below_four_over_the_curvature(times, ends):
    f, curvature = 0.1, 2.0
    lr, top = times / curvature, 0.1
    for _ in range(400):
        f, curvature = catapult_step(f, curvature, lr, width=1000)
        top = max(top, abs(f))
        if not abs(f) < 1e6:
            break
    assert (abs(f) < 1e-3) == (ends == "settles")
    assert (top > 0.1) == (times > 2)
    if ends == "settles" and times > 2:
        assert lr * curvature < 2


def test_a_low_rate_has_no_catapult_and_a_high_one_has():
    low, high = (catapult(lr, seed=0, steps=30, every=10) for lr in (1.0, 4.0))
    for run in (low, high):
        assert run["diverged_at"] == -1
        assert run["sharpness"][1][0] == pytest.approx(run["first"], rel=0.03)
    assert max(low["loss"][1]) == low["loss"][1][0]
    assert max(high["loss"][1]) > 3 * high["loss"][1][0]
    assert high["sharpness"][1][-1] < 0.5 * low["sharpness"][1][-1]


def test_a_unit_is_dead_that_no_digit_turns_on():
    data, model = on_squares(digits()), seeded(network("32 units"), 0)
    assert dead_units(model, data).item() == 0
    with torch.no_grad():
        model[1].bias[:8] = -1e6
    assert dead_units(model, data).item() == 25


def test_two_patterns_hold_what_they_say():
    data, patches = two_patterns(seed=4)
    digit = (data.x_train[:, :64] != 0).any(1)
    patch = (data.x_train[:, 64:] != 0).any(1)
    shares = [(digit & ~patch), (~digit & patch), (digit & patch)]
    measured = [share.double().mean().item() for share in shares]
    assert measured == pytest.approx([0.2, 0.16, 0.64], abs=0.04)
    assert data.x_val.shape == patches.shape == (797, 64 + PATCH)
    assert (data.x_val[:, 64:] == 0).all()
    assert (patches[:, :64] == 0).all()
    for label in range(10):  # two patches a class, and no noise
        assert len(torch.unique(patches[data.y_val == label], dim=0)) == 2


def test_the_control_has_the_same_digits_and_no_patch():
    both, alone = two_patterns(SETS[0], seed=4)[0], two_patterns(SETS[1], seed=4)[0]
    holds = (both.x_train[:, :64] != 0).any(1)
    assert torch.equal(alone.x_train[:, :64], both.x_train[holds][:, :64])
    assert torch.equal(alone.y_train, both.y_train[holds])
    assert (alone.x_train[:, 64:] == 0).all()
    assert torch.equal(alone.x_val, both.x_val)
    with pytest.raises(ValueError, match="kind must be"):
        two_patterns("patches")


def test_a_linear_function_reads_about_half_of_the_patches_at_most():
    """Two classes cannot both have both patches right: the centre would belong to each."""
    from sklearn.linear_model import LogisticRegression

    data, patches = two_patterns(seed=0)
    x, y = patches[:, 64:].numpy(), data.y_val.numpy()
    assert LogisticRegression(C=1e4, max_iter=5000).fit(x, y).score(x, y) < 0.6


def test_a_falling_plan_has_a_tenth_of_the_rate_after_a_quarter():
    constant, falls = (learned(SETS[0], plan, 0, [0.2], 80) for plan in
                       ("constant", "falls to a tenth"))  # fmt: skip
    xr.testing.assert_allclose(constant.sel(eval_step=20), falls.sel(eval_step=20))
    assert constant.train_loss.isel(eval_step=-1) < falls.train_loss.isel(eval_step=-1)
    with pytest.raises(ValueError, match="plan must be"):
        learned(SETS[0], "rises", 0, [0.2], 80)


@pytest.mark.parametrize("factor", [1 / 16, 3.0, 16])
def test_a_rescaled_network_is_the_same_function(factor):
    model, x = seeded(network("32 units"), 0), three_parts()[1]
    outputs = rescaled(model, factor)(x)
    if factor == 3:
        torch.testing.assert_close(outputs, model(x))
    else:
        assert torch.equal(outputs, model(x))
    assert torch.equal(model[1].weight, seeded(network("32 units"), 0)[1].weight)


def test_what_cannot_be_rescaled_is_refused_in_words():
    from lrcourse.models import mlp

    model = network("32 units")()
    for factor in (0, -1, float("nan"), "2"):
        with pytest.raises((ValueError, TypeError), match="factor must be"):
            rescaled(model, factor)
    for other in (mlp(), mlp((64, 8, 8, 10), "relu")):
        with pytest.raises(ValueError, match="model must be an mlp with one hidden layer of ReLU"):
            rescaled(other, 2)


def test_a_twin_has_the_same_mistakes_and_a_hundred_times_the_sharpness():
    plain, sharp = twin(1.0, 0, steps=5), twin(16.0, 0, steps=5)
    assert sharp["same"] == 1
    assert sharp["test"] == plain["test"]
    assert sharp["sharpness"] > 90 * plain["sharpness"]
    assert sharp["way"][1][0] == plain["way"][1][0] == plain["test"]
    assert sharp["later"] > plain["later"] + 5  # five updates at a rate that is far too high


def test_the_error_of_a_share_and_of_a_difference():
    assert sampling_error(50, 100) == 5
    assert sampling_error(0, 10) == 0
    with pytest.raises(ValueError, match="percent must be"):
        sampling_error(101, 10)
    apart = xr.DataArray([1.0, 2.0, 3.0, np.nan], dims="seed")
    assert paired(apart, 0 * apart) == pytest.approx((2.0, 3**-0.5))
    assert np.isnan(paired(apart[3:], apart[3:])).all()


def test_what_the_recorded_runs_say_is_never_nonsense():
    runs, sharp = load("generalization"), load("generalization_sharpness")
    texts = [
        *said_of_rates(named(runs)).values.flat,
        *said_of_curvatures(sharp.sharpness, sharp.test).values.flat,
        *said_of_catapults(load("generalization_catapult")).values.flat,
        *said_of_patterns(load("generalization_patterns")).values.flat,
    ]
    for text in texts:
        assert text.endswith(".")
        assert "nan" not in text
        assert "inf" not in text
    assert list(named(runs).compared.values) == list(READINGS)


def at(cube, **where):
    return middle(cube.sel(**where), better="low")


def test_what_the_text_says_of_the_first_figure_is_recorded():
    runs = named(load("generalization")).sel(network="256 units")
    noisy, true = (runs.sel(noise=labels) for labels in ("noisy labels", "true labels"))
    high, low = (noisy.sel(compared="1000 updates", lr=lr) for lr in (0.5, 0.01))
    assert middle(high.train) < 0.2
    assert round(middle(high.test).item()) == 31
    assert round(middle(low.train).item()) == 38
    assert round(middle(low.test).item()) == 12
    climb = at(noisy.test, lr=0.02)
    assert climb.sel(compared="1000 updates") < 14
    assert climb.sel(compared="4000 updates") > 25
    flat = at(noisy.test, compared="training loss 0.1").sel(lr=slice(0.02, 0.7))
    assert flat.max() - flat.min() < 2
    early = at(noisy.test, compared="stopped early")
    assert early.sel(lr=slice(None, 0.1)).max() < 12
    assert early.sel(lr=0.2) > 12.5
    assert early.sel(lr=0.7) > 15
    last = at(true.test, compared="1000 updates")
    assert last.sel(lr=1.5) > 50
    assert last.sel(lr=0.005) > last.sel(lr=0.7) + 3


def test_what_the_verdicts_say_is_recorded():
    runs = named(load("generalization"))
    for name, points in (("32 units", 3), ("256 units", 5)):
        noisy = runs.test.sel(network=name, noise="noisy labels")
        high = at(noisy, lr=0.7)
        ratio = (high.sel(compared="1000 updates") / high.sel(compared="stopped early")).item()
        assert 1.9 < ratio < 3
        early = noisy.sel(compared="stopped early")
        mean, error = paired(early.sel(lr=0.7), early.sel(lr=0.05))
        assert mean == pytest.approx(points, abs=0.5)
        assert mean > 3 * error
        alike = noisy.sel(compared="training loss 0.1")
        mean, error = paired(alike.sel(lr=0.7), alike.sel(lr=0.05))
        assert abs(mean) < 2 * error
        assert abs(mean) < 1
        true = runs.train.sel(network=name, noise="true labels", compared="1000 updates")
        assert at(true, lr=0.7) == 0
    fitted = runs.train.sel(network="256 units", noise="noisy labels", compared="4000 updates")
    assert (at(fitted, lr=[0.1, 0.7]) < 0.1).all()


def test_what_the_text_says_of_flat_ends_is_recorded():
    ends, runs = load("generalization_sharpness"), load("generalization")
    sharp = middle(ends.sharpness)
    alike = sharp.sel(compared=COMPARED[3])
    ratio = alike.sel(lr=0.1) / alike.sel(lr=0.7)
    assert ((ratio > 2) & (ratio < 8)).all()
    assert (alike.sel(lr=slice(0.1, 0.7)) < 2 / ends.lr).all()
    loss = middle(runs.train_loss.sel(compared=COMPARED[1]))
    assert (loss.sel(lr=0.7) < loss.sel(lr=0.1)).all()
    for name in ends.network.values:
        test = ends.test.sel(network=name, compared=COMPARED[3])
        for noise, sure in ((0.0, True), (0.4, False)):
            pair = (test.sel(noise=noise, lr=lr) for lr in (0.7, 0.1))
            mean, error = paired(*pair)
            assert (mean > 2 * error) == sure
            assert sure or abs(mean) < error


def test_what_the_text_says_of_the_catapult_is_recorded():
    runs = load("generalization_catapult")
    share = middle(runs.sharpness / runs["first"])
    peak = middle(runs.loss.max("step") / runs.loss.isel(step=0))
    assert (peak.sel(lr=slice(None, 1.9)) == 1).all()
    assert 6.5 < peak.sel(lr=4) < 7.5
    assert 0.22 < share.sel(lr=4).isel(eval_step=-1) < 0.27
    assert share.sel(lr=4, eval_step=5) < 0.5
    assert (runs.diverged_at.sel(lr=100) >= 0).all()
    assert (runs.diverged_at.sel(lr=slice(None, 30)) == -1).all()
    there = (runs.train_loss <= 0.03).argmax("eval_step")
    wrong = middle(runs.val.isel(eval_step=there))
    assert (abs(wrong.sel(lr=slice(1, 4)) - wrong.sel(lr=1)) < 0.5).all()
    assert sampling_error(wrong.sel(lr=1).item(), 450) == pytest.approx(1.2, abs=0.05)
    assert (wrong.sel(lr=slice(9, 20)) > wrong.sel(lr=1) + 2).all()
    assert (middle(runs.dead.isel(eval_step=-1)).sel(lr=slice(9, 30)) > 50).all()
    updates = middle(runs.eval_step[there].astype(float)).sel(lr=slice(None, 20))
    assert set(updates.lr.values[updates == updates.min()]) == {3, 4}


def test_what_the_text_says_of_the_patterns_is_recorded():
    runs = load("generalization_patterns")
    end, lowest = runs.pixels.isel(eval_step=-1), runs.pixels.min("eval_step")
    for kind in SETS:
        for plan in ("constant", "falls to a tenth"):
            where = {"kind": kind, "plan": plan}
            pair = (end.sel(lr=lr, **where) for lr in (0.7, 0.1))
            mean, error = paired(*pair)
            assert -2.5 < mean < -1
            assert mean < -3 * error
            pair = (lowest.sel(lr=lr, **where) for lr in (0.7, 0.1))
            mean, error = paired(*pair)
            assert -0.8 < mean < 0
        falls, stays = (end.sel(kind=kind, lr=0.7, plan=p) for p in reversed(PLANS))
        assert -0.5 < paired(falls, stays)[0] <= 0.05
    patches = runs.patches.isel(eval_step=-1).sel(kind=SETS[0], plan=PLANS[0])
    assert (patches.sel(lr=1) > 50).sum() == 5
    assert middle(patches.sel(lr=0.7)) == 0


def test_twins_that_diverge_are_said_to():
    values = {"sharpness": [2.0, 200.0], "test": [3.5, 3.5], "later": [3.5, np.nan]}
    rows = {name: (("factor", "seed"), [[v] for v in pair]) for name, pair in values.items()}
    texts = said_of_twins(xr.Dataset(rows, {"factor": [1.0, 16.0]})).values
    assert (
        texts[0] == "The network as it was trained, 3.5 % mistakes. Trained on, it ends at 3.5 %."
    )
    assert texts[1].endswith("Trained on, it diverges.")
