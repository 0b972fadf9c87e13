"""Schema of the section `evaluate`: what is measured, on which splits."""

from dataclasses import dataclass

from sightline.params.checks import at_least, require


@dataclass(frozen=True)
class EvaluateParams:
    """Parameters of the evaluate stage; `bootstrap` is the number of resamples of an interval."""

    splits: list[str]
    max_items: int
    batch_size: int
    bootstrap: int
    max_new_tokens: int
    beams: int

    def __post_init__(self) -> None:
        once = bool(self.splits) and len(set(self.splits)) == len(self.splits)
        require(once, "evaluate.splits", self.splits, "one or more splits, each once")
        at_least("evaluate", self, 0, ["max_items"])
        at_least("evaluate", self, 1, ["batch_size", "bootstrap", "max_new_tokens", "beams"])
