"""The decoder's attentions as one ONNX node each (operator set 23), in place of the dozen that they are
traced to: at batch 1 a step's time is mostly that of starting nodes.

Shapes: B batch, T queries, S cached tokens, M memory tokens, H heads, G key-value heads, d width of
a head, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.onnx.ops import attention

from sightline.models.attention import Attention, AttentionOutput, GateFn, KeyValue
from sightline.models.transformer import Decoder

OPSET = 23  # the first with Attention
SOFTMAX = 3  # of qk_matmul_output_mode: the weights that the values are averaged with


def fuse(decoder: Decoder) -> None:
    """Make the decoder's attentions such as trace to one node, if all of them can: rotary and ALiBi positions
    are not the node's, nor is attending to nothing, and PyTorch 2.14 fixes the batch where only some are
    fused. What the decoder computes stays the same."""
    names = {"self_attention": SelfAttention, "cross_attention": CrossAttention}
    plain = [getattr(layer, name) for layer in decoder.layers for name in names]
    if any(each.rotary or each.rest or each.slopes is not None for each in plain):
        return
    for layer in decoder.layers:
        for name, kind in names.items():
            setattr(layer, name, kind(getattr(layer, name)))


class SelfAttention(nn.Module):
    """Causal, after a cache that may be empty; query, key and value are one product."""

    def __init__(self, plain: Attention):
        super().__init__()
        parts = (plain.query, plain.key, plain.value)
        self.widths = [part.out_features for part in parts]
        self.query_key_value = nn.Linear(plain.query.in_features, sum(self.widths))
        for name in ("weight", "bias"):
            joined = torch.cat([getattr(part, name).detach() for part in parts])
            setattr(self.query_key_value, name, nn.Parameter(joined))
        self.output, self.heads, self.key_value_heads = plain.output, plain.heads, plain.key_value_heads

    def forward(self, query_BTD: Tensor, mask: Tensor, cache: KeyValue) -> AttentionOutput:
        """mask: not read, the node knows what is causal; cache: [B, G, S, d] each."""
        query_BTF, key_BTE, value_BTE = self.query_key_value(query_BTD).split(self.widths, -1)
        out_BTF, key_BGSd, value_BGSd, _ = attention(
            query_BTF, key_BTE, value_BTE,
            past_key=cache[0], past_value=cache[1], is_causal=True,
            q_num_heads=self.heads, kv_num_heads=self.key_value_heads,
        )  # fmt: skip
        return AttentionOutput(self.output(out_BTF), None, None, (key_BGSd, value_BGSd))


class CrossAttention(nn.Module):
    """Over given keys and values, gated by the weights."""

    def __init__(self, plain: Attention):
        super().__init__()
        self.query, self.output, self.head_width = plain.query, plain.output, plain.head_width

    def attend(
        self, query_BTD: Tensor, key_value: KeyValue, mask: Tensor, gate_fn: GateFn, need_weights: bool,
        shared: None, logits_fn: None,
    ) -> AttentionOutput:  # fmt: skip
        """As Attention.attend, for what a step of the decoder asks of it: nothing shared, logits as they are,
        a gate that reads the weights alone."""
        query_BHTd = self.query(query_BTD).unflatten(2, (-1, self.head_width)).transpose(1, 2)
        # ONNX Runtime broadcasts no mask over the queries.
        mask_B1TM = mask.expand(-1, -1, query_BTD.shape[1], -1)
        out_BHTd, _, _, attn_BHTM = attention(
            query_BHTd, *key_value, attn_mask=mask_B1TM, qk_matmul_output_mode=SOFTMAX
        )
        gate_BHT = gate_fn(attn_BHTM, attn_BHTM)
        out_BTD = self.output((out_BHTd * gate_BHT[..., None]).transpose(1, 2).flatten(2))
        return AttentionOutput(out_BTD, attn_BHTM, gate_BHT, key_value)
