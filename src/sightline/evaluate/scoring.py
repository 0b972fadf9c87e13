"""From answers and ranks to figures: groups of counts per picture, then tidy rows with intervals.

A group holds the counts of one variant, with SPIN on or off, on one type of question of one split. Its
figures are functions of the counts, so values, intervals and paired differences come from the same numbers.
"""

from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from sightline.data.questions.question_types import is_short
from sightline.evaluate.bootstrap import LOWER_IS_BETTER, Sample, cluster, difference, interval, sample
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
from sightline.evaluate.metrics.normalize_answers import normalise
from sightline.evaluate.metrics.ratios import Counts
from sightline.evaluate.predictions import Answers, RetrievalRanks
from sightline.evaluate.split_contents import Split

CONFIDENCES = ("calibration", "abstention")  # families of `confidence_groups`
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
    """Counts of one family (vqa, pope, chair, caption, ...) and type, resampled by picture.

    `measure` is the metric: it has FIGURES and `sample_size`. `counts_C`: the counts of each picture; empty
    where the figures are no functions of sums.
    """

    family: str
    kind: str
    measure: Any  # a module of metrics, or one of its classes: FIGURES and sample_size
    sample: Sample
    counts_C: Counts = field(default_factory=dict)


def rounded(value: float) -> float:
    """Three decimals; no minus zero."""
    return round(value, 3) + 0.0


def counted_group(
    family: str,
    kind: str,
    measure: Any,
    item_counts: list[dict],
    pictures: list[int],
    weights_RC: np.ndarray,
) -> Group:
    """The group of some items: their counts, each of the picture with that number."""
    counts_C = cluster(item_counts, pictures, weights_RC.shape[1])
    return Group(family, kind, measure, sample(counts_C, weights_RC), counts_C)


def answer_groups(split: Split, texts: list[str], lexicon: Lexicon, weights_RC: np.ndarray) -> list[Group]:
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
        predictions = [(texts[index], split.triples[index]["answer"]) for index in indices]
        if kind == "describe":
            name = "scene truth" if split.true_objects else "caption-CHAIR"
            present = [split.present[picture] for picture in pictures]
            if any(present):  # else no object of this data is in the lexicon
                counts = [
                    chair.item_counts(prediction, kinds, lexicon)
                    for (prediction, _), kinds in zip(predictions, present, strict=True)
                ]
                groups.append(counted_group("chair", name, chair, counts, pictures, weights_RC))
            references = [split.references(picture) for picture in pictures]
            counts = captioning.corpus_counts([prediction for prediction, _ in predictions], references)
            groups.append(counted_group("caption", "describe", captioning, counts, pictures, weights_RC))
        elif kind.startswith("pope_"):
            counts = [pope.item_counts(truth, prediction) for prediction, truth in predictions]
            groups.append(
                counted_group("pope", kind.removeprefix("pope_"), pope, counts, pictures, weights_RC)
            )
        else:
            counts = [
                vqa_accuracy.item_counts(vqa_accuracy.truths(split.triples[index]), texts[index])
                for index in indices
            ]
            groups.append(counted_group("vqa", kind, vqa_accuracy, counts, pictures, weights_RC))
    return groups


def confidence_groups(split: Split, answers: Answers, weights_RC: np.ndarray) -> list[Group]:
    """Calibration and selective prediction of short answers.

    Calibration of yes/no answers and of all (`before`: without temperature), the accuracy-coverage curve, and
    the answers above the shipped bound.
    """
    groups = []
    for kind, indices in (("yes/no", yes_no_questions(split)), ("short answers", short_questions(split))):
        for when, confidence_N in (("", answers.confidence_N), (", before", answers.probability_N)):
            pairs = zip(confidence_N[indices], correctness(split, answers, indices), strict=True)
            counts = [calibration.item_counts(float(confidence), float(one)) for confidence, one in pairs]
            if counts:
                pictures = [split.picture_of[index] for index in indices]
                groups.append(
                    counted_group("calibration", kind + when, calibration, counts, pictures, weights_RC)
                )
    return groups + _selective_groups(split, answers, weights_RC)


def _selective_groups(split: Split, answers: Answers, weights_RC: np.ndarray) -> list[Group]:
    short = short_questions(split)
    if not short:
        return []
    pictures = [split.picture_of[index] for index in short]
    level_N = selective_prediction.levels(answers.confidence_N[short])
    right_N = correctness(split, answers, short)
    total = selective_prediction.figures(level_N, right_N, np.ones(len(short)))
    drawn = [
        selective_prediction.figures(level_N, right_N, weights_C[pictures].astype(np.float64))
        for weights_C in weights_RC
    ]
    resampled = {name: np.array([figures[name] for figures in drawn]) for name in total}
    curve = Sample(total, resampled, len(set(pictures)))
    groups = [Group("abstention", "short answers", selective_prediction.RiskCoverage, curve)]
    if any(answers.sure[index] is not None for index in short):
        counts = [selective_prediction.Coverage.item_counts(bool(answers.sure[index])) for index in short]
        groups.append(
            counted_group("abstention", "sure", selective_prediction.Coverage, counts, pictures, weights_RC)
        )
    sure = [index for index in short if answers.sure[index]]
    if sure:
        counts = [
            vqa_accuracy.item_counts(vqa_accuracy.truths(split.triples[index]), answers.texts[index])
            for index in sure
        ]
        pictures = [split.picture_of[index] for index in sure]
        groups.append(counted_group("abstention", "sure answers", vqa_accuracy, counts, pictures, weights_RC))
    return groups


