"""Schema of the section `index`: the search index of the bundle."""

from dataclasses import dataclass

from sightline.params.checks import require


@dataclass(frozen=True)
class IndexParams:
    """Parameters of the index stage; `factory` is a FAISS index factory string."""

    split: str
    factory: str

    def __post_init__(self) -> None:
        require(bool(self.split), "index.split", self.split, "the name of a split")
        require(bool(self.factory), "index.factory", self.factory, "a FAISS index factory string, e.g. Flat")
