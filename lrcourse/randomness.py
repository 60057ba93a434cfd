"""Where the randomness of a run comes from: the seed of its start and the order of its batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lrcourse._checks import count, instance

_GENERATOR = threading.RLock()


@contextmanager
def randomness(seed: int) -> Iterator[None]:
    """Seed torch's generator for a block, and then give it back its state.

    All threads share that generator: the lock keeps one from seeding it while `seeded` draws.
    """
    fork = torch.random.fork_rng()
    with _GENERATOR:
        fork.__enter__()
        torch.manual_seed(seed)
    try:
        yield
    finally:
        with _GENERATOR:
            fork.__exit__(None, None, None)


def seeded(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return ``factory()`` made under a seed, and leave torch's generator as it was.

    >>> from lrcourse.models import mlp
    >>> a, b = seeded(mlp, 0), seeded(mlp, 0)
    >>> bool((a[1].weight == b[1].weight).all())
    True
    """
    with _GENERATOR, randomness(count("seed", seed)):
        return instance("factory()", factory(), nn.Module, "a torch nn.Module")


def batches(n: int, batch_size: int | None, steps: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of every update, shape (steps, batch): a fresh shuffle each epoch.

    Rows left over at the end of an epoch are dropped.  With batch_size None every update takes all
    rows in order.

    >>> batches(5, 2, steps=3, seed=0)
    array([[2, 4],
           [3, 0],
           [4, 1]])
    """
    if batch_size is None:
        return np.broadcast_to(np.arange(n), (steps, n))
    if batch_size > n:
        raise ValueError(f"batch_size must be at most the {n} training rows, was {batch_size}")
    rng, epoch = np.random.default_rng(seed), n // batch_size
    epochs = [rng.permutation(n)[: epoch * batch_size] for _ in range(-(-steps // epoch))]
    return np.concatenate(epochs).reshape(-1, batch_size)[:steps]
