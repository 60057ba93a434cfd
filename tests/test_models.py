"""The models that are more than a chain of torch's own layers."""

import pytest
import torch
from torch import nn

from lrcourse.data import digits
from lrcourse.engine.stacks import Mapped, stack_for
from lrcourse.models import _Attention, encoder
from lrcourse.randomness import seeded
from lrcourse.sweeps import sweep
from lrcourse.training import fit


def numbers(model):
    return sum(p.numel() for p in model.parameters())


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs = _Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.in_proj_weight.data = ours.into.weight.data
    theirs.in_proj_bias.data = ours.into.bias.data
    theirs.out_proj.weight.data = ours.out.weight.data
    theirs.out_proj.bias.data = ours.out.bias.data
    h = torch.randn(4, 5, 12)
    torch.testing.assert_close(ours(h), theirs(h, h, h, need_weights=False)[0])


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_block_is_that_of_torch(norm):
    torch.manual_seed(0)
    block = encoder(width=12, heads=3, norm=norm).blocks[0]
    layer = nn.TransformerEncoderLayer(
        12, 3, dim_feedforward=24, dropout=0.0, batch_first=True, norm_first=norm == "pre"
    )
    attention, hidden = block.branches
    layer.self_attn.in_proj_weight.data = attention.into.weight.data
    layer.self_attn.in_proj_bias.data = attention.into.bias.data
    layer.self_attn.out_proj.load_state_dict(attention.out.state_dict())
    layer.linear1.load_state_dict(hidden[0].state_dict())
    layer.linear2.load_state_dict(hidden[2].state_dict())
    h = torch.randn(4, 8, 12)
    torch.testing.assert_close(block(h), layer(h))


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize(("width", "heads", "blocks"), [(16, 2, 3), (32, 4, 1)])
def test_the_count_of_parameters_is_the_one_in_the_docstring(norm, width, heads, blocks):
    model = encoder(5, 7, width, heads, blocks, 3, norm)
    expected = (7 + 5 + 1) * width + blocks * (8 * width**2 + 11 * width) + (width + 1) * 3
    assert numbers(model) == expected + (2 * width if norm == "pre" else 0)


def test_a_row_may_come_flat_or_as_tokens():
    model, x = encoder(), torch.randn(6, 8, 8)
    assert model(x).shape == (6, 10)
    torch.testing.assert_close(model(x), model(x.flatten(1)))


def test_the_order_of_tokens_counts():
    model, x = seeded(encoder, 0), torch.randn(6, 8, 8)
    assert not torch.allclose(model(x), model(x.flip(1)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 30, "heads": 4}, "width must be a multiple of heads, were 30 and 4"),
        ({"norm": "none"}, "norm must be"),
        ({"blocks": 0}, "blocks must be"),
        ({"tokens": 0}, "tokens must be"),
    ],
)
def test_a_wrong_encoder_is_refused_in_words(wrong, message):
    with pytest.raises(ValueError, match=message):
        encoder(**wrong)
    with pytest.raises(TypeError, match="heads must be"):
        encoder(heads=2.5)


def test_rows_of_a_wrong_size_are_refused_in_words():
    with pytest.raises(ValueError, match="8 tokens x 8 numbers, 64 in all, had the shape"):
        encoder()(torch.zeros(5, 49))


def test_a_stack_can_hold_it_and_agrees_with_one_alone():
    assert stack_for(encoder(width=8), digits()) is Mapped
    settings = {"lr": 0.003, "steps": 5, "optimizer": "adam", "batch_size": 16}
    runs = sweep(encoder, digits(), seed=[0, 1], engine="batched", **settings)
    alone = fit(encoder, digits(), seed=1, **settings)
    torch.testing.assert_close(
        torch.tensor(runs.loss.sel(seed=1).values), torch.tensor(alone.loss), rtol=1e-4, atol=0
    )
