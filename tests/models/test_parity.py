"""Forward and gradient against the libraries everyone knows, on copied random weights.

FORWARD 1e-5: float32 sums of at most 64 terms of order 1 in another order; measured worst case 5e-7 on values
up to 4. GRADIENT 1e-4, and as much of the value: gradients of a sum of squares go through every layer twice;
measured worst case 8e-6 on values up to 50. A wrong scale, mask, head order, rotation, slope or norm shows at
1e-2 and more.
"""

import pytest
import torch
from torch import nn

from sightline.models import (
    MultiHeadAttention,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    VisionTransformer,
)
from sightline.models.attention import Attention
from sightline.models.layer_config import LayerConfig
from sightline.models.positions import alibi_slopes
from sightline.models.text import bert
from sightline.models.transformer import Encoder

FORWARD, GRADIENT = 1e-5, 1e-4
B, T, M, D, H, F = 2, 5, 7, 32, 4, 64
PADDING_BT = torch.tensor([[True] * T, [True] * 3 + [False] * 2])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def same(own: nn.Module, reference: nn.Module, pairs: dict[str, str], got, expected, rows=None) -> None:
    """Equal outputs, and equal gradients of all weights named in pairs (own name -> reference's name), for
    a random linear functional of the outputs' squares."""
    rows = torch.ones_like(got, dtype=torch.bool) if rows is None else rows[..., None].expand_as(got)
    torch.testing.assert_close(got[rows], expected[rows], atol=FORWARD, rtol=0)
    weight = torch.randn(int(rows.sum()))
    for value in (got, expected):
        (weight * value[rows].square()).sum().backward()
    ours, theirs = dict(own.named_parameters()), dict(reference.named_parameters())
    assert set(pairs) == set(ours), set(pairs) ^ set(ours)
    for name, other in pairs.items():
        mine, part = ours[name].grad, other
        their = theirs[part[0]].grad[part[1]] if isinstance(part, tuple) else theirs[part].grad
        torch.testing.assert_close(mine, their.view_as(mine), atol=GRADIENT, rtol=GRADIENT, msg=name)


def copied(own: nn.Module, reference: nn.Module, pairs: dict) -> None:
    """Random values everywhere in the reference, biases and norms included, then copied into our own."""
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if parameter.ndim < 2:
                nn.init.normal_(parameter, 1.0 if "norm" in name and "weight" in name else 0.0, 0.1)
        theirs = dict(reference.named_parameters())
        for name, parameter in own.named_parameters():
            other = pairs[name]
            value = theirs[other[0]][other[1]] if isinstance(other, tuple) else theirs[other]
            parameter.copy_(value.view_as(parameter))


def attention_pairs(own: str, packed: str, output: str, width: int = D) -> dict:
    """Our query, key and value beside a packed projection."""
    pairs = {f"{own}.output.{kind}": f"{output}.{kind}" for kind in ("weight", "bias")}
    for number, part in enumerate(("query", "key", "value")):
        rows = slice(number * width, (number + 1) * width)
        separator = "." if packed.endswith("qkv") else "_"
        for kind in ("weight", "bias"):
            pairs[f"{own}.{part}.{kind}"] = (f"{packed}{separator}{kind}", rows)
    return pairs


def linear_pairs(**names: str) -> dict:
    return {
        f"{own.replace('__', '.')}.{kind}": f"{other}.{kind}"
        for own, other in names.items()
        for kind in ("weight", "bias")
    }


