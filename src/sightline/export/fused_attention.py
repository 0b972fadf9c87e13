"""The attentions of the decoder and of image transformers as one ONNX node each (operator set 23), in place
of the dozen that they are traced to: at batch 1 a step's time is mostly that of starting nodes, and of a
picture's a tenth goes into turning queries, keys and values around.

Shapes: B batch, T queries, S cached tokens, M memory tokens, P patches, H heads, G key-value heads, d width
of a head, D width, F = H d.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.onnx.ops import attention

from sightline.models.attention import Attention, AttentionOutput, GateFn, KeyValue
from sightline.models.decoder.cross_attention import CrossAttentionVLM
from sightline.models.transformer import Decoder
from sightline.models.vlm import VLM

if TYPE_CHECKING:
    from timm.models.vision_transformer import Attention as TimmAttention

Model = TypeVar("Model", bound=nn.Module)
OPSET = 23  # the first with Attention
SOFTMAX = 3  # of qk_matmul_output_mode: the weights that the values are averaged with


def fused(vlm: VLM) -> VLM:
    """One that computes the same, with the attentions of its decoder as one node each where they can: a copy
    of our own decoder; a language model, which is large, is shared."""
    if isinstance(vlm, CrossAttentionVLM):
        vlm = copy.deepcopy(vlm)
        fuse(vlm.decoder)
        return vlm
    shared = copy.copy(vlm)
    shared.attend = attend  # type: ignore[assignment]
    return shared


def with_own(model: Model, part: str) -> Model:
    """A copy of a model that shares all its parts with it but the one named `part`, which is copied too."""
    shared = copy.copy(model)
    shared._modules = {**model._modules, part: copy.deepcopy(model._modules[part])}
    return shared


def fuse(decoder: Decoder) -> None:
    """Make the decoder's attentions such as trace to one node, if all of them can: rotary and ALiBi positions
    are not the node's, and PyTorch 2.14 fixes the batch where only some are fused. What the decoder computes
    stays the same."""
    names = {"self_attention": SelfAttention, "cross_attention": CrossAttention}
    plain = [getattr(layer, name) for layer in decoder.layers for name in names]
    if any(each.rotary or each.slopes is not None for each in plain):
        return
    for layer in decoder.layers:
        for name, kind in names.items():
            setattr(layer, name, kind(getattr(layer, name)))


def has_nodes(module: nn.Module) -> bool:
    """Whether something in it is traced to Attention."""
    kinds = SelfAttention | CrossAttention | ImageAttention
    return any(
        isinstance(each, kinds) or getattr(each, "attend", None) is attend for each in module.modules()
    )


def fuse_images(tower: nn.Module) -> None:
    """The same for the attentions of a timm transformer, if all of them are plain: norms of queries and keys,
    gates and positions inside the attention are not the node's."""
    from timm.models.vision_transformer import Attention as TimmAttention

    attentions = {name: module for name, module in tower.named_modules() if isinstance(module, TimmAttention)}
    if any(
        type(each) is not TimmAttention or not ImageAttention.can_be(each) for each in attentions.values()
    ):
        return
    for name, module in attentions.items():
        tower.set_submodule(name, ImageAttention(module))


def attend(
    query_BHTd: Tensor, key_value: KeyValue, mask_B1TM: Tensor, shared: KeyValue | None = None,
    dropout: None = None, logits_fn: None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As models.attention.attend, for what a causal language model asks of it: logits as they are, a gate
    that reads the weights alone. shared: of one image a row."""
    if shared is not None:
        patches = shared[0].shape[2]
        key_value = torch.cat([shared[0], key_value[0]], 2), torch.cat([shared[1], key_value[1]], 2)
        mask_B1TM = torch.cat([mask_B1TM.new_ones(()).expand(*mask_B1TM.shape[:3], patches), mask_B1TM], 3)
    out_BHTd, _, _, attn_BHTM = attention(
        query_BHTd, *key_value, attn_mask=mask_B1TM, qk_matmul_output_mode=SOFTMAX
    )
    return out_BHTd, attn_BHTM, attn_BHTM


class ImageAttention(nn.Module):
    """Between the patches of a picture; query, key and value are one product as they were."""

    def __init__(self, plain: TimmAttention):
        super().__init__()
        self.qkv, self.norm, self.proj = plain.qkv, plain.norm, plain.proj
        self.heads, self.scale = plain.num_heads, plain.scale

    @staticmethod
    def can_be(plain: TimmAttention) -> bool:
        same = isinstance(plain.q_norm, nn.Identity) and isinstance(plain.k_norm, nn.Identity)
        return same and getattr(plain, "gate", None) is None

    def forward(self, x_BPD: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """As timm calls it for a picture: no mask, nothing causal. Raises ValueError for either."""
        if attn_mask is not None or is_causal:
            raise ValueError("export: an image attention with a mask is no single node; expected none")
        query_BPF, key_BPF, value_BPF = self.qkv(x_BPD).chunk(3, -1)
        out_BPF, *_ = attention(
            query_BPF, key_BPF, value_BPF, q_num_heads=self.heads, kv_num_heads=self.heads, scale=self.scale
        )
        return self.proj(self.norm(out_BPF))


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
