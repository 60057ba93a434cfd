"""Read from a page what its explorers show, and compute it from the dataset."""

from __future__ import annotations

import json

import numpy as np

from lrcourse.explore import explore
from lrcourse.results import quartiles

DRAWN = "k => document.querySelectorAll('.lrx-root')[k].lrx.series()"


def settle(page):
    """Wait for the frame that draws what has changed."""
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def drawn(page, k, name="loss", pin=0):
    """The curve of a variable that explorer `k` shows now."""
    settle(page)
    return next(s for s in page.evaluate(DRAWN, k) if s["name"] == name and s["pin"] == pin)


def numbers(values):
    values = np.array([np.nan if v is None else v for v in values], dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def median(runs, name="loss", **selection):
    """The curve as the dataset has it, a diverged run counted as the worst."""
    cut = runs[name].sel(selection, method="nearest").transpose("seed", ...).values
    low, mid, high = quartiles(cut)
    return [np.where(np.isfinite(q), q, np.nan) for q in (low, mid, high)]


def assert_shows(series, expected):
    for key, values in zip(("low", "y", "high"), expected, strict=True):
        np.testing.assert_allclose(numbers(series[key]), values, rtol=1e-5)


def handle(page, k, name):
    return page.locator(".lrx").nth(k).get_by_role("slider", name=name, exact=True)


def explorer_label(runs, i):
    return explore(runs, y="loss").controls["lr"].options[i]


def selection(page, k):
    settle(page)
    return json.loads(page.locator(".lrx-root").nth(k).get_attribute("data-selection"))
