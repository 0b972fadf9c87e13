"""From answers and ranks to figures: groups of counts per picture, then tidy rows with intervals.

A group is what one variant, with SPIN on or off, got on one type of question of one split. Its figures are
functions of the counts, so values, intervals and paired differences all come from the same numbers.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from sightline.evaluate import chair, pope, retrieval, swapped, vqa
from sightline.evaluate.chair import Lexicon
from sightline.evaluate.intervals import cluster, difference, interval, summed
from sightline.evaluate.predict import Retrieved
from sightline.evaluate.ratios import Counts
from sightline.evaluate.splits import Split

LOWER_IS_BETTER = {"chair_s", "chair_i", "false_positive_rate", "invalid"}
NEITHER = {"words", "yes_rate"}  # no direction is a loss
NOT_PERCENT = {"words", "mcc"}
NOT_WORSE = 1.0  # points: the bound below which a loss counts as none


@dataclass(frozen=True)
class Group:
    """Counts per picture [C] of one family (vqa, pope, chair, retrieval) and type."""

    family: str
    kind: str
    measure: ModuleType
    counts_C: Counts


def rounded(value: float) -> float:
    """Three decimals; no minus zero."""
    return round(value, 3) + 0.0


def of_answers(split: Split, texts: list[str], lexicon: Lexicon) -> list[Group]:
    """Groups of every question type of a split, `vqa` also over all short questions together."""
    by_type: dict[str, list[int]] = {}
    for index, triple in enumerate(split.triples):
        by_type.setdefault(triple["type"], []).append(index)
    short = [kind for kind in sorted(by_type) if kind != "describe" and not kind.startswith("pope_")]
    if short:
        by_type["all"] = [index for kind in short for index in by_type[kind]]
    groups = []
    for kind, indices in sorted(by_type.items()):
        pictures = [split.picture_of[index] for index in indices]
        if kind == "describe":
            tallies = [
                chair.tally(texts[index], split.present[split.picture_of[index]], lexicon)
                for index in indices
            ]
            family, measure, name = "chair", chair, "scene truth" if split.true_objects else "caption-CHAIR"
        else:
            family, name = ("pope", kind.removeprefix("pope_")) if kind.startswith("pope_") else ("vqa", kind)
            measure = pope if family == "pope" else vqa
            tallies = [measure.tally(split.triples[index]["answer"], texts[index]) for index in indices]
        groups.append(Group(family, name, measure, cluster(tallies, pictures, len(split.lines))))
    return groups


def of_retrieval(found: Retrieved, clusters: int) -> list[Group]:
    """Groups of both directions, re-ranked or not, and of the swapped-kind test."""
    groups = [
        Group(
            "retrieval",
            kind,
            retrieval,
            cluster([retrieval.tally(rank) for rank in ranks], list(found.pictures[kind]), clusters),
        )
        for kind, ranks in found.ranks.items()
    ]
    if found.swapped:
        groups.append(
            Group(
                "retrieval",
                "swapped_kind",
                swapped,
                cluster(
                    [swapped.tally(own, other) for _, own, other in found.swapped],
                    [picture for picture, _, _ in found.swapped],
                    clusters,
                ),
            )
        )
    return groups


def figures(group: Group, weights_RC: np.ndarray, key: dict[str, str], exact: bool = False) -> list[dict]:
    """One tidy row per figure of the group; `key` holds split, variant and spin. An `exact` figure, like an
    oracle's, has no interval."""
    asked = int(group.measure.asked(summed(group.counts_C)))
    rows = []
    for metric, figure in group.measure.FIGURES.items():
        found = interval(figure, group.counts_C, weights_RC, percent=metric not in NOT_PERCENT)
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


def paired(
    after: list[Group], before: list[Group], weights_RC: np.ndarray, key: dict[str, str]
) -> list[dict]:
    """Differences of every figure that both have, on the same pictures; `key` holds split, comparison and
    of what."""
    earlier = {(group.family, group.kind): group for group in before}
    rows = []
    for group in after:
        twin = earlier[group.family, group.kind]
        for metric, figure in group.measure.FIGURES.items():
            found = difference(
                figure, group.counts_C, twin.counts_C, weights_RC,
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
                    "n": int(group.measure.asked(summed(group.counts_C))),
                }
            )
    return rows
