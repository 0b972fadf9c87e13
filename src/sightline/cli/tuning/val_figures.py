"""What a search may go by: the figures of `val` that the training stages write into their curves. Every one
is better when it is higher.

Never one of `test`: what was chosen by a split is not measured by it any more.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDERS = {"pretrain": "plots/pretrain", "align": "plots/align", "finetune": "plots/finetune/vlm"}
USUAL = (
    "finetune.val_accuracy",  # percent of short answers that are right
    "finetune.val_token_likelihood",  # of data without short questions
    "align.val_recall_at_1",  # mean of the next two
    "align.val_text_to_image",
    "align.val_image_to_text",
    "pretrain.val_token_accuracy",
)


class FigureError(ValueError):
    """No figure that a search may go by; the message names those that are."""


@dataclass(frozen=True)
class Figure:
    """A curve on val, and the stage that writes it, where the experiments of a search end."""

    stage: str
    name: str

    def __str__(self) -> str:
        return f"{self.stage}.{self.name}"

    @property
    def folder(self) -> str:
        """Of the stage's curves, as seen from the root of a checkout."""
        return f"{FOLDERS[self.stage]}/plots/metrics"

    @property
    def curve(self) -> str:
        """The file of the curve."""
        return f"{self.folder}/{self.name}.tsv"


def parse(text: str) -> Figure:
    """The figure STAGE.NAME. Raises FigureError."""
    stage, _, name = text.partition(".")
    listed = f"a figure of val: {', '.join(USUAL)}"
    if "test" in re.split(r"[^a-z]+", text.lower()):
        raise FigureError(
            f"--objective: got {text}, allowed: {listed}; a search chooses by its figure, and what was "
            "chosen by test is no longer measured by test"
        )
    if stage not in FOLDERS or not re.fullmatch(r"val_\w+", name):
        raise FigureError(f"--objective: got {text}, allowed: {listed}")
    return Figure(stage, name)


def values(curve: str) -> list[float]:
    """The values of a curve (TSV: step, value) by evaluation; a last line that is not whole yet is left
    out."""
    lines = curve[: curve.rfind("\n") + 1].splitlines()[1:]
    return [float(line.split("\t")[1]) for line in lines]


def running(figure: Figure, workspace: Path) -> list[float]:
    """The values so far of an experiment under way in `workspace`; none where the stage has not begun."""
    try:
        return values((workspace / figure.curve).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return []
