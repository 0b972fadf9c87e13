"""Schema of the section `align`: contrastive image-text alignment."""

from dataclasses import dataclass
from typing import Literal

from sightline.core.params.checks import above, at_least, plugin, require, share

CONTRASTIVE = r"def loss\(\s*image_BE\b"  # the other losses of the folder have weights of their own


@dataclass(frozen=True)
class AlignParams:
    """Parameters of the align stage; weights are factors on the summed losses."""

    epochs: float
    batch_size: int
    captions_per_image: int
    lr_scale: float
    text_lr_scale: float
    layer_decay: float
    loss: str
    temperature: float
    embed_dim: int
    projection_hidden: int
    dropout: float
    word_dropout: float
    mirror: bool
    word_weight: float
    words: int
    matching_weight: float
    matching_samples: int
    fusion: Literal["cross_attention", "projection", "concat"]
    fusion_width: int
    fusion_layers: int
    freeze_vision: bool
    warmup_share: float
    weight_decay: float
    precision: Literal["fp32", "bf16", "fp16"]
    gradient_checkpointing: bool
    evals: int

    def __post_init__(self) -> None:
        plugin("align.loss", self.loss, "train/losses", CONTRASTIVE)
        above("align", self, 0, ["lr_scale", "temperature", "layer_decay"])
        at_least("align", self, 2, ["batch_size", "matching_samples"])
        at_least("align", self, 1, ["captions_per_image", "embed_dim", "words", "evals"])
        at_least("align", self, 1, ["fusion_width", "fusion_layers"])
        at_least("align", self, 0, ["text_lr_scale", "projection_hidden", "weight_decay"])
        at_least("align", self, 0, ["epochs", "word_weight", "matching_weight"])
        share("align", self, ["dropout", "word_dropout", "warmup_share"])
        fits = self.matching_samples <= self.batch_size
        allowed = f"at most align.batch_size = {self.batch_size}"
        require(fits, "align.matching_samples", self.matching_samples, allowed)
