"""Two audits compared on the questions that both asked about the same pictures: paired differences with 95 %
intervals over pictures, and p values corrected for testing all of them (Holm 1979).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sightline.audit import audit_figures
from sightline.audit.answerer import Identity, Reply
from sightline.audit.audit_figures import (
    CALIBRATION,
    CONSISTENT,
    DESCRIPTIONS,
    EXISTENCE,
    PRIOR,
    PROMPT,
    REFUSALS,
    SHORT,
    Answers,
)
from sightline.audit.audit_items import Asked, Question
from sightline.audit.audit_report import Record
from sightline.core.runtime import derive_seed
from sightline.evaluate import scoring
from sightline.evaluate.bootstrap import difference, holm, p_value, resamples

RESAMPLES = 4000  # the smallest p is 2 / 4001: small enough to be left of Holm's factor for some 25 tests
ALPHA = 0.05
TESTED = {
    (EXISTENCE, "accuracy"), (DESCRIPTIONS, "chair_i"), (DESCRIPTIONS, "recall"), (SHORT, "accuracy"),
    (CONSISTENT, "agreement"), (PRIOR, "still_yes"), (PRIOR, "yes"), (PRIOR, "followed"),
    (PROMPT, "agreement"), (CALIBRATION, "brier"), (REFUSALS, "refused"),
}  # fmt: skip
LOWER_IS_BETTER = {"chair_i", "still_yes", "yes", "brier", "refused"}


class Change(Record):
    """One figure before and after, percent; the interval is that of the difference."""

    part: str
    kind: str
    metric: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    verdict: Literal["better", "worse", "no difference shown"]
    n: int
    pictures: int


class AuditDifference(Record):
    """difference.json."""

    version: Literal[1]
    before: Identity
    after: Identity
    pictures: int
    questions: int
    changes: list[Change]


@dataclass(frozen=True)
class Finished:
    """A finished audit."""

    asked: Asked
    replies: Mapping[str, Reply]
    model: Identity


def compare(after: Finished, before: Finished) -> AuditDifference:
    """`after` minus `before`. Raises ValueError where they share no question."""
    kept = [_by_identity(one.asked) for one in (after, before)]
    common = [identity for identity in kept[0] if identity in kept[1]]
    if not common:
        raise ValueError(
            "the two audits share no question about the same picture: audit both with the same --data and "
            "--seed"
        )
    pictures = list(dict.fromkeys(identity[0] for identity in common))
    rng = np.random.default_rng(derive_seed(0, "audit", "difference"))
    weights_RC = resamples(len(pictures), RESAMPLES, rng)
    groups = [
        {
            (group.family, group.kind): group
            for group in audit_figures.groups(
                Answers(one.asked, one.replies, [index[identity] for identity in common], pictures),
                weights_RC,
            )
        }
        for one, index in zip((after, before), kept, strict=True)
    ]
    tested = [
        (key, metric, figure)
        for key, group in groups[0].items()
        if key in groups[1]
        for metric, figure in group.measure.FIGURES.items()
        if (key[0], metric) in TESTED
    ]
    pairs = [(figure, groups[0][key].sample, groups[1][key].sample) for key, _, figure in tested]
    p_values = [p_value(*pair) for pair in pairs]
    changes = []
    for (key, metric, figure), (_, new, old), p, corrected in zip(
        tested, pairs, p_values, holm(p_values), strict=True
    ):
        gap = difference(figure, new, old, higher_is_better=metric not in LOWER_IS_BETTER)
        gained = (gap.value > 0) == (metric not in LOWER_IS_BETTER)
        shown: Literal["better", "worse"] = "better" if gained else "worse"
        changes.append(
            Change(
                part=key[0], kind=key[1], metric=metric, before=scoring.rounded(float(figure(old.total))),
                after=scoring.rounded(float(figure(new.total))), difference=scoring.rounded(gap.value),
                low=scoring.rounded(gap.low), high=scoring.rounded(gap.high), p=round(p, 5),
                p_holm=round(corrected, 5), verdict=shown if corrected < ALPHA else "no difference shown",
                n=int(groups[0][key].measure.sample_size(new.total)), pictures=new.filled,
            )
        )  # fmt: skip
    return AuditDifference(
        version=1, before=before.model, after=after.model, pictures=len(pictures), questions=len(common),
        changes=changes,
    )  # fmt: skip


Named = tuple[str, str, str, str, str, tuple[str, ...]]


def _by_identity(asked: Asked) -> dict[Named, int]:
    """What a question is, whatever else its audit asks, and its index."""
    return {_identity(asked, question): index for index, question in enumerate(asked.questions)}


def _identity(asked: Asked, question: Question) -> Named:
    about = asked.pictures[question.about]
    return about, question.shown, question.probe, question.type, question.text, question.truths
