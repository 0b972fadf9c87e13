"""How answers are written: the one `Spin` and the one `Generation` of the project.

The sections `spin` and `generation` of params.yaml are these classes, a bundle's generation.json holds them,
and every interface (command line, server, page, evaluation, gate) decodes by them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Settings(BaseModel):
    """Frozen; an unknown key and a value of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Spin(Settings):
    """Suppression of image-inattentive heads (arXiv 2505.16411): in `layers`, the heads beyond the `keep`
    share (or the first `top_k`) by `score` are multiplied by `alpha`. Exactly one of keep and top_k is
    given."""

    keep: Share | None = Field(None, description="share of heads kept per layer")
    top_k: Annotated[int, Field(ge=1)] | None = Field(None, description="or their number")
    alpha: float = Field(ge=0, le=1, description="factor on the suppressed heads; 0 removes them")
    layers: tuple[Annotated[int, Field(ge=0)], ...] = Field(description="decoder layers that are gated")
    score: Literal["mass", "logit_sum"] = Field("mass", description="logit_sum: the published code's score")

    @model_validator(mode="after")
    def one_count(self) -> "Spin":
        if (self.keep is None) == (self.top_k is None):
            raise ValueError(f"exactly one of keep and top_k, got keep={self.keep} and top_k={self.top_k}")
        if len(set(self.layers)) != len(self.layers):
            raise ValueError(f"layers, each once, got {list(self.layers)}")
        return self


SPIN_OFF = Spin(keep=1.0, alpha=1.0, layers=())


class Generation(Settings):
    """How the words of an answer are chosen. Short answers are greedy; `method`, `candidates` and `contrast`
    are of descriptions.

    candidates: of so many descriptions, one the likeliest and the others sampled with `temperature` and
    `top_p`, the one most like the picture by the dual encoder (CLIP-guided decoding, arXiv 2402.15300); 1 is
    none. contrast: strength with which tokens are held against the picture under noise (VCD, arXiv
    2311.16922); 0 is not at all. spin: whether answers are gated by the section `spin`.
    """

    max_tokens: int = Field(ge=1, description="longest description, tokens")
    method: Literal["greedy", "beam", "sampling"] = Field(description="of descriptions")
    beams: int = Field(ge=1, description="of method beam")
    temperature: float = Field(gt=0, le=2, allow_inf_nan=False, description="of sampling and candidates")
    top_p: Share = Field(description="of sampling and candidates")
    candidates: int = Field(ge=1, description="descriptions to choose from by likeness; 1: the likeliest")
    contrast: float = Field(ge=0, allow_inf_nan=False, description="against the picture under noise; 0: none")
    spin: bool = Field(description="gate heads by default, by the section spin")
