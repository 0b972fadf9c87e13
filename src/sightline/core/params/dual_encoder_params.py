"""Schema of the section `dual_encoder`, and what of the other sections it leaves unused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from sightline.core.params.checks import NO_INPUT, CountOrNone, Name, Settings, require
from sightline.core.params.tower_params import FROM_CHECKPOINT, UNUSED, require_pinned

if TYPE_CHECKING:
    from sightline.core.params.sections import Params

WITHOUT: dict[str, object] = {"tuning": "whole", "tuning_lr_scale": 1.0}  # of align, for parts of our own
# Of align: what a pretrained dual encoder brings along, as in params.yaml; and it reads whole texts.
BROUGHT: dict[str, object] = {
    "temperature": 0.07,
    "embed_dim": 512,
    "projection_hidden": 0,
    "standardize": False,
    "loss": "info_nce",
    "word_dropout": 0.0,
}


class DualEncoderParams(Settings):
    """A whole pretrained CLIP or SigLIP in Hugging Face's layout, in place of `text` (but `max_tokens`),
    `vision` and the tokenizer of `convert`. With no name and no checkpoint there is none."""

    name: str = Field(description="the name on the hub, unless checkpoint is given")
    revision: str = Field(description="of name: a commit, 40 hexadecimal digits")
    checkpoint: Name = Field(description="folder of a model; never in a profile")
    image_size: CountOrNone = Field(
        description="side of the input, pixels; 0: as the model was trained; another resamples its positions"
    )

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self.name != "" or self.checkpoint != NO_INPUT

    @model_validator(mode="after")
    def comes_from_one_place(self) -> DualEncoderParams:
        both = self.name != "" and self.checkpoint != NO_INPUT
        require(not both, "checkpoint", self.checkpoint, f"{NO_INPUT}, as dual_encoder.name is given")
        require_pinned(self.revision, "dual_encoder.name is on the hub", hub=bool(self.name))
        return self


def leaves_others_unused(params: Params) -> None:
    """Require that nothing is set which a pretrained dual encoder decides, or, without one, its tuning."""
    if not params.dual_encoder.given:
        for leaf, left in WITHOUT.items():
            words = f"{left!r}, as no dual_encoder is given"
            require(getattr(params.align, leaf) == left, f"align.{leaf}", getattr(params.align, leaf), words)
        return
    why = "as dual_encoder is given"
    own = params.text.tower not in FROM_CHECKPOINT
    require(own, "text.tower", params.text.tower, f"a tower without a checkpoint, {why}: it reads the texts")
    scratch = params.vision.pretrained == "none"
    require(scratch, "vision.pretrained", params.vision.pretrained, f"'none', {why}: it sees the pictures")
    layer, _ = UNUSED["hf"]
    for leaf, left in layer.items():
        value = getattr(params.text, leaf)
        require(value == left, f"text.{leaf}", value, f"{left!r}, {why}: it decides")
    for leaf, left in BROUGHT.items():
        value = getattr(params.align, leaf)
        require(value == left, f"align.{leaf}", value, f"{left!r}, {why}: it decides")
