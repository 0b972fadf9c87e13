"""What the questions of a data set cannot teach or measure, from their counts."""

from collections.abc import Mapping

from sightline.data.questions.deciding_figure import ENOUGH
from sightline.data.questions.question_types import AUXILIARY, POPE_TYPES, is_short

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


def left_out(counts: Counts, pictures: Mapping[str, int], told: list[str]) -> list[str]:
    """A sentence for everything that the splits of NEEDED cannot teach or measure; `pictures`: how many each
    has, `told`: why the captions gave no questions, or not those of some kinds."""
    short = {split: _short(counts.get(split, {})) for split in NEEDED}
    asked = {split: sum(of_split.values()) for split, of_split in short.items()}
    few = pictures.get("train", 0)
    said = [
        f"train has {few} pictures: from fewer than {FEW_PICTURES:,} a model learns little beyond these"
    ] * (few < FEW_PICTURES)
    if not asked["train"]:
        return said + (told or ["no short questions: no caption has what the rules ask for"])
    said += told
    if asked["val"] < ENOUGH:
        said.append(
            f"val has {asked['val'] or 'no'} short questions, {ENOUGH} are enough to choose by: checkpoints "
            "and variants are chosen by how likely the true descriptions are, and no answer is marked sure"
        )
    unmeasured = sorted(short["train"].keys() - short["test"].keys() - set(AUXILIARY))
    if not asked["test"]:
        said.append("test has no short questions: how many answers are right is not measured")
    elif unmeasured:
        said.append(f"test has no questions of type {', '.join(unmeasured)}: these answers are not measured")
    if not any(kind in POPE_TYPES for kind in counts.get("test", {})):
        said.append(
            "test has no POPE questions: how often absent things are said to be there is not measured"
        )
    return said


def _short(of_split: Mapping[str, int]) -> dict[str, int]:
    """Of the short types; the counts of yes and no that stand beside them are no types."""
    return {kind: n for kind, n in of_split.items() if is_short(kind) and not kind.startswith("answers_")}
