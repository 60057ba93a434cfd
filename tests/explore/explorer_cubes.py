"""Real runs for the explorer's tests: gradient descent, many configurations in one array."""

from __future__ import annotations

import numpy as np
import xarray as xr


class Ravine:
    """(x² + κ y²) / 2, steep in one direction."""

    bounds = ((-2.2, 2.2), (-1.6, 1.6))

    def __init__(self, condition: float = 10.0) -> None:
        self.scale = np.array([1.0, condition])

    def value(self, points):
        return (np.asarray(points) ** 2 * self.scale).sum(-1) / 2


class Wavy:
    """x²/8 + cos(2x)/2: several minima on a line."""

    bounds = ((-4.0, 4.0),)

    def value(self, points):
        x = np.asarray(points)[..., 0]
        return x**2 / 8 + np.cos(2 * x) / 2 + 0.5


def regression(lrs=None, momenta=(0.0, 0.5, 0.9), seeds=5, steps=200, batch=8) -> xr.Dataset:
    """Stochastic descent on a noisy linear regression, over rate × momentum × seed.

    A run stops being recorded when its loss is not finite or 10,000 times its first.
    """
    lr = np.geomspace(0.001, 1.0, 22) if lrs is None else np.asarray(lrs, dtype=float)
    beta, seed = np.asarray(momenta, dtype=float), np.arange(seeds)
    shape = (len(lr), len(beta), seeds)
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(seeds, 256, 6)) * np.array([2.0, 1.5, 1.0, 0.7, 0.4, 0.2])
    truth = rng.normal(size=6)
    targets = inputs @ truth + 0.3 * rng.normal(size=(seeds, 256))
    w = np.zeros((*shape, 6)) + 2 * rng.normal(size=(seeds, 6))
    speed = np.zeros_like(w)
    loss = np.full((*shape, steps), np.nan)
    gone = np.full(shape, -1)
    for t in range(steps):
        pick = rng.integers(0, 256, size=(seeds, batch))
        x = np.take_along_axis(inputs, pick[..., None], axis=1)
        y = np.take_along_axis(targets, pick, axis=1)
        with np.errstate(all="ignore"):
            error = np.einsum("sbd,lmsd->lmsb", x, w) - y
            now = (error**2).mean(-1)
            loss[..., t] = now
            limit = 1e4 * loss[..., 0]
            bad = (gone < 0) & ~(now <= limit)
            gone[bad] = t
            loss[..., t][gone >= 0] = np.nan
            grad = 2 * np.einsum("lmsb,sbd->lmsd", error, x) / batch
            speed = beta[:, None, None] * speed + grad
            w = w - lr[:, None, None, None] * speed
            w[gone >= 0] = 0.0
    dims = ("lr", "momentum", "seed")
    return xr.Dataset(
        {
            "loss": ((*dims, "step"), loss),
            "final_loss": (dims, np.where(gone >= 0, np.nan, loss[..., -20:].mean(-1))),
            "diverged_at": (dims, gone),
        },
        {"lr": lr, "momentum": beta, "seed": seed, "step": np.arange(steps)},
    )


def ravine_descent(lrs=None, momenta=(0.0, 0.5, 0.9), steps=60, condition=10.0) -> xr.Dataset:
    """Deterministic descent in a ravine from one start, over rate × momentum."""
    lr = np.geomspace(0.01, 0.4, 17) if lrs is None else np.asarray(lrs, dtype=float)
    beta = np.asarray(momenta, dtype=float)
    scale = np.array([1.0, condition])
    x = np.zeros((len(lr), len(beta), 2)) + np.array([-1.8, 1.1])
    speed = np.zeros_like(x)
    where = np.empty((len(lr), len(beta), steps + 1, 2))
    for t in range(steps + 1):
        where[:, :, t] = x
        speed = beta[:, None] * speed + scale * x
        x = x - lr[:, None, None] * speed
    return xr.Dataset(
        {
            "x0": (("lr", "momentum", "step"), where[..., 0]),
            "x1": (("lr", "momentum", "step"), where[..., 1]),
            "loss": (("lr", "momentum", "step"), (where**2 * scale).sum(-1) / 2),
            "threshold": ("momentum", 2 * (1 + beta) / condition),
        },
        {"lr": lr, "momentum": beta, "step": np.arange(steps + 1)},
    )


def unpacked(explorer, name):
    """An array as the page decodes it."""
    meta = explorer.view.spec["arrays"][name]
    kind, start = {"f4": "<f4", "q2": "<u2"}[meta["type"]], meta["offset"]
    raw = np.frombuffer(explorer.view.data, kind, meta["size"], start).reshape(meta["shape"])
    if meta["type"] == "f4":
        return raw
    values = meta["scale"] * np.sinh(meta["low"] + raw * meta["step"])
    return np.where(raw == 65_535, np.nan, values)
