"""Schema of the section `spin`: suppression of image-inattentive heads at inference."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from sightline.core.params.checks import between, require


@dataclass(frozen=True)
class SpinParams:
    """Parameters of the gate; exactly one of `keep` (share of heads) and `top_k` (heads) is not None."""

    exactly_one: ClassVar[tuple[str, str]] = ("keep", "top_k")

    keep: float | None
    top_k: int | None
    alpha: float
    layers: list[int]
    score: Literal["mass", "logit_sum"]

    def __post_init__(self) -> None:
        one = (self.keep is None) != (self.top_k is None)
        require(one, "spin.keep", f"keep={self.keep}, top_k={self.top_k}", "exactly one of keep and top_k")
        require(self.keep is None or 0 < self.keep <= 1, "spin.keep", self.keep, "a share in (0, 1]")
        require(self.top_k is None or self.top_k >= 1, "spin.top_k", self.top_k, "a number of heads >= 1")
        between("spin", self, 0, 1, ["alpha"])
        once = all(layer >= 0 for layer in self.layers) and len(set(self.layers)) == len(self.layers)
        require(once, "spin.layers", self.layers, "layer numbers >= 0, each once")
