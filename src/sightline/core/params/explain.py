"""Schema of the section `explain`: heat maps behind the answers."""

from dataclasses import dataclass

from sightline.core.params.checks import at_least, plugin, require


@dataclass(frozen=True)
class ExplainParams:
    """Parameters of the explain stage; `colormap` is a Matplotlib name."""

    method: str
    items: int
    colormap: str

    def __post_init__(self) -> None:
        plugin("explain.method", self.method, "explain/methods")
        at_least("explain", self, 1, ["items"])
        require(bool(self.colormap), "explain.colormap", self.colormap, "the name of a Matplotlib colormap")
