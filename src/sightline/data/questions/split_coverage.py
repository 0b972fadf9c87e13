"""What the questions of a data set cannot teach or measure, from their counts."""

from collections.abc import Mapping

from sightline.data.questions.deciding_figure import ENOUGH
from sightline.data.questions.question_types import AUXILIARY, is_short

NEEDED = ("train", "val", "test")
FEW_PICTURES = 1000  # of train: with fewer a model from scratch mostly remembers its training pictures
Counts = Mapping[str, Mapping[str, int]]  # split -> type -> number of questions


def check(counts: Counts) -> None:
    """Raises ValueError for a split that training, choosing or measuring needs and that asks nothing."""
    for split in NEEDED:
        if not sum(counts.get(split, {}).values()):
            raise ValueError(
                f"no item of split {split} is left: each lacks a picture or a caption, could not be read, or "
                "shows a picture of another split (data/raw/rejected.jsonl and, after the next try, "
                "data/vqa/rejected.jsonl name them); add rows with pictures, or raise data.val_share"
            )


def left_out(counts: Counts, pictures: Mapping[str, int]) -> list[str]:
    """A sentence for everything that the splits of NEEDED cannot teach or measure; `pictures`: of each."""
    short = {split: sum(_short(counts[split]).values()) for split in NEEDED}
    said = []
    if pictures["train"] < FEW_PICTURES:
        said.append(
            f"train has {pictures['train']} pictures: a model learns these and little beyond them from fewer "
            f"than {FEW_PICTURES:,}."
        )
    if not short["train"]:
        return [
            *said,
            "No short question could be made from these texts: the model learns to search and to describe, "
            "and short answers are neither taught nor measured.",
        ]
    if short["val"] < ENOUGH:
        said.append(
            f"val has {short['val']} short questions, {ENOUGH} are enough to choose by: checkpoints and "
            "variants are chosen by how likely the true descriptions are, and no answer is marked sure."
        )
    unmeasured = sorted(_short(counts["train"]).keys() - counts["test"].keys() - set(AUXILIARY))
    if not short["test"]:
        said.append("test has no short question: how many answers are right is not measured.")
    elif unmeasured:
        said.append(f"test asks no question of type {', '.join(unmeasured)}: their answers are not measured.")
    if not any(kind.startswith("pope_") for kind in counts["test"]):
        said.append("test has no POPE question: how often absent things are said to be there is not polled.")
    return said


def _short(of_split: Mapping[str, int]) -> dict[str, int]:
    """Of the short types; the counts of yes and no that stand beside them are no types."""
    return {kind: n for kind, n in of_split.items() if is_short(kind) and not kind.startswith("answers_")}
