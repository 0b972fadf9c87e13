"""From answers and ranks to figures: groups of counts per picture, then tidy rows with intervals.

A group is what one variant, with SPIN on or off, got on one type of question of one split. Its figures are
functions of the counts, so values, intervals and paired differences all come from the same numbers.
"""

from dataclasses import dataclass, replace
from functools import reduce
from types import ModuleType

import numpy as np

from sightline.data.questions.question_types import is_short
from sightline.evaluate.bootstrap import Sample, cluster, difference, interval, sample
from sightline.evaluate.metrics import (
    calibration,
    captioning,
    chair,
    pope,
    retrieval,
    selective_prediction,
    swapped_object,
    vqa_accuracy,
)
from sightline.evaluate.metrics.chair import Lexicon
from sightline.evaluate.metrics.normalize_answers import normalise, same
from sightline.evaluate.predictions import Answers, Retrieved
from sightline.evaluate.split_contents import Split

CONFIDENCES = ("calibration", "abstention")  # families of `of_confidence`
LOWER_IS_BETTER = {"chair_s", "chair_i", "false_positive_rate", "invalid"}
NEITHER = {"words", "yes_rate"}  # no direction is a loss
NOT_PERCENT = {"words", "mcc", "cider_d"}
NOT_WORSE = 1.0  # points: the bound below which a loss counts as none
# (family, kind, figure) whose loss is bounded over all splits together; any kind where it is empty
BOUNDED = (
    ("vqa", "all", "accuracy"), ("pope", "all", "f1"), ("chair", "", "chair_i"),
    ("retrieval", "text_to_image", "r1"), ("retrieval", "image_to_text", "r1"),
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Counts of one family (vqa, pope, chair, caption, ...) and type, per picture resampled; `measure` has
    FIGURES and `asked`."""

    family: str
    kind: str
    measure: ModuleType | type
    sample: Sample


def rounded(value: float) -> float:
    """Three decimals; no minus zero."""
    return round(value, 3) + 0.0


def _group(
    family: str,
    kind: str,
    measure: ModuleType | type,
    tallies: list[dict],
    pictures: list[int],
    weights_RC: np.ndarray,
) -> Group:
    counts_C = cluster(tallies, pictures, weights_RC.shape[1])
    return Group(family, kind, measure, sample(counts_C, weights_RC))


def of_answers(split: Split, texts: list[str], lexicon: Lexicon, weights_RC: np.ndarray) -> list[Group]:
    """Groups of every question type of a split, `vqa` also over all short questions together."""
    by_type: dict[str, list[int]] = {}
    for index, triple in enumerate(split.triples):
        by_type.setdefault(triple["type"], []).append(index)
    short = [kind for kind in sorted(by_type) if is_short(kind)]
    if short:
        by_type["all"] = [index for kind in short for index in by_type[kind]]
    groups = []
    for kind, indices in sorted(by_type.items()):
        pictures = [split.picture_of[index] for index in indices]
        asked = [(texts[index], split.triples[index]["answer"]) for index in indices]
        if kind == "describe":
            name = "scene truth" if split.true_objects else "caption-CHAIR"
            seen = [split.present[picture] for picture in pictures]
            tallies = [
                chair.tally(said, kinds, lexicon) for (said, _), kinds in zip(asked, seen, strict=True)
            ]
            groups.append(_group("chair", name, chair, tallies, pictures, weights_RC))
            known = [split.references(picture) for picture in pictures]
            tallies = captioning.tallies([said for said, _ in asked], known)
            groups.append(_group("caption", "describe", captioning, tallies, pictures, weights_RC))
        elif kind.startswith("pope_"):
            tallies = [pope.tally(truth, said) for said, truth in asked]
            groups.append(_group("pope", kind.removeprefix("pope_"), pope, tallies, pictures, weights_RC))
        else:
            tallies = [vqa_accuracy.tally(truth, said) for said, truth in asked]
            groups.append(_group("vqa", kind, vqa_accuracy, tallies, pictures, weights_RC))
    return groups


def of_confidence(split: Split, said: Answers, weights_RC: np.ndarray) -> list[Group]:
    """What the confidences of short answers are worth: calibration of yes/no answers and of all (`before`: as
    the model gives them), the accuracy-coverage curve, and the answers that the shipped bound calls sure."""
    groups = []
    for kind, indices in (("yes/no", yes_no_questions(split)), ("short answers", short_questions(split))):
        for when, confidence_N in (("", said.confidence_N), (", before", said.probability_N)):
            pairs = zip(confidence_N[indices], right(split, said, indices), strict=True)
            tallies = [calibration.tally(float(confidence), float(one)) for confidence, one in pairs]
            if tallies:
                pictures = [split.picture_of[index] for index in indices]
                groups.append(_group("calibration", kind + when, calibration, tallies, pictures, weights_RC))
    return groups + _of_abstention(split, said, weights_RC)


def _of_abstention(split: Split, said: Answers, weights_RC: np.ndarray) -> list[Group]:
    short = short_questions(split)
    if not short:
        return []
    pictures = [split.picture_of[index] for index in short]
    level_N, right_N = selective_prediction.levels(said.confidence_N[short]), right(split, said, short)
    total = selective_prediction.figures(level_N, right_N, np.ones(len(short)))
    drawn = [selective_prediction.figures(level_N, right_N, weights_C[pictures]) for weights_C in weights_RC]
    resampled = {name: np.array([figures[name] for figures in drawn]) for name in total}
    curve = Sample(total, resampled, len(set(pictures)))
    groups = [Group("abstention", "short answers", selective_prediction.Curve, curve)]
    if any(said.sure[index] is not None for index in short):
        tallies = [selective_prediction.Sure.tally(bool(said.sure[index])) for index in short]
        groups.append(_group("abstention", "sure", selective_prediction.Sure, tallies, pictures, weights_RC))
    sure = [index for index in short if said.sure[index]]
    if sure:
        tallies = [vqa_accuracy.tally(split.triples[index]["answer"], said.texts[index]) for index in sure]
        pictures = [split.picture_of[index] for index in sure]
        groups.append(_group("abstention", "sure answers", vqa_accuracy, tallies, pictures, weights_RC))
    return groups


def short_questions(split: Split) -> list[int]:
    """Places of the questions with short answers; POPE's repeat some of them and are left out."""
    return [index for index, triple in enumerate(split.triples) if is_short(triple["type"])]


def yes_no_questions(split: Split) -> list[int]:
    """Those of the short questions whose right answer is yes or no."""
    short = short_questions(split)
    return [index for index in short if normalise(split.triples[index]["answer"]) in ("yes", "no")]


def right(split: Split, said: Answers, indices: list[int]) -> np.ndarray:
    """1.0 where the answer is the right one, else 0.0."""
    pairs = ((split.triples[index]["answer"], said.texts[index]) for index in indices)
    return np.array([float(same(truth, text)) for truth, text in pairs])


def of_retrieval(found: Retrieved, weights_RC: np.ndarray) -> list[Group]:
    """Groups of both directions, re-ranked or not, and of the swapped-kind test."""
    groups = []
    for kind, ranks in found.ranks.items():
        tallies = [retrieval.tally(rank) for rank in ranks]
        groups.append(_group("retrieval", kind, retrieval, tallies, list(found.pictures[kind]), weights_RC))
    for kind, scored in found.swapped_object.items():
        tallies = [swapped_object.tally(own, other) for _, own, other in scored]
        pictures = [picture for picture, _, _ in scored]
        groups.append(_group("retrieval", kind, swapped_object, tallies, pictures, weights_RC))
    return groups


def pooled(splits: list[list[Group]]) -> list[Group]:
    """The groups of several splits as those of one, and POPE's kinds together as kind `all`. Pictures were
    resampled within each split (a stratified bootstrap), so sums of resamples are resamples of the sum."""
    found: dict[tuple[str, str], Group] = {}
    for groups in splits:
        for group in [*groups, *_all_of_pope(groups)]:
            key = (group.family, group.kind)
            before = found.get(key)
            together = before.sample.plus(group.sample, same_images=False) if before else group.sample
            found[key] = replace(group, sample=together)
    return list(found.values())


def _all_of_pope(groups: list[Group]) -> list[Group]:
    """POPE's questions of every kind as one group; none without POPE."""
    kinds = [group for group in groups if group.family == "pope"]
    if not kinds:
        return []
    together = reduce(lambda one, other: one.plus(other, same_images=True), [kind.sample for kind in kinds])
    return [replace(kinds[0], kind="all", sample=together)]


def bounds(after: list[list[Group]], before: list[list[Group]], key: dict[str, str]) -> list[dict]:
    """`paired` for the BOUNDED figures, all splits together."""
    rows = paired(pooled(after), pooled(before), key)
    return [
        row
        for row in rows
        for family, kind, metric in BOUNDED
        if (row["family"], row["metric"]) == (family, metric) and kind in ("", row["type"])
    ]


def figures(group: Group, key: dict[str, str], exact: bool = False) -> list[dict]:
    """One tidy row per figure of the group; `key` holds split, variant and spin. An `exact` figure, like an
    oracle's, has no interval."""
    asked = int(group.measure.asked(group.sample.total))
    rows = []
    for metric, figure in group.measure.FIGURES.items():
        found = interval(figure, group.sample, percent=metric not in NOT_PERCENT)
        rows.append(
            {
                **key,
                "type": group.kind,
                "metric": metric,
                "value": rounded(found.value),
                "low": "" if exact else rounded(found.low),
                "high": "" if exact else rounded(found.high),
                "n": asked,
            }
        )
    return rows


def paired(after: list[Group], before: list[Group], key: dict[str, str]) -> list[dict]:
    """Differences of every figure that both have, on the same pictures; `key` holds split, comparison and
    of what."""
    earlier = {(group.family, group.kind): group for group in before}
    rows = []
    for group in after:
        twin = earlier[group.family, group.kind]
        for metric, figure in group.measure.FIGURES.items():
            found = difference(
                figure, group.sample, twin.sample,
                percent=metric not in NOT_PERCENT, higher_is_better=metric not in LOWER_IS_BETTER,
            )  # fmt: skip
            loss = "" if metric in NEITHER else rounded(found.loss_bound)
            rows.append(
                {
                    **key,
                    "family": group.family,
                    "type": group.kind,
                    "metric": metric,
                    "value": rounded(found.value),
                    "low": rounded(found.low),
                    "high": rounded(found.high),
                    "loss_bound": loss,
                    "not_worse": "" if loss == "" else str(loss < NOT_WORSE).lower(),
                    "n": int(group.measure.asked(group.sample.total)),
                }
            )
    return rows
