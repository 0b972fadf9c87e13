"""Schema of the section `export`: ONNX graphs, quantization, and which variant ships."""

from dataclasses import dataclass

from sightline.core.params.checks import at_least, between


@dataclass(frozen=True)
class ExportParams:
    """Parameters of the export stage; `max_drop` in points of validation accuracy, `max_flips` in percent of
    the answers."""

    opset: int
    calibration_items: int
    parity_items: int
    max_flips: float
    max_drop: float
    selection_items: int

    def __post_init__(self) -> None:
        between("export", self, 18, 23, ["opset"])
        at_least("export", self, 1, ["calibration_items", "parity_items", "selection_items"])
        between("export", self, 0, 100, ["max_drop", "max_flips"])
