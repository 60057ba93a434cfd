"""Factories of the small networks that the course trains.

A factory is a function without arguments that builds a fresh model; its random start comes from
torch's generator, which ``training.seeded`` sets.  ``mlp`` is the factory of the default network,
``functools.partial(mlp, (64, 128, 10), "relu")`` that of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lrcourse._checks import choice, count

__all__ = ["cnn", "linear", "mlp"]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def mlp(sizes: Sequence[int] = (64, 32, 10), activation: str = "tanh") -> nn.Sequential:
    r"""Build a multi-layer perceptron :math:`W_L\,\phi(\dots\phi(W_1 x + b_1)\dots) + b_L`.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units ..., outputs; the default fits ``data.digits``.
    activation : {"tanh", "relu", "sigmoid"}
        Between the layers.

    Returns
    -------
    torch.nn.Sequential
        It takes (rows, ...), flattened, to (rows, outputs).

    Examples
    --------
    >>> sum(p.numel() for p in mlp().parameters())
    2410
    """
    sizes = [count("sizes", size, low=1) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(f"sizes must hold at least inputs and outputs, was {sizes}")
    phi = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), phi()]
    return nn.Sequential(*layers[:-1])


def linear(inputs: int = 1, outputs: int = 1, *, zero: bool = False) -> nn.Sequential:
    """Build one linear layer; with `zero` it starts at the origin, so that a path can be drawn.

    Parameters
    ----------
    inputs, outputs : int
    zero : bool
        Start with all weights 0.

    Returns
    -------
    torch.nn.Sequential

    Examples
    --------
    >>> [p.tolist() for p in linear(zero=True).parameters()]
    [[[0.0]], [0.0]]
    """
    model = mlp((inputs, outputs))
    if zero:
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
    return model


def cnn(channels: int = 8, hidden: int = 32) -> nn.Sequential:
    """Build a network for 1x28x28 images: two convolutions, each pooled, and two dense layers.

    Parameters
    ----------
    channels : int
        Of the first convolution; the second has twice as many.
    hidden : int
        Units of the first dense layer.

    Returns
    -------
    torch.nn.Sequential
        It takes (rows, 1, 28, 28) to (rows, 10).

    Examples
    --------
    >>> import torch
    >>> cnn()(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """
    count("channels", channels, low=1)
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * channels * 7 * 7, count("hidden", hidden, low=1)),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )
