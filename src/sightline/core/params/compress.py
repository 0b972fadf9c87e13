"""Schema of the section `compress`: structured pruning of the decoder."""

from dataclasses import dataclass
from typing import Literal

from sightline.core.params.checks import at_least, share


@dataclass(frozen=True)
class CompressParams:
    """Parameters of the compress stage; ratios are the removed parts of one."""

    head_ratio: float
    neuron_ratio: float
    criterion: Literal["magnitude", "taylor", "spin"]
    batches: int
    recovery_epochs: float
    distill: float

    def __post_init__(self) -> None:
        share("compress", self, ["head_ratio", "neuron_ratio", "distill"])
        at_least("compress", self, 1, ["batches"])
        at_least("compress", self, 0, ["recovery_epochs"])