def test_multi_head_attention_is_that_of_torch():
    reference = nn.MultiheadAttention(D, H, batch_first=True)
    own = MultiHeadAttention(D, H)
    pairs = attention_pairs("attention", "in_proj", "out_proj")
    copied(own, reference, pairs)
    query, key, value = torch.randn(B, T, D), torch.randn(B, M, D), torch.randn(B, M, D)
    mask_BM = torch.tensor([[True] * M, [True] * 4 + [False] * 3])
    expected, weights = reference(query, key, value, key_padding_mask=~mask_BM, average_attn_weights=False)
    got, own_weights = own(query, key, value, mask_BM[:, None, None, :])
    torch.testing.assert_close(own_weights, weights, atol=FORWARD, rtol=0)
    same(own, reference, pairs, got, expected)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_layer_is_that_of_torch(norm, activation):
    first = norm == "pre"
    reference = nn.TransformerEncoderLayer(D, H, F, 0.0, activation, batch_first=True, norm_first=first)
    own = TransformerEncoderLayer(D, H, F, 0.0, norm=norm, activation=activation)
    pairs = attention_pairs("layer.attention", "self_attn.in_proj", "self_attn.out_proj") | linear_pairs(
        layer__attention_norm="norm1", layer__feed_forward_norm="norm2",
        layer__feed_forward__expand="linear1", layer__feed_forward__reduce="linear2",
    )  # fmt: skip
    copied(own, reference, pairs)
    x = torch.randn(B, T, D)
    expected = reference(x, src_key_padding_mask=~PADDING_BT)
    same(own, reference, pairs, own(x, PADDING_BT), expected, PADDING_BT)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_decoder_layer_is_that_of_torch(norm):
    reference = nn.TransformerDecoderLayer(D, H, F, 0.0, "gelu", batch_first=True, norm_first=norm == "pre")
    own = TransformerDecoderLayer(D, H, F, 0.0, norm=norm, activation="gelu")
    pairs = attention_pairs("layer.self_attention", "self_attn.in_proj", "self_attn.out_proj")
    pairs |= attention_pairs("layer.cross_attention", "multihead_attn.in_proj", "multihead_attn.out_proj")
    pairs |= linear_pairs(
        layer__self_norm="norm1", layer__cross_norm="norm2", layer__feed_forward_norm="norm3",
        layer__feed_forward__expand="linear1", layer__feed_forward__reduce="linear2",
    )  # fmt: skip
    copied(own, reference, pairs)
    x, memory = torch.randn(B, T, D), torch.randn(B, M, D)
    mask_BM = torch.tensor([[True] * M, [True] * 4 + [False] * 3])
    causal = nn.Transformer.generate_square_subsequent_mask(T)
    expected = reference(x, memory, tgt_mask=causal, memory_key_padding_mask=~mask_BM)
    same(own, reference, pairs, own(x, memory, memory_mask=mask_BM), expected)


def test_text_encoder_is_bert():
    from transformers import BertConfig, BertForMaskedLM

    settings = BertConfig(
        vocab_size=50, hidden_size=D, num_hidden_layers=2, num_attention_heads=H, intermediate_size=F,
        max_position_embeddings=10, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )  # fmt: skip
    reference = BertForMaskedLM(settings)
    own = bert.build(
        {
            "width": D, "layers": 2, "heads": H, "max_tokens": 10, "vocab_size": 50, "hidden": F,
            "norm": "post", "eps": 1e-12,
        }
    )  # fmt: skip
    pairs = {
        "embedding.weight": "bert.embeddings.word_embeddings.weight",
        "positions.table.weight": "bert.embeddings.position_embeddings.weight",
        "mlm_head.bias": "cls.predictions.bias",
    } | linear_pairs(
        norm="bert.embeddings.LayerNorm", mlm_head__transform="cls.predictions.transform.dense",
        mlm_head__norm="cls.predictions.transform.LayerNorm",
    )  # fmt: skip
    for number in range(2):
        mine, theirs = f"encoder.layers.{number}.", f"bert.encoder.layer.{number}."
        names = {
            "attention.query": "attention.self.query", "attention.key": "attention.self.key",
            "attention.value": "attention.self.value", "attention.output": "attention.output.dense",
            "attention_norm": "attention.output.LayerNorm", "feed_forward.expand": "intermediate.dense",
            "feed_forward.reduce": "output.dense", "feed_forward_norm": "output.LayerNorm",
        }  # fmt: skip
        pairs |= linear_pairs(**{mine + name: theirs + other for name, other in names.items()})
    with torch.no_grad():
        reference.bert.embeddings.token_type_embeddings.weight.zero_()  # we have no sentence pairs
    copied(own, reference, pairs)
    ids_BT = torch.randint(1, 50, (B, T))
    expected = reference(ids_BT, attention_mask=PADDING_BT.long()).logits
    got = own.mlm_logits(own(ids_BT, PADDING_BT))
    same(own, reference, pairs, got, expected, PADDING_BT)


