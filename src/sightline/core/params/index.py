"""Schema of the section `index`: the search index of the bundle, when it warns, and how it describes."""

from dataclasses import dataclass

from sightline.core.params.checks import at_least, between, require


@dataclass(frozen=True)
class IndexParams:
    """Parameters of the index stage; `factory` is auto or a FAISS index factory string, `sure_accuracy` and
    `domain_percentile` are percent, `candidates` and `contrast` those of
    inference.decoding.clip_guided."""

    split: str
    factory: str
    sure_accuracy: float
    domain_percentile: float
    candidates: int
    contrast: float

    def __post_init__(self) -> None:
        require(bool(self.split), "index.split", self.split, "the name of a split")
        require(bool(self.factory), "index.factory", self.factory, "auto, or a FAISS factory string: Flat")
        between("index", self, 0, 100, ["sure_accuracy", "domain_percentile"])
        at_least("index", self, 1, ["candidates"])
        at_least("index", self, 0, ["contrast"])
