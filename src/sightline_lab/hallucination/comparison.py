"""What the comparison declares beforehand: its figures, the rule that chooses on validation, the verdicts.

Declared figures (primaries): CHAIR_i and recall of objects, POPE-adversarial accuracy and false-positive rate
under shift; CHAIR_i and accuracy of short answers in distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sightline.evaluate.bootstrap import LOWER_IS_BETTER, Sample, difference, holm, p_value
from sightline.evaluate.metrics.ratios import Counts
from sightline.evaluate.scoring import NOT_WORSE, Group, rounded

SHIFTED, USUAL = "shift", "usual"  # roles; data without a shifted split uses the usual one for both
PRIMARIES = (
    (SHIFTED, "chair", None, "chair_i"),
    (SHIFTED, "chair", None, "recall"),
    (SHIFTED, "pope", "adversarial", "accuracy"),
    (SHIFTED, "pope", "adversarial", "false_positive_rate"),
    (USUAL, "chair", None, "chair_i"),
    (USUAL, "vqa", "all", "accuracy"),
)
RULE = ((SHIFTED, "chair", "recall"), (SHIFTED, "pope", "accuracy"), (USUAL, "vqa", "accuracy"))
ALLOWED_LOSS = 1.0  # points of each figure of RULE
SIGNIFICANT = 0.05
GOAL_RATIO, GOAL_RECALL = 0.8, 1.0  # of greedy's CHAIR_i; points of recall

Groups = dict[tuple[str, str], list[Group]]  # (name of a decoding config, role of a split) -> its groups


def group(groups: list[Group], family: str, kind: str | None) -> Group | None:
    """The group of a family; kind None: whichever it has (descriptions have one, named after its truth)."""
    matches = [one for one in groups if one.family == family and kind in (None, one.kind)]
    return matches[0] if matches else None


def pool(models: list[list[Group]]) -> list[Group]:
    """The groups of several models on the same pictures and resamples, their counts added."""
    return [
        replace(
            same[0],
            sample=Sample(
                _sum([one.sample.total for one in same]),
                _sum([one.sample.resampled for one in same]),
                same[0].sample.filled,
            ),
        )
        for same in zip(*models, strict=True)
    ]


def total(one: Group) -> Group:
    """A group without its resamples, which are most of its size."""
    return replace(one, sample=replace(one.sample, resampled={}))


def _sum(counts: list[Counts]) -> Counts:
    return {name: sum(one[name] for one in counts) for name in counts[0]}


def values(groups: Groups, name: str) -> dict[str, float]:
    """Every primary of one config, by '<role> <family> <figure>'; those without questions are left out."""
    result = {}
    for role, family, kind, metric in PRIMARIES:
        one = group(groups.get((name, role), []), family, kind)
        if one is not None:
            result[f"{role} {family} {metric}"] = rounded(
                float(one.measure.FIGURES[metric](one.sample.total))
            )
    return result


def excess(figures: dict[str, float], greedy: dict[str, float]) -> float:
    """Points by which the figures of RULE lose more than ALLOWED_LOSS, summed; 0: allowed."""
    keys = [f"{role} {family} {metric}" for role, family, metric in RULE]
    return sum(max(0.0, greedy[key] - figures[key] - ALLOWED_LOSS) for key in keys if key in figures)


def choose(tried: list[dict[str, float]], greedy: dict[str, float]) -> int:
    """Index of the chosen config: the lowest CHAIR_i under shift among those that lose at most ALLOWED_LOSS
    points of each figure of RULE, the earlier of equals; where all lose more, the one that loses least."""
    chair = f"{SHIFTED} chair chair_i"
    order = [(excess(figures, greedy), figures[chair], index) for index, figures in enumerate(tried)]
    return min(order)[2]


@dataclass(frozen=True)
class Paired:
    """`after` minus `before` for one primary; by_model: of each model alone, where there are several."""

    figure: str
    role: str
    before: float
    after: float
    value: float
    low: float
    high: float
    loss_bound: float
    p: float
    lower_is_better: bool
    by_model: tuple[float, ...] = ()

    def asdict(self) -> dict[str, Any]:
        return {
            name: rounded(v) if isinstance(v, float) and name != "p" else v for name, v in vars(self).items()
        } | {"by_model": [rounded(value) for value in self.by_model]}


def paired_differences(groups: Groups, name: str, base: str, single: Sequence[Groups] = ()) -> list[Paired]:
    """The primaries of one config minus those of another, on the same pictures; single: groups of each model.
    Data without a shifted split has each of its figures once."""
    tests, seen = [], set()
    for role, family, kind, metric in PRIMARIES:
        after, before = (group(groups.get((label, role), []), family, kind) for label in (name, base))
        if after is None or before is None or (id(after), metric) in seen:
            continue
        seen.add((id(after), metric))
        figure, lower = after.measure.FIGURES[metric], metric in LOWER_IS_BETTER
        gap = difference(figure, after.sample, before.sample, higher_is_better=not lower)
        tests.append(
            Paired(
                f"{role} {family} {metric}", role, float(figure(before.sample.total)),
                float(figure(after.sample.total)), gap.value, gap.low, gap.high, gap.loss_bound,
                p_value(figure, after.sample, before.sample), lower,
                tuple(_gap(one, role, family, kind, metric, name, base) for one in single),
            )
        )  # fmt: skip
    return tests


def _gap(
    groups: Groups, role: str, family: str, kind: str | None, metric: str, name: str, base: str
) -> float:
    after, before = (group(groups[label, role], family, kind) for label in (name, base))
    figure = after.measure.FIGURES[metric]
    return float(figure(after.sample.total) - figure(before.sample.total))


def corrected(by_idea: dict[str, list[Paired]]) -> dict[str, list[float]]:
    """Holm-corrected p of every idea's primaries, all ideas taken together: the more ideas are tried, the
    smaller a raw p must be."""
    flat = iter(holm([test.p for tests in by_idea.values() for test in tests]))
    return {name: [next(flat) for _ in tests] for name, tests in by_idea.items()}


def verdict(tests: list[Paired], p_corrected: list[float]) -> str:
    """The verdict on an idea from all its primaries.

    Significant: p below SIGNIFICANT, and the same sign in every model.
    helps: something significantly better, nothing significantly worse, every loss bounded below NOT_WORSE
    points; trades: something better, something else worse or not bounded; hurts: something worse, nothing
    better; no difference: nothing significant and every loss bounded; unclear: nothing significant, but some
    loss of NOT_WORSE points or more cannot be ruled out.
    """
    significant = [
        test
        for test, p in zip(tests, p_corrected, strict=True)
        if p < SIGNIFICANT and test.value != 0 and all(gap * test.value > 0 for gap in test.by_model)
    ]
    better = [test for test in significant if (test.value < 0) == test.lower_is_better]
    bounded = all(test.loss_bound < NOT_WORSE for test in tests)
    if better:
        return "helps" if bounded and len(better) == len(significant) else "trades"
    if significant:
        return "hurts"
    return "no difference" if bounded else "unclear"


def goal(groups: Groups, name: str, random: str | None) -> dict[str, Any]:
    """Whether a config reaches the research goal under shift: CHAIR_i at most GOAL_RATIO of greedy's, recall
    within GOAL_RECALL points, and CHAIR_i below the random control's with an interval that leaves out 0."""
    by_figure = {test.figure: test for test in paired_differences(groups, name, "greedy")}
    chair, recall = by_figure[f"{SHIFTED} chair chair_i"], by_figure[f"{SHIFTED} chair recall"]
    ratio = chair.after / chair.before if chair.before else 1.0
    result = {"chair_i_ratio": rounded(ratio), "recall_difference": rounded(recall.value)}
    reached = ratio <= GOAL_RATIO and recall.value >= -GOAL_RECALL
    if random is not None:
        gap = next(one for one in paired_differences(groups, name, random) if one.figure == chair.figure)
        result["chair_i_minus_random"] = [rounded(x) for x in (gap.value, gap.low, gap.high)]
        reached = reached and gap.high < 0
    return {**result, "reached": bool(reached)}
