"""Runs that the explorer's tests share, and a page from disk that shows explorers of them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from bundle import sources
from conftest import skip_or_fail
from explorer_cubes import Ravine, ravine_descent, regression
from static_page import write_page

from lrcourse.explore import Descent, HeatMap, Lines, explore


@pytest.fixture(scope="session")
def runs():
    """Runs of which some diverge, with the rate that each used."""
    ds = regression(lrs=np.geomspace(0.001, 1, 10), seeds=5, steps=60)
    rate = ds.loss * 0 + ds.lr
    return ds.assign(used=rate.fillna(0).where(ds.loss.notnull(), ds.lr))


@pytest.fixture(scope="session")
def holed(runs):
    """The same runs, of which some were never made: a seed of one cell, and all of another."""
    near = {"lr": 0.01, "momentum": 0.5, "seed": 0}
    chosen = [runs.get_index(d).get_indexer([v], "nearest")[0] for d, v in near.items()]
    there = xr.ones_like(runs.final_loss, dtype=bool)
    there[tuple(chosen)] = False
    there[0, 0] = False
    return runs.where(there)


@pytest.fixture(scope="session")
def descent():
    return ravine_descent()


@pytest.fixture(scope="session")
def explorers(runs):
    """Four explorers: runs beside a map, a path, a choice of curves, a chosen axis."""
    descent = ravine_descent(steps=40)
    named = runs.expand_dims(optimizer=["sgd", "slow sgd"]).copy(deep=True)
    named["loss"] = named.loss * [[[[[1.0]]]], [[[[2.0]]]]]
    return [
        explore(
            runs,
            Lines("loss", log="y", faint="lr"),
            HeatMap("final_loss", "lr", "momentum", log=True),
            title="Runs beside a map",
            start={"lr": 0.01, "momentum": 0.5},
        ),
        explore(
            descent,
            Descent("x0", "x1", surface=Ravine(), faint="lr"),
            Lines("loss", log="y"),
            title="A path",
            start={"lr": 0.15, "momentum": 0.5},
        ),
        explore(
            named.isel(momentum=0, drop=True),
            Lines(["loss", "used"], choose=True),
            title="A choice",
            start={"optimizer": "sgd", "lr": 0.01},
        ),
        explore(
            runs,
            Lines("final_loss", "lr", log="xy"),
            Lines(["loss", "used"], spread="runs", title="Two curves"),
            title="A chosen axis",
            start={"lr": 0.01, "momentum": 0.9},
        ),
    ]


@pytest.fixture(scope="session")
def page_path(explorers, tmp_path_factory):
    for source in sources():
        if not source.exists():
            skip_or_fail(f"{source.name} is missing: run `make book`")
    return write_page(tmp_path_factory.mktemp("explorers"), *explorers)


@pytest.fixture
def reader(visit, page_path):
    """A visit to the page, once all explorers are drawn; it must end without a complaint."""

    def start(theme="light", **options):
        one = visit(**options)
        one.open(page_path)
        one.page.wait_for_function(
            "document.querySelectorAll('.lrx-root[data-selection]').length === 4"
        )
        one.page.evaluate("t => { document.documentElement.dataset.theme = t }", theme)
        visits.append(one)
        return one.page

    visits = []
    yield start
    for one in visits:
        assert one.complaints == []
