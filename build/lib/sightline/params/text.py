"""Schema of the section `text`: the text tower."""

from dataclasses import dataclass

from sightline.params.checks import at_least, plugin, require


@dataclass(frozen=True)
class TextParams:
    """Parameters of the text tower; lengths in tokens."""

    tower: str
    checkpoint: str
    width: int
    layers: int
    heads: int
    max_tokens: int

    def __post_init__(self) -> None:
        plugin("text.tower", self.tower, "models/text")
        at_least("text", self, 1, ["width", "layers", "heads"])
        at_least("text", self, 8, ["max_tokens"])
        whole = self.width % self.heads == 0
        require(whole, "text.width", self.width, f"a multiple of text.heads = {self.heads}")
        filled = self.tower != "hf" or bool(self.checkpoint)
        require(filled, "text.checkpoint", self.checkpoint, "a folder or hub name, as text.tower is hf")
