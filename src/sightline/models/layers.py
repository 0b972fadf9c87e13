"""Transformer layers. Residual form as in torch: pre-norm (x + f(norm(x))), or post-norm (norm(x + f(x)),
as BERT).

Shapes: B batch, T tokens of the stream that is updated, M memory tokens, H heads, G key-value heads, D width,
d width of a head.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from sightline.models.attention import Attention, GateFn, KeyValue, LogitsFn
from sightline.models.feed_forward import FeedForward
from sightline.models.layer_config import LayerConfig


class Residual(nn.Module):
    """Residual connection of a sub-layer: its input by `_before`, its output added by `_after`."""

    pre: bool
    dropout: nn.Dropout

    def _before(self, norm: nn.Module, x_BTD: Tensor) -> Tensor:
        return norm(x_BTD) if self.pre else x_BTD

    def _after(self, norm: nn.Module, x_BTD: Tensor, change_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD + self.dropout(change_BTD)
        return x_BTD if self.pre else norm(x_BTD)


class EncoderLayer(Residual):
    """Self-attention and feed-forward."""

    def __init__(
        self, width: int, heads: int, head_width: int, hidden: int, dropout: float, layer_config: LayerConfig
    ):
        super().__init__()
        self.pre = layer_config.norm == "pre"
        self.attention_norm = layer_config.make_norm(width)
        self.attention = Attention(
            width, width, heads, head_width, dropout, layer_config.key_value_heads, layer_config.positions
        )
        self.feed_forward_norm = layer_config.make_norm(width)
        self.feed_forward = FeedForward(width, hidden, dropout, layer_config.activation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: bool, broadcastable to [B, H, T, T], True = attend."""
        attended = self.attention(self._before(self.attention_norm, x_BTD), mask=mask)
        x_BTD = self._after(self.attention_norm, x_BTD, attended.out)
        change_BTD = self.feed_forward(self._before(self.feed_forward_norm, x_BTD))
        return self._after(self.feed_forward_norm, x_BTD, change_BTD)


class CrossLayer(nn.Module):
    """Pre-norm attention over [image ; text] and feed-forward: text tokens are updated, image tokens are not.

    The image's keys and values are handed in, so that several questions share those of their image.
    """

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, dropout: float):
        super().__init__()
        self.image_norm = nn.LayerNorm(width)
        self.text_norm = nn.LayerNorm(width)
        self.attention = Attention(width, width, heads, head_width, dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def image_keys_values(self, image_NPD: Tensor) -> KeyValue:
        return self.attention.keys_values(self.image_norm(image_NPD))

    def forward(self, text_BTD: Tensor, image_key_value: KeyValue, mask: Tensor) -> Tensor:
        """image_key_value: [N, H, P, d] each; B / N consecutive texts are about one image. mask: bool
        [B, 1, 1, T], over the text's own tokens, True = attend."""
        normed_BTD = self.text_norm(text_BTD)
        text_key_value = self.attention.keys_values(normed_BTD)
        attended = self.attention.attend(normed_BTD, text_key_value, mask, shared=image_key_value)
        text_BTD = text_BTD + self.dropout(attended.out)
        return text_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(text_BTD)))


class CrossInputs(NamedTuple):
    """What a decoder layer's cross-attention is called with beside its queries, in the order of
    `Attention.attend`.

    key_value: keys and values of the memory, [B, G, M, d] each; shared: of its first tokens, where rows share
    them; mask: bool, broadcastable to [B, H, T, M], over the former; logits_fn: over all of the memory.
    """

    key_value: KeyValue
    mask: Tensor | None = None
    gate_fn: GateFn | None = None
    need_weights: bool = False
    shared: KeyValue | None = None
    logits_fn: LogitsFn | None = None


class DecoderOutput(NamedTuple):
    """x_BTD; the grown self-attention cache; cross-attention map_BHTM when asked for; gate_BHT when gated."""

    x: Tensor
    cache: KeyValue
    map: Tensor | None
    gate: Tensor | None


class DecoderLayer(Residual):
    """Causal self-attention, cross-attention over given keys and values (gated by SPIN), feed-forward."""

    def __init__(
        self, width: int, heads: int, head_width: int, hidden: int, dropout: float, layer_config: LayerConfig
    ):
        super().__init__()
        self.pre = layer_config.norm == "pre"
        groups = layer_config.key_value_heads
        self.self_norm = layer_config.make_norm(width)
        self.self_attention = Attention(
            width, width, heads, head_width, dropout, groups, layer_config.positions
        )
        self.cross_norm = layer_config.make_norm(width)
        self.cross_attention = Attention(width, width, heads, head_width, dropout, groups)
        self.feed_forward_norm = layer_config.make_norm(width)
        self.feed_forward = FeedForward(width, hidden, dropout, layer_config.activation)
        self.dropout = nn.Dropout(dropout)

    def keys_values(self, memory_BMD: Tensor) -> KeyValue:
        """What cross-attention reads of a memory."""
        return self.cross_attention.keys_values(memory_BMD)

    def forward(
        self,
        x_BTD: Tensor,
        cross: CrossInputs,
        self_mask: Tensor | None,
        cache: KeyValue | None = None,
    ) -> DecoderOutput:
        """self_mask: bool, broadcastable to [B, H, T, T] behind the cached tokens, True = attend."""
        self_attended = self.self_attention(self._before(self.self_norm, x_BTD), mask=self_mask, cache=cache)
        x_BTD = self._after(self.self_norm, x_BTD, self_attended.out)
        query_BTD = self._before(self.cross_norm, x_BTD)
        cross_attended = self.cross_attention.attend(query_BTD, *cross)
        x_BTD = self._after(self.cross_norm, x_BTD, cross_attended.out)
        change_BTD = self.feed_forward(self._before(self.feed_forward_norm, x_BTD))
        x_BTD = self._after(self.feed_forward_norm, x_BTD, change_BTD)
        return DecoderOutput(x_BTD, self_attended.cache, cross_attended.attn, cross_attended.gate)