def test_grouped_rotary_rms_swiglu_layers_are_llama():
    from transformers import LlamaConfig, LlamaModel

    settings = LlamaConfig(
        vocab_size=50, hidden_size=D, intermediate_size=F, num_hidden_layers=2, num_attention_heads=H,
        num_key_value_heads=2, rms_norm_eps=1e-6, max_position_embeddings=64, attention_bias=True,
        mlp_bias=True, attn_implementation="eager",
    )  # fmt: skip
    reference = LlamaModel(settings)
    style = LayerConfig("pre", "rms", 1e-6, "swiglu", "rotary", 2)
    own = Encoder(2, D, H, F, 0.0, style)
    pairs = {"norm.weight": "norm.weight"}
    for number in range(2):
        prefix = f"layers.{number}."
        names = {
            "attention.query": "self_attn.q_proj", "attention.key": "self_attn.k_proj",
            "attention.value": "self_attn.v_proj", "attention.output": "self_attn.o_proj",
            "feed_forward.expand": "mlp.gate_proj", "feed_forward.linear": "mlp.up_proj",
            "feed_forward.reduce": "mlp.down_proj",
        }  # fmt: skip
        pairs |= linear_pairs(**{prefix + name: prefix + other for name, other in names.items()})
        pairs[prefix + "attention_norm.weight"] = prefix + "input_layernorm.weight"
        pairs[prefix + "feed_forward_norm.weight"] = prefix + "post_attention_layernorm.weight"
    copied(own, reference, pairs)
    x_BTD = torch.randn(B, 12, D)
    causal = torch.ones(12, 12, dtype=torch.bool).tril()
    same(own, reference, pairs, own(x_BTD, causal), reference(inputs_embeds=x_BTD).last_hidden_state)


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi_is_that_of_bloom(heads):
    """BLOOM adds slope times the key's position; the difference to distance is the same for all keys of a
    query, so it is nothing after the softmax. Six heads: no power of two."""
    from transformers import BloomConfig
    from transformers.models.bloom.modeling_bloom import BloomAttention, build_alibi_tensor

    width = 8 * heads
    settings = BloomConfig(hidden_size=width, n_head=heads, hidden_dropout=0.0, attention_dropout=0.0)
    reference = BloomAttention(settings, layer_idx=0)
    own = Attention(width, width, heads, 8, 0.0, positions="alibi")
    pairs = linear_pairs(output="dense")
    for number, part in enumerate(("query", "key", "value")):  # BLOOM packs them head by head
        rows = torch.arange(3 * width).view(heads, 3, 8)[:, number].flatten()
        for kind in ("weight", "bias"):
            pairs[f"{part}.{kind}"] = (f"query_key_value.{kind}", rows)
    copied(own, reference, pairs)
    x_BTD = torch.randn(B, T, width)
    bias_B1T = build_alibi_tensor(torch.ones(B, T), heads, torch.float32)
    torch.testing.assert_close(alibi_slopes(heads), bias_B1T.view(B, heads, T)[0, :, 1], atol=1e-7, rtol=0)
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    added_BHTM = torch.zeros(B, 1, T, T).masked_fill(~causal, torch.finfo(torch.float32).min)
    expected = reference(x_BTD, torch.zeros_like(x_BTD), bias_B1T, added_BHTM)[0]
    same(own, reference, pairs, own(x_BTD, mask=causal).out, expected)


def test_vision_transformer_is_that_of_timm():
    import timm

    sizes = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    reference = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, img_size=32, num_classes=7, **sizes
    )
    own = VisionTransformer(image_size=32, num_classes=7, **sizes)
    pairs = {"class_token": "cls_token", "positions": "pos_embed"} | linear_pairs(
        patches="patch_embed.proj", encoder__norm="norm", head="head"
    )
    for number in range(2):
        mine, theirs = f"encoder.layers.{number}", f"blocks.{number}"
        pairs |= attention_pairs(f"{mine}.attention", f"{theirs}.attn.qkv", f"{theirs}.attn.proj", 48)
        names = {
            "attention_norm": "norm1", "feed_forward_norm": "norm2",
            "feed_forward.expand": "mlp.fc1", "feed_forward.reduce": "mlp.fc2",
        }  # fmt: skip
        pairs |= linear_pairs(**{f"{mine}.{a}": f"{theirs}.{b}" for a, b in names.items()})
    copied(own, reference, pairs)
    image = torch.randn(B, 3, 32, 32)
    features = reference.forward_features(image)
    torch.testing.assert_close(own.forward_features(image), features, atol=FORWARD, rtol=0)
    same(own, reference, pairs, own(image), reference(image))