def short_questions(split: Split) -> list[int]:
    """Positions of the questions with short answers; POPE's repeat some of them and are left out."""
    return [index for index, triple in enumerate(split.triples) if is_short(triple["type"])]


def yes_no_questions(split: Split) -> list[int]:
    """Those of the short questions whose right answer is yes or no."""
    short = short_questions(split)
    return [index for index in short if normalise(split.triples[index]["answer"]) in ("yes", "no")]


def correctness(split: Split, answers: Answers, indices: list[int]) -> np.ndarray:
    """How right each answer is, in [0, 1] (vqa_accuracy.accuracy)."""
    pairs = ((vqa_accuracy.truths(split.triples[index]), answers.texts[index]) for index in indices)
    return np.array([vqa_accuracy.accuracy(truths, text) for truths, text in pairs])


def retrieval_groups(results: RetrievalRanks, weights_RC: np.ndarray) -> list[Group]:
    """Groups of both directions, re-ranked or not, and of the swapped-kind test."""
    groups = []
    for kind, ranks in results.ranks.items():
        counts = [retrieval.item_counts(rank) for rank in ranks]
        groups.append(
            counted_group("retrieval", kind, retrieval, counts, list(results.pictures[kind]), weights_RC)
        )
    for kind, scored in results.swapped_object.items():
        counts = [swapped_object.item_counts(original, swapped) for _, original, swapped in scored]
        pictures = [picture for picture, _, _ in scored]
        groups.append(counted_group("retrieval", kind, swapped_object, counts, pictures, weights_RC))
    return groups


def pooled(splits: list[list[Group]]) -> list[Group]:
    """The groups of several splits as those of one, and POPE's kinds together as kind `all`. Pictures were
    resampled within each split (a stratified bootstrap), so sums of resamples are resamples of the sum."""
    by_key: dict[tuple[str, str], Group] = {}
    for groups in splits:
        for group in [*groups, *_pope_group(groups)]:
            key = (group.family, group.kind)
            before = by_key.get(key)
            together = before.sample.plus(group.sample, same_images=False) if before else group.sample
            by_key[key] = replace(group, sample=together, counts_C={})
    return list(by_key.values())


def _pope_group(groups: list[Group]) -> list[Group]:
    """POPE's questions of every kind as one group; none without POPE."""
    kinds = [group for group in groups if group.family == "pope"]
    if not kinds:
        return []
    together = reduce(lambda one, other: one.plus(other, same_images=True), [kind.sample for kind in kinds])
    return [replace(kinds[0], kind="all", sample=together, counts_C={})]


def loss_bounds(after: list[list[Group]], before: list[list[Group]], key: dict[str, str]) -> list[dict]:
    """`difference_rows` for the BOUNDED figures, all splits together."""
    rows = difference_rows(pooled(after), pooled(before), key)
    return [
        row
        for row in rows
        for family, kind, metric in BOUNDED
        if (row["family"], row["metric"]) == (family, metric) and kind in ("", row["type"])
    ]


def figure_rows(group: Group, key: dict[str, str], exact: bool = False) -> list[dict]:
    """One tidy row per figure of the group; `key` gives split, variant and spin. An `exact` figure, like an
    oracle's, has no interval."""
    sample_size = int(group.measure.sample_size(group.sample.total))
    rows = []
    for metric, figure in group.measure.FIGURES.items():
        estimate = interval(figure, group.sample, percent=metric not in NOT_PERCENT)
        rows.append(
            {
                **key,
                "type": group.kind,
                "metric": metric,
                "value": rounded(estimate.value),
                "low": "" if exact else rounded(estimate.low),
                "high": "" if exact else rounded(estimate.high),
                "n": sample_size,
                "pictures": group.sample.filled,
            }
        )
    return rows


def difference_rows(after: list[Group], before: list[Group], key: dict[str, str]) -> list[dict]:
    """Differences of every figure that both have, on the same pictures; `key` gives split, comparison,
    variant and spin."""
    earlier = {(group.family, group.kind): group for group in before}
    rows = []
    for group in after:
        counterpart = earlier[group.family, group.kind]
        for metric, figure in group.measure.FIGURES.items():
            gap = difference(
                figure, group.sample, counterpart.sample,
                percent=metric not in NOT_PERCENT, higher_is_better=metric not in LOWER_IS_BETTER,
            )  # fmt: skip
            loss = None if metric in NEITHER else rounded(gap.loss_bound)
            rows.append(
                {
                    **key,
                    "family": group.family,
                    "type": group.kind,
                    "metric": metric,
                    "value": rounded(gap.value),
                    "low": rounded(gap.low),
                    "high": rounded(gap.high),
                    "loss_bound": "" if loss is None else loss,
                    "not_worse": "" if loss is None else str(loss < NOT_WORSE).lower(),
                    "n": int(group.measure.sample_size(group.sample.total)),
                    "pictures": group.sample.filled,
                }
            )
    return rows
