"""Schema of the section `convert`: captions and scenes to questions and answers."""

from dataclasses import dataclass

from sightline.core.params.checks import at_least, between, require


@dataclass(frozen=True)
class ConvertParams:
    """Parameters of the convert stage; `relation_margin` in pixels, `hash_distance` in bits of 64."""

    vocab_size: int
    min_frequency: int
    relation_margin: int
    pope_per_image: int
    hash_distance: int

    def __post_init__(self) -> None:
        at_least("convert", self, 100, ["vocab_size"])
        at_least("convert", self, 1, ["min_frequency"])
        at_least("convert", self, 0, ["relation_margin", "pope_per_image"])
        between("convert", self, 0, 64, ["hash_distance"])
        even = self.pope_per_image % 2 == 0
        require(even, "convert.pope_per_image", self.pope_per_image, "an even number: half of them are yes")
