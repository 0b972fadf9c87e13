"""What only our attention does: caches, gates, keys that rows share. test_parity.py holds the rest."""

import pytest
import torch

from sightline.models.attention import Attention
from sightline.models.layers import CrossLayer

# float32 sums of at most 64 terms in another order: measured worst case 1e-6 on values of order 1. A wrong
# scale, mask or head order shows at 1e-1.
ATOL = 1e-5
B, T, M, D, H = 2, 5, 7, 32, 4


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


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
