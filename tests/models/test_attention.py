"""Attention and layers against PyTorch's own, on copied random weights."""

import pytest
import torch
from torch import nn

from sightline.models.attention import Attention
from sightline.models.layers import CrossLayer, DecoderLayer, EncoderLayer
from sightline.models.style import LayerStyle

# float32 sums of at most 64 terms in another order: measured worst case 1e-6 on values of order 1. A wrong
# scale, mask or head order shows at 1e-1.
ATOL = 1e-5
B, T, M, D, H = 2, 5, 7, 32, 4


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def copy_attention(own: Attention, reference: nn.MultiheadAttention) -> None:
    with torch.no_grad():
        for index, part in enumerate((own.query, own.key, own.value)):
            part.weight.copy_(reference.in_proj_weight.chunk(3)[index])
            part.bias.copy_(nn.init.normal_(reference.in_proj_bias).chunk(3)[index] if index == 0 else
                            reference.in_proj_bias.chunk(3)[index])  # fmt: skip
        own.output.load_state_dict(reference.out_proj.state_dict())


def copy_feed_forward(own, reference) -> None:
    own.expand.load_state_dict(reference.linear1.state_dict())
    own.reduce.load_state_dict(reference.linear2.state_dict())


def test_attention_equals_torch_with_padding_and_weights():
    reference = nn.MultiheadAttention(D, H, batch_first=True).eval()
    own = Attention(D, D, H, D // H, dropout=0.0)
    copy_attention(own, reference)
    query, memory = torch.randn(B, T, D), torch.randn(B, M, D)
    padding_BM = torch.tensor([[False] * M, [False] * 4 + [True] * 3])
    expected, weights = reference(
        query, memory, memory, key_padding_mask=padding_BM, average_attn_weights=False
    )
    got = own(query, memory, ~padding_BM[:, None, None, :], need_weights=True)
    torch.testing.assert_close(got.out, expected, atol=ATOL, rtol=0)
    torch.testing.assert_close(got.attn, weights, atol=ATOL, rtol=0)
    assert own(query, memory).attn is None and got.gate is None


def test_gradients_equal_torch():
    reference = nn.MultiheadAttention(D, H, batch_first=True)
    own = Attention(D, D, H, D // H, dropout=0.0)
    copy_attention(own, reference)
    x = torch.randn(B, T, D)
    reference(x, x, x)[0].square().sum().backward()
    own(x).out.square().sum().backward()
    got = torch.cat([own.query.weight.grad, own.key.weight.grad, own.value.weight.grad])
    torch.testing.assert_close(
        got, reference.in_proj_weight.grad, atol=1e-4, rtol=1e-4
    )  # gradients of order 10


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_encoder_layer_equals_torch(norm):
    reference = nn.TransformerEncoderLayer(D, H, 64, 0.0, "gelu", batch_first=True, norm_first=norm == "pre")
    own = EncoderLayer(D, H, D // H, 64, 0.0, LayerStyle(norm=norm))
    copy_attention(own.attention, reference.self_attn)
    copy_feed_forward(own.feed_forward, reference)
    for mine, theirs in ((own.attention_norm, reference.norm1), (own.feed_forward_norm, reference.norm2)):
        nn.init.normal_(theirs.weight)
        mine.load_state_dict(theirs.state_dict())
    x, mask_BT = torch.randn(B, T, D), torch.tensor([[True] * T, [True] * 3 + [False] * 2])
    expected = reference(x, src_key_padding_mask=~mask_BT)
    torch.testing.assert_close(own(x, mask_BT[:, None, None, :]), expected, atol=ATOL, rtol=0)


def test_decoder_layer_equals_torch():
    reference = nn.TransformerDecoderLayer(D, H, 64, 0.0, "gelu", batch_first=True, norm_first=True)
    own = DecoderLayer(D, H, D // H, 64, 0.0, LayerStyle())
    copy_attention(own.self_attention, reference.self_attn)
    copy_attention(own.cross_attention, reference.multihead_attn)
    copy_feed_forward(own.feed_forward, reference)
    x, memory = torch.randn(B, T, D), torch.randn(B, M, D)
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    expected = reference(x, memory, tgt_mask=~causal)
    got = own(x, own.cross_attention.keys_values(memory), causal, torch.ones(B, 1, 1, M, dtype=torch.bool))
    torch.testing.assert_close(got.x, expected, atol=ATOL, rtol=0)


def test_empty_cache_is_no_cache_and_a_cache_is_its_memory():
    own = Attention(D, D, H, 3, dropout=0.0)  # heads * head_width need not be the width
    x = torch.randn(B, T, D)
    plain = own(x)
    empty = torch.zeros(B, H, 0, 3)
    assert torch.equal(own(x, cache=(empty, empty)).out, plain.out)
    first = own(x[:, :3])
    second = own(x[:, 3:], cache=first.cache)
    torch.testing.assert_close(second.out, plain.out[:, 3:], atol=ATOL, rtol=0)
    torch.testing.assert_close(second.cache[0], plain.cache[0], atol=ATOL, rtol=0)


def test_gate_multiplies_heads_before_the_output_projection():
    own = Attention(D, D, H, D // H, dropout=0.0)
    x = torch.randn(B, T, D)
    ones = own(x, gate_fn=lambda attn, logits: torch.ones(attn.shape[:3]))
    assert torch.equal(ones.out, own(x).out)  # bit for bit
    gate_BHT = torch.rand(B, H, T)
    width = D // H
    value_BHMd = own.keys_values(x)[1]
    heads_BTHd = (own(x, need_weights=True).attn @ value_BHMd).transpose(1, 2)
    expected = sum(
        gate_BHT[:, head, :, None]
        * heads_BTHd[:, :, head]
        @ own.output.weight[:, head * width :][:, :width].T
        for head in range(H)
    )
    got = own(x, gate_fn=lambda attn, logits: gate_BHT)
    torch.testing.assert_close(got.out, expected + own.output.bias, atol=ATOL, rtol=0)


def test_cross_layer_leaves_the_image_alone_and_ignores_padding():
    layer = CrossLayer(D, H, D // H, 64, 0.0)
    text, image = torch.randn(B, T, D), torch.randn(B, M, D)
    mask = torch.ones(B, 1, 1, T, dtype=torch.bool)
    mask[1, ..., 3:] = False
    out = layer(text, layer.image_keys_values(image), mask)
    changed = text.clone()
    changed[1, 3:] = 9.0
    again = layer(changed, layer.image_keys_values(image), mask)
    assert torch.equal(out[0], again[0])
    torch.testing.assert_close(out[1, :3], again[1, :3], atol=ATOL, rtol=0)


def test_shared_keys_equal_keys_copied_for_every_row():
    """Forward and gradient: three rows to each of two images, against one plain attention over
    [image ; own]. Rounding in another order: measured 1e-6; a row that read the other image is off by 0.1."""
    own = Attention(D, D, H, D // H, dropout=0.0)
    x, text, image = torch.randn(6, T, D), torch.randn(6, 3, D), torch.randn(2, M, D, requires_grad=True)
    mask = torch.ones(6, 1, 1, 3, dtype=torch.bool)
    mask[4, ..., 2:] = False
    got = own.attend(x, own.keys_values(text), mask, need_weights=True, shared=own.keys_values(image))
    (gradient,) = torch.autograd.grad(got.out.square().sum(), image)
    copied = torch.cat([image.repeat_interleave(3, 0), text], 1)
    whole = torch.cat([mask.new_ones(6, 1, 1, M), mask], 3)
    expected = own.attend(x, own.keys_values(copied), whole, need_weights=True)
    (expected_gradient,) = torch.autograd.grad(expected.out.square().sum(), image)
    torch.testing.assert_close(got.attn, expected.attn, atol=ATOL, rtol=0)
    torch.testing.assert_close(got.out, expected.out, atol=ATOL, rtol=0)
    torch.testing.assert_close(gradient, expected_gradient, atol=10 * ATOL, rtol=0)
