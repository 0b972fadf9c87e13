"""Schemas of the stages that train: `pretrain`, `align`, `finetune`, and `compress`, which recovers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sightline.core.params.checks import (
    Count,
    CountOrNone,
    NotNegative,
    PlugIn,
    Positive,
    PositiveShare,
    Settings,
    Share,
    heads_fit,
    require,
)
from sightline.core.params.tower_params import Activation, Norm, NormType, Positions

Precision = Literal["auto", "fp32", "bf16", "fp16"]
# The other losses of the folder have weights of their own.
Loss = Annotated[str, AfterValidator(PlugIn("train/losses", r"def loss\(\s*image_BE\b"))]


class TrainingParams(Settings):
    """How all stages that train compute."""

    micro_batch: CountOrNone = Field(
        description="items of a batch that a process computes at once; 0: all of them. The gradients are "
        "those of the whole batch (docs/guide/scale.md#large-batches); batch norm sees the part only"
    )
    local_loss: bool = Field(
        description="align: each process compares its own rows with all, instead of all with all; the same "
        "gradients up to rounding"
    )
    ema: Share = Field(
        description="decay of an exponential mean of the weights, which then is what is evaluated and kept; "
        "0: the weights themselves"
    )
    compile: bool = Field(
        description="compile towers and decoder by torch.compile; other bits. Without a compiler a line says "
        "so and nothing is compiled"
    )
    fsdp: CountOrNone = Field(
        description="parameters of a tower or decoder beyond which its layers are divided among the "
        "processes (FSDP2: weights, gradients, moments), in place of a whole copy in each; 0: none is. Not "
        "together with `micro_batch`, `compile` or fp16"
    )

    @model_validator(mode="after")
    def _divided_alone(self) -> "TrainingParams":
        require(
            not (self.fsdp and (self.micro_batch or self.compile)),
            "fsdp",
            self.fsdp,
            "0, or training.micro_batch 0 and training.compile false: layers that are divided are computed "
            "by all processes at once, batch by batch",
        )
        return self


class Training(Settings):
    """What every stage that trains has."""

    epochs: NotNegative = Field(description="passes over train; 0 trains nothing")
    min_steps: CountOrNone = Field(
        description="steps at least, if epochs is not 0: a small table is passed more often"
    )
    batch_size: Count = Field(description="items of a step, over all processes")
    lr_scale: Positive = Field(description="factor on lr")
    warmup_ratio: Share = Field(description="steps in which the rate rises from 0, share of all")
    weight_decay: NotNegative = Field(description="of AdamW, on matrices")
    precision: Precision = Field(
        description="of matrix products in training; auto: bf16 where the device computes it, elsewhere fp32"
    )
    evals: Count = Field(description="evaluations on val while training")


class PretrainParams(Training):
    """Parameters of the pretrain stage."""

    mlm_probability: float = Field(gt=0, lt=1, description="tokens that are masked, share of all")


class AlignParams(Training):
    """Parameters of the align stage; weights are factors on the summed losses."""

    batch_size: int = Field(ge=2, description="images of a step, over all processes")
    captions_per_image: Count = Field(description="drawn for each image and step")
    text_lr_scale: NotNegative = Field(description="on top of lr_scale, for the text tower; 0 freezes it")
    vision_lr_scale: Positive = Field(
        description="on top of lr_scale, for the image tower in the second phase"
    )
    warmup_phase_share: Share = Field(description="first phase, image tower frozen: share of all steps")
    layer_decay: Positive = Field(description="rate of a tower's layer over that of the layer above it")
    loss: Loss = Field(description="the contrastive loss")
    temperature: Positive = Field(description="of the similarities, at the start")
    embed_dim: Count = Field(description="width of the shared space")
    projection_hidden: CountOrNone = Field(
        description="hidden layer between the image's summary and its embedding; 0 makes it linear"
    )
    standardize: bool = Field(
        description="the image's summary less its mean over train, by its deviation there, before it is "
        "projected"
    )
    dropout: Share = Field(description="of the summary and of the text's pooled states")
    word_dropout: Share = Field(description="share of a caption's words hidden in training")
    horizontal_flip: bool = Field(
        description="train with the mirror image half of the time; not where left and right matter"
    )
    word_weight: NotNegative = Field(description="weight of the word-in-patch loss; 0 drops it")
    words: Count = Field(description="most frequent caption words it predicts")
    matching_weight: NotNegative = Field(
        description="weight of the image-text matching loss of the re-ranker"
    )
    matching_samples: int = Field(ge=2, description="pairs of the batch that train the re-ranker")
    fusion: Literal["cross_attention", "projection", "concat"] = Field(
        description="how the re-ranker joins image and text"
    )
    fusion_width: Count = Field(description="width of the re-ranker")
    fusion_layers: Count = Field(description="layers of the re-ranker")
    freeze_vision: bool = Field(description="leave the image tower as it is")
    tuning: Literal["frozen", "lora", "whole"] = Field(
        description="what of a pretrained dual encoder trains: nothing (our heads alone), adapters of low "
        "rank on its matrices, or all of it"
    )
    tuning_lr_scale: Positive = Field(
        description="on top of lr_scale, for what a pretrained dual encoder brought along"
    )
    lora_rank: Count = Field(description="of tuning lora: rank of the adapters")
    gradient_checkpointing: bool = Field(
        description="of transformer layers: less memory, more time, the same bits"
    )

    @model_validator(mode="after")
    def samples_come_from_the_batch(self) -> "AlignParams":
        fits = self.matching_samples <= self.batch_size
        words = f"at most align.batch_size = {self.batch_size}"
        require(fits, "matching_samples", self.matching_samples, words)
        return self

    @model_validator(mode="after")
    def adapters_train_throughout(self) -> "AlignParams":
        fits = self.tuning != "lora" or self.warmup_phase_share == 0
        words = "0.0, as align.tuning is lora: its adapters train from the first step"
        require(fits, "warmup_phase_share", self.warmup_phase_share, words)
        return self


class FinetuneParams(Training):
    """Parameters of the finetune stage."""

    epochs: NotNegative = Field(
        description="passes over the images of train; 0 trains no decoder: the model only searches"
    )
    batch_size: Count = Field(description="images of a step, over all processes; each brings its questions")
    vision_lr_scale: Positive = Field(
        description="on top of lr_scale, for the image tower in the second phase"
    )
    decoder_lr_scale: Positive = Field(description="the same, for a pretrained language model as decoder")
    layer_decay: Positive = Field(description="as in align, of the image tower")
    warmup_phase_share: Share = Field(description="first phase, pretrained parts frozen: share of all steps")
    freeze_vision: bool = Field(description="leave the image tower as it is")
    questions_per_image: Count = Field(description="drawn per image and step, beside the descriptions")
    captions_per_image: Count = Field(description="descriptions drawn per image and step")
    short_answer_weight: Positive = Field(
        description="of the short answers' mean loss per token, beside that of the descriptions"
    )
    label_smoothing: Share = Field(description="of descriptions")
    blind_share: PositiveShare = Field(description="steps of the blind baseline, share of the real model's")
    width: Count = Field(description="of the decoder's states")
    layers: Count = Field(description="of the decoder")
    heads: Count = Field(description="of the decoder")
    key_value_heads: CountOrNone = Field(description="as in text")
    token_positions: Positions = Field(description="as positions in text")
    norm: Norm = Field(description="as in text")
    norm_type: NormType = Field(description="as in text")
    activation: Activation = Field(description="as in text")
    tie_embeddings: bool = Field(description="as in text")
    joint_block: bool = Field(description="the decoder reads image and question in one attention")
    positions: bool = Field(description="positions of the patches")
    init_from_alignment: bool = Field(description="start from the alignment's word-in-patch loss")
    auxiliary: bool = Field(description="train with the auxiliary where / left-of questions")
    horizontal_flip: bool = Field(description="as in align")
    max_answer: int = Field(ge=4, description="longest answer, tokens")
    max_question: int = Field(ge=4, description="longest question, tokens")
    dropout: Share = Field(description="of the decoder")
    self_critical_epochs: NotNegative = Field(
        description="passes over train after these, in which descriptions learn by their CIDEr-D; 0: none"
    )
    self_critical_lr_scale: Positive = Field(description="on top of lr_scale, in these passes")
    self_critical_samples: int = Field(ge=2, description="descriptions of an image that are compared")
    self_critical_share: Share = Field(
        description="of the weights after these passes, in their mean with those before"
    )
    gradient_checkpointing: bool = Field(description="as in align")

    @model_validator(mode="after")
    def heads_divide_the_width(self) -> "FinetuneParams":
        heads_fit("finetune", self, self.token_positions)
        return self


class CompressParams(Settings):
    """Parameters of the compress stage."""

    head_ratio: Share = Field(description="share of attention heads removed from the decoder")
    neuron_ratio: Share = Field(description="share of feed-forward neurons removed")
    criterion: Literal["magnitude", "taylor", "spin"] = Field(
        description="importance; spin: heads that SPIN nearly always suppresses go first"
    )
    batches: Count = Field(description="calibration batches for the importance scores")
    recovery_epochs: NotNegative = Field(description="short fine-tuning after the cut")
    distill: Share = Field(description="share of its loss that is the distance from the whole model's output")
