"""Schemas of the sections `text` and `vision`: the two towers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sightline.core.params.checks import (
    Count,
    CountOrNone,
    Matches,
    PlugIn,
    Settings,
    heads_fit,
    require,
)

Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "none"]
Norm = Literal["pre", "post"]
NormType = Literal["layer", "rms"]
Activation = Literal["gelu", "relu", "tanh", "sigmoid", "swiglu"]

# What some towers do not use stays as in params.yaml: another value would change nothing.
LAYER = {
    "key_value_heads": 0,
    "norm": "pre",
    "norm_type": "layer",
    "activation": "gelu",
    "tie_embeddings": True,
}
UNUSED: dict[str, tuple[dict[str, object], str]] = {
    "hf": (LAYER | {"positions": "learned"}, "its checkpoint decides"),
    "idf_bag": (LAYER, "it has no layers"),
}


class TextParams(Settings):
    """Parameters of the text tower."""

    tower: Annotated[str, AfterValidator(PlugIn("models/text"))] = Field(description="the text tower")
    checkpoint: str = Field(description="hf: folder or hub name; empty text for towers trained here")
    width: Count = Field(description="of a token's state")
    layers: Count = Field(description="transformer layers")
    heads: Count = Field(description="attention heads of a layer")
    key_value_heads: CountOrNone = Field(
        description="fewer than heads: grouped-query attention (1: multi-query); 0: as many as heads"
    )
    positions: Positions = Field(description="how a token's position enters")
    norm: Norm = Field(description="normalise before or after a block")
    norm_type: NormType = Field(description="LayerNorm or RMSNorm")
    activation: Activation = Field(description="of the feed-forward blocks")
    tie_embeddings: bool = Field(description="the output matrix is the embedding")
    max_tokens: int = Field(ge=8, description="longest text, tokens")

    @model_validator(mode="after")
    def fits_its_tower(self) -> "TextParams":
        heads_fit("text", self, self.positions)
        if self.tower == "hf":
            words = "a folder or hub name, as text.tower is hf"
            require(bool(self.checkpoint), "checkpoint", self.checkpoint, words)
        if self.tower == "idf_bag":
            words = "learned, sinusoidal or none, as text.tower is idf_bag: it has no attention"
            require(self.positions not in ("rotary", "alibi"), "positions", self.positions, words)
        leaves, why = UNUSED.get(self.tower, ({}, ""))
        for leaf, left in leaves.items():
            value, words = getattr(self, leaf), f"{left!r}, as text.tower is {self.tower}: {why}"
            require(value == left, leaf, value, words)
        return self


class VisionParams(Settings):
    """Parameters of the image tower."""

    tower: Annotated[str, AfterValidator(PlugIn("models/vision"))] = Field(description="the image tower")
    name: str = Field(description="timm, torchvision: the architecture")
    checkpoint: Annotated[
        str, AfterValidator(Matches(r"none|hub|.+\.safetensors", "none, hub or a .safetensors file"))
    ] = Field(description="none | hub | path of a safetensors file")
    image_size: int = Field(ge=16, description="side of the input, pixels")
    width: int = Field(ge=8, description="small_cnn: of a patch's state")

    @model_validator(mode="after")
    def family_names_an_architecture(self) -> "VisionParams":
        named = self.tower not in ("timm", "torchvision") or bool(self.name)
        require(named, "name", self.name, f"an architecture of {self.tower}")
        return self
