"""Schema of the section `evaluate`: what is measured, on which splits."""

from dataclasses import dataclass

from sightline.core.params.checks import at_least, require


@dataclass(frozen=True)
class EvaluateParams:
    """Parameters of the evaluate stage; `bootstrap` is the number of resamples of an interval, and the last
    four are those of evaluate.predict.Reranking."""

    splits: list[str]
    max_items: int
    batch_size: int
    bootstrap: int
    max_new_tokens: int
    beams: int
    rerank_top: int
    described_top: int
    description_weight: float
    nothing_share: float

    def __post_init__(self) -> None:
        once = bool(self.splits) and len(set(self.splits)) == len(self.splits)
        require(once, "evaluate.splits", self.splits, "one or more splits, each once")
        at_least("evaluate", self, 0, ["max_items", "description_weight", "nothing_share"])
        whole = ["batch_size", "bootstrap", "max_new_tokens", "beams", "rerank_top", "described_top"]
        at_least("evaluate", self, 1, whole)
        some = self.described_top <= self.rerank_top
        require(some, "evaluate.described_top", self.described_top, "at most evaluate.rerank_top")
