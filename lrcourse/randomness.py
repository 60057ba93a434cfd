"""Where the randomness of a run comes from: the seed of its start and the order of its batches.

``fit(factory, data, seed=s)`` is the plain loop over ``seeded(factory, s)`` and the rows of
``batches(..., seed=s)``; draws that the model makes while it trains, such as dropout, come from
torch's generator, seeded with s just before the first evaluation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lrcourse._checks import instance
from lrcourse._limits import limited

__all__ = ["batches", "randomness", "seeded"]

_GENERATOR = threading.RLock()


@contextmanager
def randomness(seed: int) -> Iterator[None]:
    """Seed torch's generator for a block, and then give it back its state.

    All threads share that generator: the lock keeps one from seeding it while `seeded` draws.

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> with randomness(0):
    ...     first = torch.rand(1)
    >>> with randomness(0):
    ...     bool(torch.rand(1) == first)
    True
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

    Parameters
    ----------
    factory : callable
        A function without arguments that builds a model.
    seed : int

    Returns
    -------
    torch.nn.Module

    Examples
    --------
    >>> from lrcourse.models import mlp
    >>> a, b = seeded(mlp, 0), seeded(mlp, 0)
    >>> bool((a[1].weight == b[1].weight).all())
    True
    """
    with _GENERATOR, randomness(limited("seed", seed)):
        return instance("factory()", factory(), nn.Module, "a torch nn.Module")


def batches(n: int, batch_size: int | None, steps: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of every update: a fresh shuffle each epoch.

    Epoch e is ``rng.permutation(n)``, the e-th draw of ``rng = numpy.random.default_rng(seed)``,
    cut into batches in order; rows left over at its end are dropped.  With batch_size None every
    update takes all rows in order, and nothing is drawn.

    Parameters
    ----------
    n : int
        Training rows.
    batch_size : int, optional
        Rows of a batch.
    steps : int
        Updates.
    seed : int

    Returns
    -------
    array of int64, shape (steps, batch_size)

    Raises
    ------
    ValueError
        A batch that is empty, or larger than the training set.

    Examples
    --------
    >>> batches(5, 2, steps=3, seed=0)
    array([[2, 4],
           [3, 0],
           [4, 1]])
    """
    if batch_size is None:
        return np.broadcast_to(np.arange(n), (steps, n))
    limited("batch_size", batch_size)
    if batch_size > n:
        raise ValueError(f"batch_size must be at most the {n} training rows, was {batch_size}")
    rng, epoch = np.random.default_rng(seed), n // batch_size
    epochs = [rng.permutation(n)[: epoch * batch_size] for _ in range(-(-steps // epoch))]
    return np.concatenate([np.empty(0, np.int64), *epochs]).reshape(-1, batch_size)[:steps]
