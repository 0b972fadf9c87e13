"""Two models that were measured at different times, compared on the same test pictures.

A file for each split holds what was counted of each picture, in the figures whose loss is bounded. A picture
is known by a hash of its bytes, its questions and its captions, so only what was asked alike is compared.

C pictures, R resamples.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts, typed_json
from sightline.core.runtime import derive_seed
from sightline.data.shards import Items
from sightline.evaluate import metrics_summary, scoring
from sightline.evaluate.bootstrap import resamples, sample
from sightline.evaluate.metrics import chair, pope, retrieval, vqa_accuracy
from sightline.evaluate.scoring import Group
from sightline.evaluate.split_contents import Split

MEASURES: dict[str, Any] = {"vqa": vqa_accuracy, "pope": pope, "chair": chair, "retrieval": retrieval}
KINDS = {"vqa": ("all",), "retrieval": ("text_to_image", "image_to_text")}  # of the others all are kept
CURE = "measure the model again: `dvc repro evaluate`"


class FamilyCounts(typed_json.Described):
    """What was counted of each picture in one type of question."""

    family: str
    kind: str
    counts: dict[str, list[float]]


class SplitCounts(typed_json.Described):
    """A split: the hash of each picture with all that is asked of it, and the counts in their order."""

    split: str
    pictures: list[str]
    groups: list[FamilyCounts]


def file_of(split: str) -> str:
    return f"per_picture-{split}.json"


def write(path: Path, split: Split, groups: list[Group]) -> None:
    """Write what was counted in `groups`, of a model's answers as it is served."""
    kept = [group for group in groups if group.kind in KINDS.get(group.family, (group.kind,))]
    rows = [
        {"family": group.family, "kind": group.kind,
         "counts": {name: counts_C.tolist() for name, counts_C in group.counts_C.items()}}
        for group in kept if group.family in MEASURES and group.counts_C
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    artifacts.write_json(path, {"split": split.name, "pictures": _hashes(split), "groups": rows})


def read(folder: Path) -> dict[str, SplitCounts]:
    """The splits that a folder has counts of. Raises ValueError for a damaged file."""
    found = [typed_json.read(path, SplitCounts, CURE) for path in sorted(folder.glob(file_of("*")))]
    return {counts.split: counts for counts in found}


def shared(after: dict[str, SplitCounts], before: dict[str, SplitCounts]) -> tuple[int, int]:
    """(pictures of `after` that `before` was measured on, too; pictures of `after`)."""
    common = sum(len({*after[name].pictures} & {*before[name].pictures}) for name in {*after} & {*before})
    return common, sum(len(counts.pictures) for counts in after.values())


def compare(
    after: dict[str, SplitCounts], before: dict[str, SplitCounts], resamplings: int, seed: int
) -> dict[str, dict[str, float]]:
    """How much worse `after` can be than `before` (metrics_summary.bounds), over the pictures of all splits
    that both were measured on. Retrieval counts only in splits of equal pictures: its ranks are ranks among
    all of them."""
    groups: tuple[list[list[Group]], list[list[Group]]] = ([], [])
    for name in sorted({*after} & {*before}):
        pair = after[name], before[name]
        position = [{picture: index for index, picture in enumerate(one.pictures)} for one in pair]
        common = [picture for picture in pair[0].pictures if picture in position[1]]
        if not common:
            continue
        equal = pair[0].pictures == pair[1].pictures
        rng = np.random.default_rng(derive_seed(seed, "promotion", name))
        weights_RC = resamples(len(common), resamplings, rng)
        rows = [[each[picture] for picture in common] for each in position]
        of_pair = [
            {(one.family, one.kind): one for one in counts.groups if equal or one.family != "retrieval"}
            for counts in pair
        ]
        both = [key for key in of_pair[0] if key in of_pair[1]]
        for side in (0, 1):
            groups[side].append([_group(of_pair[side][key], rows[side], weights_RC) for key in both])
    key = {"split": metrics_summary.POOLED, "comparison": "", "variant": "", "spin": ""}
    return metrics_summary.bounds(scoring.loss_bounds(*groups, key) if groups[0] else [])


def _group(counted: FamilyCounts, rows: list[int], weights_RC: np.ndarray) -> Group:
    counts_C = {name: np.array(values)[rows] for name, values in counted.counts.items()}
    return Group(counted.family, counted.kind, MEASURES[counted.family], sample(counts_C, weights_RC))


def _hashes(split: Split) -> list[str]:
    """Of each picture a hash of its bytes and all that is asked of it."""
    items = Items(split.raw)
    asked: list[list[Any]] = [[] for _ in split.lines]
    for triple, picture in zip(split.triples, split.picture_of, strict=True):
        asked[picture].append([triple["type"], triple["question"], vqa_accuracy.truths(triple)])
    return [
        hashlib.sha256(
            json.dumps([
                hashlib.sha256(items.image_bytes(items[line])).hexdigest(), questions, captions,
                sorted(present),
            ]).encode()
        ).hexdigest()[:32]
        for line, questions, captions, present in zip(
            split.lines, asked, split.captions, split.present, strict=True
        )
    ]  # fmt: skip
