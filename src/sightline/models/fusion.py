"""Re-rankers: does this text describe this image? Each corrects the dual encoder's similarity and starts at
no correction.

`cross_attention`: text tokens attend over [image ; text] (the matching head of ALBEF, arXiv 2107.07651).
`projection`: the means of both sides, projected and multiplied (low-rank bilinear pooling, arXiv 1610.04325).
`concat`: the same projections side by side, through a feed-forward network.

Shapes: B pairs, P patches, T text tokens, D width of a tower, W width of the fusion.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.models.feed_forward import FeedForward
from sightline.models.layers import CrossLayer
from sightline.models.module_list import ModuleList

HEAD_WIDTH = 32


def make_fusion(kind: str, image_width: int, text_width: int, width: int, layers: int) -> nn.Module:
    """The fusion of that name. layers: of cross-attention. Raises ValueError for an unknown name."""
    if kind == "cross_attention":
        return CrossAttentionFusion(image_width, text_width, width, layers)
    if kind in ("projection", "concat"):
        return PooledFusion(image_width, text_width, width, kind)
    raise ValueError(f"align.fusion is {kind!r}: choose cross_attention, projection or concat")


class CrossAttentionFusion(nn.Module):
    """image tokens_BPD and text states_BTD of the two towers -> correction_B, in logits."""

    def __init__(self, image_width: int, text_width: int, width: int, layers: int):
        super().__init__()
        self.image_projection = nn.Linear(image_width, width)
        self.text_projection = nn.Linear(text_width, width)
        heads = max(1, width // HEAD_WIDTH)
        self.layers = ModuleList(
            CrossLayer(width, heads, width // heads, 4 * width, dropout=0.0) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1, bias=False)  # a constant moves no rank
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens_BPD: Tensor, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        image_BPD = self.image_projection(tokens_BPD)
        text_BTD = self.text_projection(states_BTD)
        mask_B11T = mask_BT[:, None, None, :]
        for layer in self.layers:
            text_BTD = layer(text_BTD, layer.image_keys_values(image_BPD), mask_B11T)
        return self.head(_mean(self.norm(text_BTD), mask_BT))[:, 0]


class PooledFusion(nn.Module):
    """Arguments and result of CrossAttentionFusion; sees the means of both sides only."""

    def __init__(self, image_width: int, text_width: int, width: int, kind: str):
        super().__init__()
        self.image_projection = nn.Linear(image_width, width)
        self.text_projection = nn.Linear(text_width, width)
        self.joined = FeedForward(2 * width, 4 * width, 0.0, out_width=width) if kind == "concat" else None
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens_BPD: Tensor, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        image_BW = self.image_projection(tokens_BPD.mean(1))
        text_BW = self.text_projection(_mean(states_BTD, mask_BT))
        if self.joined is None:
            both_BW = image_BW * text_BW
        else:
            both_BW = self.joined(torch.cat([image_BW, text_BW], 1))
        return self.head(self.norm(both_BW))[:, 0]


def _mean(states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Over the tokens that are not padding, [B, D]."""
    weight_BT1 = mask_BT[:, :, None].to(states_BTD.dtype)
    return (states_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
