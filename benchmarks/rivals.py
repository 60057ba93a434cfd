"""What a user would pick for many small networks instead: JAX, and PyTorch's ensembling tutorial.

Each function returns a call that trains all runs once, from the same starts and on the same batches
as a sweep, and gives back the losses (runs, steps).  ``benchmarks/requirements.txt`` has what they
need.  Neither evaluates, diverges gracefully or labels anything: they are the bare training.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F

from lrcourse.randomness import batches, seeded

HAS_JAX = all(importlib.util.find_spec(name) for name in ("jax", "optax"))
BATCH = 64


def jax_scan(
    factory: Any, data: Any, lrs: Any, seeds: Any, steps: int, settings: dict[str, Any]
) -> Callable[[], Any]:
    """Return jitted training: ``vmap`` over runs of a ``lax.scan`` over updates, optax for Adam."""
    import jax
    import jax.numpy as jnp
    import optax

    model = seeded(factory, 0)
    tanh = any(isinstance(part, torch.nn.Tanh) for part in model)
    starts = [[p.detach().numpy() for p in seeded(factory, s).parameters()] for s in seeds]
    x, y = jnp.array(data.x_train.flatten(1).numpy()), jnp.array(data.y_train.numpy())
    rows = jnp.array(np.stack([batches(len(x), BATCH, steps, s) for s in seeds]).astype(np.int32))
    adam = settings.get("optimizer") == "adam"
    momentum = settings.get("momentum", 0.0)

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            z = x @ w.T + b
            x = jnp.tanh(z) if tanh else jnp.maximum(z, 0)
        z = x @ params[-2].T + params[-1]
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    def train(lr: Any, params: Any, rows: Any) -> Any:
        rule = optax.adam(lr) if adam else optax.sgd(lr, momentum=momentum or None)

        def update(state: Any, chosen: Any) -> Any:
            params, memory = state
            loss, grads = jax.value_and_grad(loss_of)(params, x[chosen], y[chosen])
            moves, memory = rule.update(grads, memory, params)
            return (optax.apply_updates(params, moves), memory), loss

        return jax.lax.scan(update, (params, rule.init(params)), rows)[1]

    stacked = [jnp.array(np.stack(level)) for level in zip(*starts, strict=True)]
    over_seeds = jax.vmap(train, (None, 0, 0))
    everything = jax.jit(jax.vmap(over_seeds, (0, None, None)))
    rates = jnp.array(np.asarray(lrs, np.float32))

    def call() -> Any:
        return np.asarray(everything(rates, stacked, rows)).reshape(-1, steps)

    return call


def torch_vmap(
    factory: Any, data: Any, lrs: Any, seeds: Any, steps: int, settings: dict[str, Any]
) -> Callable[[], Any]:
    """Return training as PyTorch's model-ensembling tutorial stacks it, with the update by hand."""
    runs = [(lr, s) for lr in lrs for s in range(len(seeds))]
    order = np.stack([batches(len(data.x_train), BATCH, steps, s) for s in seeds])
    rows = torch.from_numpy(order[[s for _, s in runs]])
    rates = torch.tensor([float(lr) for lr, _ in runs])
    adam, momentum = settings.get("optimizer") == "adam", settings.get("momentum", 0.0)
    base = factory()

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        return F.cross_entropy(functional_call(base, params, (x,)), y)

    gradient = vmap(grad_and_value(loss_of))

    def call() -> Any:
        models = [seeded(factory, list(seeds)[s]) for _, s in runs]
        params = {name: p.detach() for name, p in stack_module_state(models)[0].items()}
        first = {name: torch.zeros_like(p) for name, p in params.items()}
        second = {name: torch.zeros_like(p) for name, p in params.items()}
        losses = []
        for t in range(steps):
            chosen = rows[:, t]
            grads, loss = gradient(params, data.x_train[chosen], data.y_train[chosen])
            losses.append(loss)
            for name, p in params.items():
                lr, g = rates.view(-1, *[1] * (p.ndim - 1)), grads[name]
                if adam:
                    first[name].lerp_(g, 0.1)
                    second[name].lerp_(g * g, 0.001)
                    root = (second[name] / (1 - 0.999 ** (t + 1))).sqrt_().add_(1e-8)
                    p.sub_(lr * first[name] / (1 - 0.9 ** (t + 1)) / root)
                elif momentum:
                    p.sub_(lr * first[name].mul_(momentum).add_(g))
                else:
                    p.sub_(lr * g)
        return torch.stack(losses, 1).numpy()

    return call
