"""Schema of the section `finetune`: the question-answering decoder."""

from dataclasses import dataclass
from typing import Literal

from sightline.core.params.checks import above, at_least, between, heads_fit, require, share


@dataclass(frozen=True)
class SpinTraining:
    """Head suppression during training: on in a share of the steps. anneal: share of all steps over which
    alpha falls from 1 to its value; heads: which are suppressed, those that look least at the image, or as
    many at random, the control."""

    probability: float
    keep: float
    alpha: float
    anneal: float
    heads: Literal["least", "random"]

    def __post_init__(self) -> None:
        between("finetune.spin_training", self, 0, 1, ["probability", "alpha", "anneal"])
        require(0 < self.keep <= 1, "finetune.spin_training.keep", self.keep, "a share in (0, 1]")


@dataclass(frozen=True)
class FinetuneParams:
    """Parameters of the finetune stage; lengths in tokens, shares are parts of one."""

    epochs: float
    batch_size: int
    lr_scale: float
    vision_lr_scale: float
    layer_decay: float
    warmup_phase_share: float
    freeze_vision: bool
    questions_per_image: int
    blind_share: float
    width: int
    layers: int
    heads: int
    key_value_heads: int
    token_positions: Literal["learned", "sinusoidal", "rotary", "alibi", "none"]
    norm: Literal["pre", "post"]
    norm_kind: Literal["layer", "rms"]
    activation: Literal["gelu", "relu", "tanh", "sigmoid", "swiglu"]
    tied: bool
    joint_block: bool
    split_cross_attention: bool
    positions: bool
    aligned_start: bool
    auxiliary: bool
    mirror: bool
    max_answer: int
    max_question: int
    dropout: float
    warmup_share: float
    weight_decay: float
    precision: Literal["fp32", "bf16", "fp16"]
    gradient_checkpointing: bool
    evals: int
    spin_training: SpinTraining

    def __post_init__(self) -> None:
        above("finetune", self, 0, ["epochs", "lr_scale", "vision_lr_scale", "layer_decay", "blind_share"])
        at_least("finetune", self, 1, ["batch_size", "questions_per_image", "evals"])
        at_least("finetune", self, 1, ["width", "layers", "heads"])
        at_least("finetune", self, 4, ["max_answer", "max_question"])
        at_least("finetune", self, 0, ["weight_decay"])
        share("finetune", self, ["warmup_phase_share", "dropout", "warmup_share"])
        require(self.blind_share <= 1, "finetune.blind_share", self.blind_share, "a share in (0, 1]")
        heads_fit("finetune", self, self.token_positions)
