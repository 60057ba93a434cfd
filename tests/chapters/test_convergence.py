"""What the prose of the chapter on convergence says of its recorded runs, and its helpers."""

import numpy as np
import pytest
import xarray as xr

from lrcourse.chapters import convergence
from lrcourse.chapters.convergence import limit_found, one_hot, said_of_edge, said_of_shares
from lrcourse.cubes import load
from lrcourse.data import digits
from lrcourse.models import linear
from lrcourse.results import middle


@pytest.fixture(scope="module")
def edge():
    return load("convergence")


@pytest.fixture(scope="module")
def shares(edge):
    return middle(edge.sharpness * edge.lr / 2)


def test_at_a_low_rate_the_sharpness_rises_and_the_loss_falls_at_every_update(edge):
    row = middle(edge.sharpness.sel(lr=0.2))
    assert float(row[0]) == pytest.approx(1.3, abs=0.05)
    assert float(row[-1]) == pytest.approx(3.6, abs=0.05)
    assert not (edge.loss.sel(lr=0.2).diff("step") > 0).any()


def test_at_rate_one_the_sharpness_overshoots_its_limit_by_a_fifth_and_stays(shares):
    row = shares.sel(lr=1.0)
    assert float(row.max()) == pytest.approx(1.2, abs=0.02)
    assert (abs(row.sel(eval_step=slice(1000, None)) - 1) < 0.03).all()


def test_after_400_updates_high_rates_are_within_a_tenth_of_their_limit(shares):
    part = shares.sel(eval_step=400, lr=slice(0.7, 3.5))
    assert (abs(part - 1) <= 0.1).all()
    assert float(shares.sel(eval_step=400, lr=0.6)) < 0.9


def test_seeds_diverge_where_the_chapter_says_so(edge):
    lost = (edge.diverged_at >= 0).sum("seed")
    assert lost.sel(lr=[3.0, 3.5, 4.0]).values.tolist() == [0, 1, 5]
    assert lost.sel(lr=slice(None, 3.0)).sum() == 0


def test_every_state_of_the_edge_has_a_sentence_of_its_kind(edge, shares):
    said = said_of_edge(edge)
    begins = {0.2: "The sharpness stays below", 0.5: "The sharpness of 2 of the 5 seeds"}
    begins |= {1.0: "The sharpness reaches its limit of 2 by", 2.0: "The sharpness starts above"}
    begins |= {4.0: "The start is far above its limit of 0.5. All 5 seeds diverge"}
    for lr, text in begins.items():
        assert said.sel(lr=lr).item().startswith(text), lr
    moments = said_of_shares(shares)
    assert moments.sel(lr=4.0, eval_step=100).item().endswith("all seeds have diverged.")
    assert "and falling" in moments.sel(lr=3.0, eval_step=100).item()
    assert moments.sel(lr=1.0, eval_step=0).item().endswith("and about to rise.")
    assert moments.sel(lr=1.0, eval_step=100).item().startswith("At rate 1, after 100 updates:")
    assert "goes 20 % above it, and comes back to it" in said.sel(lr=1.0).item()


def test_a_run_that_has_not_settled_below_its_limit_is_told_apart():
    loss = [[[1.0, 0.5]], [[1.0, 0.9]]]
    runs = xr.Dataset(
        {
            "loss": (("lr", "momentum", "step"), loss),
            "diverged_at": (("lr", "momentum"), [[-1]] * 2),
        },
        {"lr": [0.1, 0.29], "momentum": [0]},
    )
    limits = xr.DataArray([0.3], {"momentum": [0]})
    texts = convergence.said_of_limits(runs, limits).values.ravel()
    assert "has settled" in texts[0]
    assert "has not died down" in texts[1]


def test_the_least_loss_is_below_what_training_reaches():
    data = one_hot(digits(), rows=100)
    least = convergence.least_loss(data)
    assert 0 <= least < 0.05


def test_the_limit_is_found_between_two_rates_near_a_right_prediction():
    found = limit_found(lambda: linear(64, 10, zero=True), one_hot(digits(), rows=500), 0.3068)
    assert found["settles at"] < found["grows at"]
    assert found["grows at"] - found["settles at"] < 0.01 * found["predicted"]
    np.testing.assert_allclose(found["settles at"], found["predicted"], rtol=5e-3)
