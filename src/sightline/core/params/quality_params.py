"""Schemas of the sections `explain`, `evaluate` and `gate`: what is looked at, measured and demanded."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sightline.core.params.checks import (
    Count,
    CountOrNone,
    Name,
    NotNegative,
    Percent,
    PlugIn,
    Positive,
    Settings,
    once,
    require,
)

Segments = Literal["grid", "slic"]
AttackFamily = Annotated[str, AfterValidator(PlugIn("evaluate/red_team/families"))]


class ExplainParams(Settings):
    """Parameters of the explain stage."""

    method: Annotated[str, AfterValidator(PlugIn("explain/methods"))] = Field(description="of the heat maps")
    segments: Segments = Field(
        description="parts of the picture that kernel_shap and lime take away: the model's patches, or the "
        "superpixels of a photo by SLIC"
    )
    items: Count = Field(description="questions that are explained")
    colormap: Name = Field(description="the name of a Matplotlib colormap")


class EvaluateParams(Settings):
    """Parameters of the evaluate stage; the last four are those of the re-ranking."""

    splits: tuple[Name, ...] = Field(strict=False, description="what is evaluated; the gate reads the first")
    max_items: CountOrNone = Field(description="images per split, drawn by their ids; 0 takes all")
    batch_size: Count = Field(description="questions at once")
    bootstrap: Count = Field(description="resamples of an interval")
    rerank_top: Count = Field(
        description="results of a search that are put in another order: by the fusion head, and by the "
        "cosine and how likely the answering model finds the text of the picture"
    )
    description_weight: NotNegative = Field(
        description="of that log-probability beside the cosine; chosen on val"
    )
    nothing_share: NotNegative = Field(
        description="of the same for a picture of nothing, or for prior_pictures, which is taken off"
    )
    prior_pictures: CountOrNone = Field(
        description="in place of a picture of nothing: the mean over so many pictures of train, those that "
        "are most like the text; 0: none of them"
    )

    @model_validator(mode="after")
    def splits_and_ranks_fit(self) -> "EvaluateParams":
        require(bool(self.splits), "splits", list(self.splits), "one or more splits")
        once("splits", self.splits, "one or more splits")
        return self


class GateParams(Settings):
    """Parameters of the gate stage: the floors below which the pipeline fails."""

    min_vqa_accuracy: Percent = Field(description="shipped variant, percent")
    min_retrieval_r1: Percent = Field(description="shipped variant, percent")
    max_accuracy_drop: Percent = Field(
        description="points, shipped against fp32, 95 % bound: of answers, POPE F1, CHAIR_i and R@1"
    )
    max_logit_difference: Positive = Field(description="of ONNX from PyTorch")
    min_map_correlation: float = Field(
        ge=-1, le=1, description="Spearman's, of the shipped variant's attention maps with fp32's"
    )
    max_pointing_drop: Percent = Field(
        description="points: how often a map's strongest place is in the true box, against fp32"
    )
    max_attack_success: dict[AttackFamily, Percent] = Field(
        description="percent of a family's attacks that may succeed; a family that is not named has no bound"
    )
