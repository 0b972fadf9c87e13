"""Schema of the section `gate`: the floors below which the pipeline fails."""

from dataclasses import dataclass

from sightline.core.params.checks import above, between


@dataclass(frozen=True)
class GateParams:
    """Parameters of the gate stage; accuracies in percent, drops in points, `min_map_correlation`
    Spearman's over the maps of an answer."""

    min_vqa_accuracy: float
    min_retrieval_r1: float
    max_accuracy_drop: float
    max_logit_difference: float
    min_map_correlation: float
    max_pointing_drop: float

    def __post_init__(self) -> None:
        percent = ["min_vqa_accuracy", "min_retrieval_r1", "max_accuracy_drop", "max_pointing_drop"]
        between("gate", self, 0, 100, percent)
        between("gate", self, -1, 1, ["min_map_correlation"])
        above("gate", self, 0, ["max_logit_difference"])
