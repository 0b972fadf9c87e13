"""Schema of the section `text`: the text tower."""

from dataclasses import dataclass
from typing import Literal

from sightline.core.params.checks import at_least, heads_fit, plugin, require

# What says nothing to some towers stays as in params.yaml, where nothing else is asked for.
STYLE = {"key_value_heads": 0, "norm": "pre", "norm_kind": "layer", "activation": "gelu", "tied": True}
UNUSED = {
    "hf": (STYLE | {"positions": "learned"}, "its checkpoint decides"),
    "idf_bag": (STYLE, "it has no layers"),
}


@dataclass(frozen=True)
class TextParams:
    """Parameters of the text tower; lengths in tokens."""

    tower: str
    checkpoint: str
    width: int
    layers: int
    heads: int
    key_value_heads: int
    positions: Literal["learned", "sinusoidal", "rotary", "alibi", "none"]
    norm: Literal["pre", "post"]
    norm_kind: Literal["layer", "rms"]
    activation: Literal["gelu", "relu", "tanh", "sigmoid", "swiglu"]
    tied: bool
    max_tokens: int

    def __post_init__(self) -> None:
        plugin("text.tower", self.tower, "models/text")
        at_least("text", self, 1, ["width", "layers", "heads"])
        at_least("text", self, 8, ["max_tokens"])
        heads_fit("text", self, self.positions)
        if self.tower == "hf":
            require(bool(self.checkpoint), "text.checkpoint", self.checkpoint,
                    "a folder or hub name, as text.tower is hf")  # fmt: skip
        if self.tower == "idf_bag":
            require(self.positions not in ("rotary", "alibi"), "text.positions", self.positions,
                    "learned, sinusoidal or none, as text.tower is idf_bag: it has no attention")  # fmt: skip
        leaves, why = UNUSED.get(self.tower, ({}, ""))
        for leaf, left in leaves.items():
            value, allowed = getattr(self, leaf), f"{left!r}, as text.tower is {self.tower}: {why}"
            require(value == left, f"text.{leaf}", value, allowed)
