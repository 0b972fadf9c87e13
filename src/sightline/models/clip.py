"""The dual encoder (CLIP, arXiv 2103.00020) with two heads beside it: which caption words does a patch
show, and the cross-attention re-ranker.

Shapes: B batch, P patches, T text tokens, D a tower's width, E embedding width, W words, C,Y,X channels and
sides.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from sightline import registry
from sightline.models.fusion import Fusion
from sightline.models.tower import TextTower, VisionTower

MAX_SCALE = 100.0  # as in the paper: a larger one makes training unstable


class DualEncoder(nn.Module):
    """config: vision {tower, ...}, text {tower, ...}, vocab_size, embed_dim, temperature, words (the caption
    words that the word head knows), fusion_width, fusion_layers. `self.config` is what rebuilds the model."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        vision, text = config["vision"], config["text"]
        self.vision: VisionTower = registry.load("models/vision", vision["tower"]).build(vision)
        self.text: TextTower = registry.load("models/text", text["tower"]).build(
            {**text, "vocab_size": config["vocab_size"]}
        )
        self.config = {**config, "vision": self.vision.config, "text": self.text.config}
        # Mean and maximum say what the image is about and what it holds anywhere.
        self.image_projection = nn.Linear(2 * self.vision.width, config["embed_dim"])
        self.text_projection = nn.Linear(self.text.width, config["embed_dim"])
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config["temperature"])))
        self.word_head = nn.Linear(self.vision.width, len(config["words"]))
        self.fusion = Fusion(
            self.vision.width, self.text.width, config["fusion_width"], config["fusion_layers"]
        )

    @property
    def logit_scale(self) -> Tensor:
        """1 / temperature, learned, at most 100; scalar."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def encode_image(self, image_BCYX: Tensor) -> tuple[Tensor, Tensor]:
        """tokens_BPD, and embed_BE of unit length."""
        tokens_BPD = self.vision(image_BCYX)
        return tokens_BPD, self._embed_image(tokens_BPD)

    def encode_text(self, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """states_BTD, and embed_BE of unit length."""
        states_BTD = self.text(ids_BT, mask_BT)
        return states_BTD, self._embed_text(states_BTD, mask_BT)

    def word_logits(self, tokens_BPD: Tensor) -> Tensor:
        """For every patch and word of config["words"]: logit that the patch shows it, [B, P, W]."""
        return self.word_head(tokens_BPD)

    def match(self, tokens_BPD: Tensor, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """How well text and image fit, [B]: their similarity in logits plus what the re-ranker finds. The
        difference of two pairs is the log-odds of the one against the other. The similarity is taken as it
        is (no gradient)."""
        embeds_BE = self._embed_image(tokens_BPD) * self._embed_text(states_BTD, mask_BT)
        similarity_B = (self.logit_scale * embeds_BE.sum(1)).detach()
        return similarity_B + self.fusion(tokens_BPD, states_BTD, mask_BT)

    def _embed_image(self, tokens_BPD: Tensor) -> Tensor:
        pooled_BD = torch.cat([tokens_BPD.mean(1), tokens_BPD.amax(1)], 1)
        return nn.functional.normalize(self.image_projection(pooled_BD).float(), dim=1)

    def _embed_text(self, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        pooled_BD = self.text.pool(states_BTD, mask_BT)
        return nn.functional.normalize(self.text_projection(pooled_BD).float(), dim=1)
