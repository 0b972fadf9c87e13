"""How answers are written: the one `Spin` and the one `Generation` of the project.

The sections `spin` and `generation` of params.yaml are these classes, a bundle's generation.json holds them,
and every interface (command line, server, page, evaluation, gate) decodes by them.
"""

from typing import Literal

from pydantic import Field, model_validator

from sightline.core.params.checks import (
    Count,
    CountOrNone,
    NotNegative,
    ParamsError,
    PositiveShare,
    Settings,
    once,
)


class Spin(Settings):
    """Suppression of image-inattentive heads (arXiv 2505.16411): in `layers`, the heads beyond the `keep`
    share (or the first `top_k`) by `score` are multiplied by `alpha`. Exactly one of keep and top_k is
    given."""

    keep: PositiveShare | None = Field(default=None, description="share of heads kept per layer")
    top_k: Count | None = Field(default=None, description="or their number")
    alpha: float = Field(ge=0, le=1, description="factor on the suppressed heads; 0 removes them")
    layers: tuple[CountOrNone, ...] = Field(strict=False, description="decoder layers that are gated")
    score: Literal["mass", "logit_sum"] = Field(
        default="mass", description="logit_sum: the published code's score"
    )

    @model_validator(mode="after")
    def one_count(self) -> "Spin":
        both = f"keep={self.keep}, top_k={self.top_k}"
        if (self.keep is None) == (self.top_k is None):
            raise ParamsError("keep", both, "exactly one of keep and top_k")
        once("layers", self.layers, "layer numbers")
        return self


Decoding = Literal["greedy", "beam", "sampling", "contrast", "candidates"]
SPIN_OFF = Spin(keep=1.0, alpha=1.0, layers=())


class Generation(Settings):
    """How the words of an answer are chosen. Short answers are greedy; `method`, `candidates` and `contrast`
    are of descriptions.

    candidates: of so many descriptions, one the likeliest and the others sampled with `temperature` and
    `top_p`, the one most like the picture by the dual encoder (CLIP-guided decoding, arXiv 2402.15300); 1 is
    none. contrast: strength with which tokens are held against the picture under noise (VCD, arXiv
    2311.16922); 0 is not at all. spin: whether answers are gated by the section `spin`.
    """

    max_tokens: Count = Field(description="longest description, tokens")
    method: Literal["greedy", "beam", "sampling"] = Field(description="of descriptions")
    beams: Count = Field(description="of method beam")
    temperature: float = Field(gt=0, le=2, description="of sampling and candidates")
    top_p: PositiveShare = Field(description="of sampling and candidates")
    candidates: Count = Field(description="descriptions to choose from by likeness; 1: the likeliest")
    contrast: NotNegative = Field(description="against the picture under noise; 0: none")
    spin: bool = Field(description="gate heads by default, by the section spin")

    @model_validator(mode="after")
    def one_method(self) -> "Generation":
        if self.method != "greedy" and (self.candidates > 1 or self.contrast > 0):
            several = "greedy, where candidates are more than 1 or contrast is above 0"
            raise ParamsError("method", self.method, several)
        return self

    @property
    def decoding(self) -> Decoding:
        """How a description is made, in a word."""
        if self.candidates > 1:
            return "candidates"
        return "contrast" if self.contrast > 0 else self.method

    @property
    def word_by_word(self) -> bool:
        """Whether a description is written from its first word to its last: it can then be streamed, and
        share a batch with other answers."""
        return self.decoding in ("greedy", "sampling")

    def greedy(self) -> "Generation":
        """The likeliest words, one after the other: what short answers get."""
        return self.replaced(method="greedy", candidates=1, contrast=0.0)
