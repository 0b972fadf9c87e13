"""Schema of the section `pretrain`: masked language modelling of the text tower."""

from dataclasses import dataclass
from typing import Literal

from sightline.core.params.checks import above, at_least, require, share


@dataclass(frozen=True)
class PretrainParams:
    """Parameters of the pretrain stage; shares are parts of one."""

    epochs: float
    batch_size: int
    lr_scale: float
    mask_share: float
    warmup_share: float
    weight_decay: float
    precision: Literal["fp32", "bf16", "fp16"]
    evals: int

    def __post_init__(self) -> None:
        above("pretrain", self, 0, ["lr_scale"])
        at_least("pretrain", self, 1, ["batch_size", "evals"])
        at_least("pretrain", self, 0, ["epochs", "weight_decay"])
        share("pretrain", self, ["warmup_share"])
        require(0 < self.mask_share < 1, "pretrain.mask_share", self.mask_share, "a number in (0, 1)")
