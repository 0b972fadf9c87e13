"""Schema of the section `vision`: the image tower."""

from dataclasses import dataclass

from sightline.core.params.checks import at_least, plugin, require


@dataclass(frozen=True)
class VisionParams:
    """Parameters of the image tower; `image_size` in pixels."""

    tower: str
    name: str
    checkpoint: str
    image_size: int
    width: int

    def __post_init__(self) -> None:
        plugin("vision.tower", self.tower, "models/vision")
        at_least("vision", self, 16, ["image_size"])
        at_least("vision", self, 8, ["width"])
        family = self.tower in ("timm", "torchvision")
        require(not family or bool(self.name), "vision.name", self.name, f"an architecture of {self.tower}")
        known = self.checkpoint in ("none", "hub") or self.checkpoint.endswith(".safetensors")
        require(known, "vision.checkpoint", self.checkpoint, "none, hub or a .safetensors file")
