"""Factories of the small networks that the course trains.

A factory is a function without arguments that builds a fresh model; its random start comes from
torch's generator, which ``training.seeded`` sets.  ``mlp`` is the factory of the default network,
``functools.partial(mlp, (64, 128, 10), "relu")`` that of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lrcourse._checks import choice, count

__all__ = ["cnn", "encoder", "linear", "mlp"]

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


class _Attention(nn.Module):
    """Self-attention with several heads: (rows, tokens, width) to the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        # (rows, tokens, 3 width) -> queries, keys, values, each (rows, heads, tokens, width/heads)
        parts = (
            self.into(h).reshape(*h.shape[:-1], 3, self.heads, -1).movedim(-3, 0).transpose(-2, -3)
        )
        q, k, v = parts[0], parts[1], parts[2]
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        mixed: Tensor = self.out((weights @ v).transpose(-2, -3).flatten(-2))
        return mixed


class _Block(nn.Module):
    """Attention and a layer of hidden units, each beside a shortcut, with layer normalisation."""

    def __init__(self, width: int, heads: int, norm: str) -> None:
        super().__init__()
        self.first = norm == "pre"
        self.branches = nn.ModuleList(
            [
                _Attention(width, heads),
                nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)),
            ]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in self.branches])

    def forward(self, h: Tensor) -> Tensor:
        for branch, norm in zip(self.branches, self.norms, strict=True):
            h = h + branch(norm(h)) if self.first else norm(h + branch(h))
        return h


class _Encoder(nn.Module):
    """Tokens in, blocks, the mean over tokens, classes out."""

    def __init__(
        self, tokens: int, inputs: int, width: int, heads: int, blocks: int, outputs: int, norm: str
    ) -> None:
        super().__init__()
        self.shape = tokens, inputs
        self.embed = nn.Linear(inputs, width)
        self.place = nn.Parameter(0.1 * torch.randn(tokens, width))
        self.blocks = nn.Sequential(*[_Block(width, heads, norm) for _ in range(blocks)])
        self.last = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        tokens, inputs = self.shape
        if x.flatten(1).shape[1] != tokens * inputs:
            raise ValueError(
                f"x must have rows of {tokens} tokens x {inputs} numbers, {tokens * inputs} in "
                f"all, had the shape {tuple(x.shape)}"
            )
        h = self.embed(x.reshape(len(x), tokens, inputs)) + self.place
        logits: Tensor = self.head(self.last(self.blocks(h)).mean(-2))
        return logits


def encoder(
    tokens: int = 8,
    inputs: int = 8,
    width: int = 32,
    heads: int = 2,
    blocks: int = 2,
    outputs: int = 10,
    norm: str = "post",
) -> nn.Module:
    r"""Build a small transformer encoder that classifies a sequence of tokens.

    With token :math:`x_i` of a row and a learned vector :math:`p_i` for its place,
    :math:`h_i = E x_i + p_i`.  Each of the blocks mixes the tokens by attention, in each head

    .. math:: A(h) = \mathrm{softmax}\!\left(\frac{(h Q)(h K)^\top}{\sqrt{d}}\right) h V,
              \qquad d = \mathrm{width} / \mathrm{heads},

    and then changes each by :math:`F(h) = W_2 \max(0, W_1 h)` with twice as many hidden units, both
    with biases.  Both stand beside a shortcut: :math:`h \leftarrow N(h + A(h))` with the layer
    normalisation N after it, as in the first transformer, or :math:`h \leftarrow h + A(N(h))`
    with N before, and then once more after the last block.  The outputs are linear in the mean of
    the tokens.

    Parameters
    ----------
    tokens, inputs : int
        Tokens of a row, and numbers in a token; the default reads a digit of ``data.digits`` row of
        pixels by row of pixels.
    width : int
        Numbers in a hidden token; a multiple of `heads`.
    heads : int
        Of the attention.
    blocks : int
    outputs : int
    norm : {"post", "pre"}
        Layer normalisation after the shortcut has been added, or before the branch.

    Returns
    -------
    torch.nn.Module
        It takes (rows, tokens, inputs), or (rows, tokens · inputs), to (rows, outputs).  With width
        w it has :math:`(\mathrm{inputs} + \mathrm{tokens} + 1)\,w` parameters before the blocks,
        :math:`8w^2 + 11w` in each, and :math:`(w + 1)\,\mathrm{outputs}` behind; :math:`2w` more
        with "pre".

    Raises
    ------
    ValueError, TypeError
        A number below 1, a width that heads do not divide, another norm; and in the forward pass
        rows that do not hold tokens · inputs numbers.

    References
    ----------
    Vaswani et al., 2017, section 3; Xiong et al., 2020, for the place of the normalisation.

    Examples
    --------
    >>> import torch
    >>> encoder()(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    >>> sum(p.numel() for p in encoder().parameters()), (8 + 8 + 1) * 32 + 2 * 8544 + 330
    (17962, 17962)
    """
    sizes = {"tokens": tokens, "inputs": inputs, "width": width, "heads": heads, "blocks": blocks}
    for name, size in (sizes | {"outputs": outputs}).items():
        count(name, size, low=1)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, were {width} and {heads}")
    choice("norm", norm, ("post", "pre"))
    return _Encoder(tokens, inputs, width, heads, blocks, outputs, norm)
