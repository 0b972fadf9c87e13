"""A cross-attention re-ranker: does this text describe this image? (the matching head of ALBEF, arXiv
2107.07651)

It corrects the dual encoder's similarity and starts at no correction. Text tokens attend over [image ; text].

Shapes: B pairs, P patches, T text tokens, D width of a tower.
"""

from __future__ import annotations

from torch import Tensor, nn

from sightline.models.layers import CrossLayer

HEAD_WIDTH = 32


class Fusion(nn.Module):
    """image tokens_BPD and text states_BTD of the two towers -> correction_B, in logits."""

    def __init__(self, image_width: int, text_width: int, width: int, layers: int):
        super().__init__()
        self.image_projection = nn.Linear(image_width, width)
        self.text_projection = nn.Linear(text_width, width)
        heads = max(1, width // HEAD_WIDTH)
        self.layers = nn.ModuleList(
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
        weight_BT1 = mask_BT[:, :, None].to(text_BTD.dtype)
        pooled_BD = (self.norm(text_BTD) * weight_BT1).sum(1) / weight_BT1.sum(1)
        return self.head(pooled_BD)[:, 0]
