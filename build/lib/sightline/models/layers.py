"""Transformer layers. Residual form as in torch: pre-norm (x + f(norm(x))), or post-norm (norm(x + f(x)),
as BERT).

Shapes: B batch, T tokens of the stream that is updated, M memory tokens, D width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from sightline.models.attention import GateFn, KeyValue, MultiHeadAttention
from sightline.models.feed_forward import FeedForward


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward. norm: "pre" or "post"."""

    def __init__(
        self, width: int, heads: int, head_width: int, hidden: int, dropout: float, norm: str, eps: float
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is {norm!r}: choose pre or post")
        self.pre = norm == "pre"
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.attention = MultiHeadAttention(width, width, heads, head_width, dropout)
        self.feed_forward_norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: bool, broadcastable to [B, H, T, T], True = attend."""
        if self.pre:
            x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), mask=mask).out)
            return x_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTD)))
        x_BTD = self.attention_norm(x_BTD + self.dropout(self.attention(x_BTD, mask=mask).out))
        return self.feed_forward_norm(x_BTD + self.dropout(self.feed_forward(x_BTD)))


class CrossLayer(nn.Module):
    """Pre-norm attention over [image ; text] and feed-forward: text tokens are updated, image tokens are not.

    The image's keys and values are handed in, so that several questions share those of their image.
    """

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, dropout: float):
        super().__init__()
        self.image_norm = nn.LayerNorm(width)
        self.text_norm = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, width, heads, head_width, dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def image_keys_values(self, image_NPD: Tensor) -> KeyValue:
        return self.attention.keys_values(self.image_norm(image_NPD))

    def forward(self, text_BTD: Tensor, image_key_value: KeyValue, mask: Tensor) -> Tensor:
        """image_key_value: [N, H, P, d] each; B / N consecutive texts are about one image. mask: bool
        [B, 1, 1, T], over the text's own tokens, True = attend."""
        normed_BTD = self.text_norm(text_BTD)
        own = self.attention.keys_values(normed_BTD)
        attended = self.attention.attend(normed_BTD, own, mask, shared=image_key_value)
        text_BTD = text_BTD + self.dropout(attended.out)
        return text_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(text_BTD)))


class DecoderOutput(NamedTuple):
    """x_BTD; the grown self-attention cache; cross-attention map_BHTM when asked for; gate_BHT when gated."""

    x: Tensor
    cache: KeyValue
    map: Tensor | None
    gate: Tensor | None


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, cross-attention over given keys and values (gated by SPIN),
    feed-forward."""

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, dropout: float):
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = MultiHeadAttention(width, width, heads, head_width, dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, width, heads, head_width, dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x_BTD: Tensor,
        cross: KeyValue,
        self_mask: Tensor,
        cross_mask: Tensor,
        cache: KeyValue | None = None,
        gate_fn: GateFn | None = None,
        need_weights: bool = False,
        shared: KeyValue | None = None,
    ) -> DecoderOutput:
        """cross: keys and values of the memory [B, H, M, d]; shared: of its first tokens, where rows share
        them (see attention.attend). Masks: bool, broadcastable to [B, H, T, *]."""
        own = self.self_attention(self.self_norm(x_BTD), mask=self_mask, cache=cache)
        x_BTD = x_BTD + self.dropout(own.out)
        query_BTD = self.cross_norm(x_BTD)
        seen = self.cross_attention.attend(query_BTD, cross, cross_mask, gate_fn, need_weights, shared)
        x_BTD = x_BTD + self.dropout(seen.out)
        x_BTD = x_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTD)))
        return DecoderOutput(x_BTD, own.cache, seen.attn, seen.gate)
