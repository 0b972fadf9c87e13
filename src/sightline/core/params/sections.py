"""All parameters as one typed object, and the list of its leaves."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, model_validator
from pydantic.fields import FieldInfo

from sightline.core import launch
from sightline.core.params.bundle_params import ALL_SPLITS, ExportParams, IndexParams
from sightline.core.params.checks import Count, CountOrNone, Matches, Name, Positive, Settings, once, require
from sightline.core.params.data_params import ConvertParams, DataParams
from sightline.core.params.dual_encoder_params import DualEncoderParams, leaves_others_unused
from sightline.core.params.generation import Generation, Spin
from sightline.core.params.quality_params import EvaluateParams, ExplainParams, GateParams
from sightline.core.params.red_team_params import RedTeamParams
from sightline.core.params.tower_params import FROM_CHECKPOINT, DecoderParams, TextParams, VisionParams
from sightline.core.params.train_params import (
    AlignParams,
    CompressParams,
    FinetuneParams,
    PretrainParams,
    TrainingParams,
)

# Leaves that resolved.yaml does not hold. `launch` changes the last bits of a result: it stands in the
# commands of the stages that it starts, and DVC sees it there. The others change no result.
NOT_RESOLVED = ("tracking", "launch", "engine", "loader_workers")
LAUNCH = Matches(
    r"auto|([\w./-]*/)?(python[\d.]*|torchrun|accelerate|srun)( [\w./=:,@%+ -]*)?",
    "auto, or a command that begins with python, torchrun, accelerate or srun, also by its whole path",
)

# What a decoder does not read, by its tower, and its value in params.yaml: another one would change nothing.
UNREAD: dict[str, dict[str, object]] = {
    "cross_attention": {"finetune.decoder_lr_scale": 1.0, "decoder.tuning": "whole", "decoder.lora_rank": 16},
    "hf": {
        "finetune.layers": 2,
        "finetune.heads": 8,
        "finetune.key_value_heads": 0,
        "finetune.token_positions": "learned",
        "finetune.norm": "pre",
        "finetune.norm_type": "layer",
        "finetune.activation": "gelu",
        "finetune.tie_embeddings": True,
        "finetune.joint_block": True,
        "finetune.positions": True,
        "finetune.init_from_alignment": True,
        "finetune.dropout": 0.0,
        "finetune.gradient_checkpointing": False,
        "compress.head_ratio": 0.0,
        "compress.neuron_ratio": 0.0,
    },
}


class Params(Settings):
    """All parameters of the chosen profile, in the order of params.yaml."""

    profile: Name = Field(description="which profile fills the empty leaves")
    seed: int = Field(ge=0, lt=2**63, description="of pictures, initialisation and batches")
    threads: Count = Field(description="per process; 1 and 2 threads give different bits")
    lr: Positive = Field(description="the one learning-rate dial: each training stage uses lr * its lr_scale")
    tracking: tuple[Literal["dvclive", "mlflow", "tensorboard"], ...] = Field(
        strict=False,
        description="who is told of a run. DVCLive's files, which `dvc plots` draws, are outputs of stages "
        "and written whatever the list says; mlflow: also a run per stage on the server at "
        "MLFLOW_TRACKING_URI; tensorboard: also event files in .resume/tensorboard. Both need the extra "
        "`tracking`; neither changes a result",
    )
    launch: Annotated[str, AfterValidator(LAUNCH)] = Field(
        description="how a training stage is started. auto: a process for each accelerator, without one two "
        "on the CPU; or the command that the stage's script is added to"
    )
    engine: Literal["local", "ray"] = Field(
        description="who computes what is mapped over parts of the data (scenes, pictures, questions, "
        "thumbnails, embeddings, predictions): the cores of this machine, or a Ray cluster, which needs the "
        "extra `ray`; the same bytes"
    )
    loader_workers: CountOrNone | Literal["auto"] = Field(
        description="processes that read batches ahead for each training process; the same bits with any "
        "number. auto: none on the CPU, beside an accelerator the cores that are left"
    )
    profile_steps: CountOrNone = Field(
        description="steps that each training traces with torch.profiler, after a few to warm up: "
        "`profile/` beside its curves; 0: none. Changes no weights"
    )
    training: TrainingParams
    spin: Spin
    generation: Generation
    data: DataParams
    convert: ConvertParams
    text: TextParams
    vision: VisionParams
    dual_encoder: DualEncoderParams
    decoder: DecoderParams
    pretrain: PretrainParams
    align: AlignParams
    finetune: FinetuneParams
    compress: CompressParams
    export: ExportParams
    explain: ExplainParams
    index: IndexParams
    evaluate: EvaluateParams
    red_team: RedTeamParams
    gate: GateParams
    _origin: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origin(self) -> dict[str, str]:
        """Return where each leaf's value came from, by its dotted key."""
        return self._origin

    @property
    def trains_tokenizer(self) -> bool:
        """Whether `convert` learns a tokenizer from the captions: no part of the model brings its own."""
        return self.text.tower not in FROM_CHECKPOINT and not self.dual_encoder.given

    @model_validator(mode="after")
    def sections_fit_each_other(self) -> "Params":
        once("tracking", self.tracking, "dvclive, mlflow, tensorboard")
        self._spin_fits_the_decoder()
        self._unread_leaves_stay()
        self._questions_fit_the_text_tower()
        self._batches_divide()
        self._splits_are_built()
        leaves_others_unused(self)
        return self

    def _spin_fits_the_decoder(self) -> None:
        if self.decoder.tower == "hf":
            return  # its checkpoint has layers and heads: the stages that gate them check it
        deepest, heads, top_k = self.finetune.layers, self.finetune.heads, self.spin.top_k
        inside = all(layer < deepest for layer in self.spin.layers)
        require(inside, "spin.layers", list(self.spin.layers), f"layers below finetune.layers = {deepest}")
        require((top_k or 0) <= heads, "spin.top_k", top_k, f"at most finetune.heads = {heads}")

    def _unread_leaves_stay(self) -> None:
        for key, left in UNREAD[self.decoder.tower].items():
            section, leaf = key.split(".")
            value = getattr(getattr(self, section), leaf)
            require(value == left, key, value, f"{left!r}, as decoder.tower is {self.decoder.tower}")

    def _questions_fit_the_text_tower(self) -> None:
        if self.decoder.tower == "hf" or self.finetune.epochs == 0:
            return  # a language model reads questions by itself, and from_clip checks its positions
        longest, most = self.finetune.max_question, self.text.max_tokens
        words = f"at most text.max_tokens = {most}, as the text tower reads the questions"
        require(longest <= most, "finetune.max_question", longest, words)

    def _batches_divide(self) -> None:
        if self.launch == "auto":
            return  # it starts as many processes as divide them
        world = launch.world_named(self.launch)
        require(world >= 1, "launch", self.launch, "at least 1 process")
        sizes = {"pretrain": self.pretrain, "align": self.align, "finetune": self.finetune}
        for name, stage in sizes.items():
            size = stage.batch_size
            require(
                size % world == 0, f"{name}.batch_size", size, f"a multiple of launch's {world} processes"
            )

    def _splits_are_built(self) -> None:
        searched = () if self.index.split == ALL_SPLITS else (self.index.split,)
        named = {"index.split": searched, "evaluate.splits": self.evaluate.splits}
        for key, splits in named.items():
            built = self.data.sizes or dict.fromkeys(splits)
            missing = [split for split in splits if split not in built]
            require(not missing, key, ", ".join(missing), f"splits of data.sizes: {', '.join(built)}")


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section, None for a leaf."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def leaves(model: type[BaseModel] = Params, prefix: str = "") -> dict[str, FieldInfo]:
    """Return every leaf by its dotted key, in the order of params.yaml."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        section = section_of(field)
        fields |= leaves(section, f"{prefix}{name}.") if section else {prefix + name: field}
    return fields
