"""What the chapter on the batch size reads from its cubes, against closed forms and by hand."""

import numpy as np
import pytest
import torch
import xarray as xr

from lrcourse.chapters.batch_size import (
    BUDGETS,
    critical_batch,
    critical_of,
    good_middle,
    growth,
    images,
    kept_half_life,
    leftover,
    loss_at,
    said_of_batches,
    said_of_goals,
    updates,
    without_each,
)
from lrcourse.cubes import load
from lrcourse.randomness import batches, seeded
from lrcourse.results import best, middle

SIZES = [2**k for k in range(1, 11)]


def test_every_batch_size_divides_the_images():
    data = images()
    assert len(data.x_train) == 1024
    for size in SIZES:
        epoch = batches(1024, size, 1024 // size, seed=0)
        assert sorted(epoch.ravel().tolist()) == list(range(1024))


def test_wrong_labels_are_in_the_training_part_only():
    clean, wrong = images(), images(wrong=0.3)
    assert torch.equal(clean.y_val, wrong.y_val)
    assert float((clean.y_train != wrong.y_train).float().mean()) == pytest.approx(0.27, abs=0.04)
    with pytest.raises(ValueError, match="wrong must be"):
        images(wrong=1.5)


@pytest.mark.parametrize("size", SIZES)
def test_budgets_in_epochs_see_as_many_samples_and_the_other_does_not(size):
    seen = {budget: size * updates(budget, size) for budget in BUDGETS}
    assert seen == {"4 epochs": 4096, "16 epochs": 16384, "128 updates": 128 * size}


def test_an_unknown_budget_is_refused():
    with pytest.raises(ValueError, match="budget must be"):
        updates("5 epochs", 2)


def test_a_power_law_grows_by_its_power():
    sizes = xr.DataArray(SIZES, {"batch_size": SIZES})
    for power in (0.5, 1.0):
        rates = 0.01 * sizes**power
        found = growth(rates, rates.expand_dims(seed=5))
        assert list(found) == ["2 to 16", "16 to 128", "128 to 1,024"]
        for factors in found.values():
            assert factors == pytest.approx((8**power,) * 3)


def test_the_middle_of_good_rates_is_found_between_the_rates_of_the_grid():
    lr = np.geomspace(0.01, 1, 9)
    bowl = xr.DataArray(np.exp(np.log(lr / 0.13) ** 2), {"lr": lr})
    assert good_middle(bowl).item() == pytest.approx(0.13, rel=0.05)


def test_each_seed_is_left_out_once():
    ends = xr.DataArray([[1.0, 2.0, np.nan]], dims=["lr", "seed"]).assign_coords(seed=[4, 5, 6])
    left = without_each(ends, lambda median: median)
    assert left.seed.values.tolist() == [4, 5, 6]
    assert left.sel(seed=6).item() == 1.5
    assert np.isinf(left.sel(seed=4)).all()


def test_a_loss_is_read_between_two_rates_and_infinite_beside_a_run_that_diverged():
    losses = xr.DataArray([1.0, 4.0, np.inf], {"lr": [0.1, 0.4, 1.6]})
    assert loss_at(losses, 0.4) == pytest.approx(4)
    assert np.isinf(loss_at(losses, 0.8))
    with pytest.raises(ValueError, match="rate must be"):
        loss_at(losses, 0.0)


@pytest.mark.parametrize("critical", [5.0, 60.0])
def test_the_critical_batch_is_that_of_the_law(critical):
    sizes = xr.DataArray(SIZES, {"batch_size": SIZES})
    noisy = 30 * (1 + critical / sizes) * np.exp(0.05 * np.cos(np.arange(10)))
    least, found = critical_batch(noisy)
    assert least == pytest.approx(30, rel=0.1)
    assert found == pytest.approx(critical, rel=0.15)


def test_the_words_on_rates_say_linear_and_root_where_they_are():
    sizes = np.array([2, 16, 128])
    for power, word in {1.0: "linear rule, 64", 0.5: "square root, 8"}.items():
        rates = xr.DataArray(
            0.1 * (sizes / 2.0)[None, None] ** power,
            {"optimizer": ["SGD"], "budget": ["4 epochs"], "batch_size": sizes},
        )
        assert f"close to the {word}." in said_of_batches(rates).values[0, 0, -1]


def test_the_words_on_goals_name_what_is_saved_and_the_critical_batch():
    sizes = np.array([2, 32, 512])
    rows = np.stack([10 * (1 + 30 / sizes), np.full(3, np.inf)])
    needed = xr.DataArray(rows[None], {"case": ["SGD"], "goal": [0.3, 0.1], "batch_size": sizes})
    assert critical_of(needed).values[0] == pytest.approx([30, np.nan], rel=0.01, nan_ok=True)
    reached, never = said_of_goals(needed).values[0]
    assert "256 times the batch takes 15 times fewer updates." in reached
    assert reached.endswith("The critical batch size is about 30.")
    assert "not reached" in never


def test_a_half_life_is_kept_in_examples():
    for size in (1, 64, 512):
        beta2 = kept_half_life(0.999, 64, size)
        assert size * np.log(2) / np.log(1 / beta2) == pytest.approx(
            64 * np.log(2) / np.log(1 / 0.999)
        )


def test_dropping_the_short_batch_is_training_on_whole_ones():
    """One epoch by hand, at the rates that fall to 0 over three updates."""
    from lrcourse.data import digits
    from lrcourse.models import mlp
    from lrcourse.training import evaluate

    data, model = digits(), seeded(mlp, 3)
    order = torch.randperm(1347, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for t in range(3):
        rows = order[448 * t : 448 * (t + 1)]
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - t / 3)
        optimizer.zero_grad()
        data.loss_of(model(data.x_train[rows]), data.y_train[rows]).backward()
        optimizer.step()
    found = leftover(0.3, False, 3, momentum=0.0, epochs=1)
    assert found == pytest.approx(evaluate(model, data)[1], rel=1e-5)


@pytest.mark.parametrize("method", ["SGD", "momentum", "Adam"])
def test_no_good_rate_of_the_cube_lies_at_the_end_of_its_grid(method):
    from lrcourse.results import best, middle

    assert not best(middle(load("batch_size").val_loss.sel(optimizer=method))).at_edge.any()


def test_what_the_text_says_of_the_rates_is_recorded():
    rates = good_middle(middle(load("batch_size").val_loss))
    grown = rates.sel(batch_size=128) / rates.sel(batch_size=2)
    momentum = grown.sel(optimizer="momentum")
    said = {"4 epochs": 61, "16 epochs": 34, "128 updates": 10}
    for budget, factor in said.items():
        assert momentum.sel(budget=budget).item() == pytest.approx(factor, rel=0.05)
    ratio = rates.sel(optimizer="momentum") / 0.1 / rates.sel(optimizer="SGD")
    of = ratio.sel(budget="4 epochs")
    assert of.sel(batch_size=[2, 8]).max() < 1.25
    assert of.sel(batch_size=128).item() == pytest.approx(5, abs=0.5)
    t = np.arange(32)  # updates of 4 epochs at batch 128, at a rate that falls to 0
    velocity, rate = 1 - 0.9 ** (t + 1), 1 - t / 32
    assert np.average(velocity, weights=rate) == pytest.approx(0.6, abs=0.01)


def test_what_the_text_says_of_goals_and_half_lives_is_recorded():
    needed = best(middle(load("batch_size_goal").updates)).value.sel(goal=0.3)
    few = needed.sel(batch_size=[128, 1024]).isel(case=[0, 1, 2])
    assert few.transpose("case", "batch_size").values.tolist() == [[17, 16], [7, 5], [11, 8]]
    losses = best(middle(load("batch_size_beta2").val_loss)).value
    over = losses / losses.min("half_life")
    high = over.where(over.half_life > 16).max("half_life")
    assert high.max().item() == pytest.approx(1.28, abs=0.01)
    assert int(high.batch_size[int(high.argmax("batch_size"))]) == 16
