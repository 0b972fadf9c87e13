"""The dual encoder (CLIP, arXiv 2103.00020) with two more heads: the caption words that a patch
shows, and the cross-attention re-ranker.

Shapes: B batch, P image tokens (with what a tower puts in front of its patches), T text tokens, D a tower's
width, E embedding width, W words, C,Y,X channels and sides.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core import registry
from sightline.models.fusion import make_fusion
from sightline.models.tower import TextTower, VisionTower

FAR = 6.0  # deviations at which a standardised summary is cut off
MAX_SCALE = 100.0  # as in the paper: a larger one makes training unstable


class DualEncoder(nn.Module):
    """config: vision {tower, ...}, text {tower, ...}, vocab_size, embed_dim, temperature, words (the caption
    words that the word head knows), projection_hidden (of the image's projection; 0 makes it linear),
    dropout (of what the projections read), standardize (the image's summary by its mean and deviation over
    train, two buffers; false where it is not named), fusion (cross_attention where it is not named),
    fusion_width, fusion_layers; and of one that comes from pretrained_dual_encoder.load, `pretrained`: clip
    or siglip. `self.config` is what rebuilds the model."""

    summary_mean_S: Tensor
    summary_deviation_S: Tensor

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        vision, text = config["vision"], config["text"]
        self.vision: VisionTower = registry.load("models/vision", vision["tower"]).build(vision)
        self.text: TextTower = registry.load("models/text", text["tower"]).build(
            {**text, "vocab_size": config["vocab_size"]}
        )
        towers = {"vision": self.vision.config, "text": self.text.config}
        self.config = {"fusion": "cross_attention", **config, **towers}
        self.pretrained: str | None = config.get("pretrained")
        self.dropout = nn.Dropout(config["dropout"])
        if config.get("standardize"):
            self.register_buffer("summary_mean_S", torch.zeros(self.vision.summary_width))
            self.register_buffer("summary_deviation_S", torch.ones(self.vision.summary_width))
        self.image_projection = self._image_projection()
        self.text_projection = self._text_projection()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config["temperature"])))
        # The sigmoid loss's: the log-odds of a pair are its scaled similarity plus this.
        self.logit_bias = nn.Parameter(torch.zeros(())) if self.pretrained == "siglip" else None
        self.word_head = nn.Linear(self.vision.width, len(config["words"]))
        self.fusion = make_fusion(
            self.config["fusion"],
            self.vision.width,
            self.text.width,
            config["fusion_width"],
            config["fusion_layers"],
        )

    @property
    def mirrored_views(self) -> bool:
        """Whether `encode_image` embeds a picture together with its mirror image."""
        return bool(self.config.get("mirrored_views"))

    @property
    def loader(self) -> str:
        """As of a tower: Python that makes `model` of what `save_pretrained` wrote into {folder}; empty for
        one that did not come from another library."""
        made = 'import transformers; model = transformers.AutoModel.from_pretrained("{folder}")'
        return made if self.pretrained else ""

    def save_pretrained(self, folder: Path) -> None:
        """Write all but our own heads into a folder, as the model of transformers that it came from."""
        from sightline.models import pretrained_dual_encoder

        pretrained_dual_encoder.save(self, folder)

    @property
    def logit_scale(self) -> Tensor:
        """1 / temperature, learned, at most 100 (of SigLIP as it is); scalar."""
        scale = self.log_scale.exp()
        return scale if self.pretrained == "siglip" else scale.clamp(max=MAX_SCALE)

    def encode_image(self, image_BCYX: Tensor) -> tuple[Tensor, Tensor]:
        """tokens_BPD, and embed_BE of unit length; with `mirrored_views` that of the picture and of its
        mirror image together."""
        if not self.mirrored_views:
            tokens_BPD = self.vision(image_BCYX)
            return tokens_BPD, self.embed_image(tokens_BPD)
        tokens_nPD = self.vision(torch.cat([image_BCYX, image_BCYX.flip(3)]))
        plain_BE, mirrored_BE = self.embed_image(tokens_nPD).unflatten(0, (2, -1))
        return tokens_nPD.unflatten(0, (2, -1))[0], nn.functional.normalize(plain_BE + mirrored_BE, dim=1)

    def embed_image(self, tokens_BPD: Tensor) -> Tensor:
        """embed_BE of unit length, of an image tower's tokens."""
        summary_BS = self.vision.summarise(tokens_BPD)
        if self.config.get("standardize"):
            summary_BS = ((summary_BS - self.summary_mean_S) / self.summary_deviation_S).clamp(-FAR, FAR)
        return nn.functional.normalize(self.image_projection(self.dropout(summary_BS)).float(), dim=1)

    def encode_text(self, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """states_BTD, and embed_BE of unit length."""
        states_BTD = self.text(ids_BT, mask_BT)
        return states_BTD, self.embed_text(states_BTD, mask_BT)

    def embed_text(self, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """embed_BE of unit length, of a text tower's states."""
        pooled_BD = self.text.pool(states_BTD, mask_BT)
        if self.text_projection is not None:
            pooled_BD = self.text_projection(self.dropout(pooled_BD))
        return nn.functional.normalize(pooled_BD.float(), dim=1)

    def word_logits(self, tokens_BPD: Tensor) -> Tensor:
        """For every patch and word of config["words"]: logit that the patch shows it, [B, patches, W]."""
        return self.word_head(self.vision.patches(tokens_BPD))

    def match(self, tokens_BPD: Tensor, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """How well text and image fit, [B]: their similarity in logits plus the re-ranker's correction. The
        difference of two pairs is the log-odds of the one against the other. The similarity is taken as it
        is (no gradient)."""
        embeds_BE = self.embed_image(tokens_BPD) * self.embed_text(states_BTD, mask_BT)
        similarity_B = (self.logit_scale * embeds_BE.sum(1)).detach()
        return similarity_B + self.fusion(tokens_BPD, states_BTD, mask_BT)

    def _image_projection(self) -> nn.Module:
        width, hidden = self.vision.summary_width, self.config["projection_hidden"]
        if self.pretrained == "siglip":
            return nn.Identity()
        if self.pretrained == "clip":
            return nn.Linear(width, self.config["embed_dim"], bias=False)
        last = nn.Linear(hidden or width, self.config["embed_dim"])
        if hidden == 0:
            return last
        return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(self.config["dropout"]), last)

    def _text_projection(self) -> nn.Linear | None:
        width, embed_dim = self.text.width, self.config["embed_dim"]
        if self.pretrained == "siglip":
            return None
        if self.text.projected:
            return nn.Linear(width, embed_dim, bias=self.pretrained is None)
        if width != embed_dim:
            raise ValueError(
                f"text.width is {width}, align.embed_dim {embed_dim}: the tower "
                f"{self.config['text']['tower']} has no projection, so give both the same value"
            )
        return None
