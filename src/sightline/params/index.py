"""Schema of the section `index`: the search index of the bundle, and when it warns."""

from dataclasses import dataclass

from sightline.params.checks import between, require


@dataclass(frozen=True)
class IndexParams:
    """Parameters of the index stage; `factory` is auto or a FAISS index factory string, the others are
    percent."""

    split: str
    factory: str
    sure_accuracy: float
    domain_percentile: float

    def __post_init__(self) -> None:
        require(bool(self.split), "index.split", self.split, "the name of a split")
        require(bool(self.factory), "index.factory", self.factory, "auto, or a FAISS factory string: Flat")
        between("index", self, 0, 100, ["sure_accuracy", "domain_percentile"])
