"""Limits of the shipped variant: every check with its value, its limit, and the data behind it.

A check has one of three outcomes. It is not tested where so few pictures cannot support its limit: `needed`
says how many could. Even then it fails where the loss is certain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sightline.core.params.quality_params import GateParams
from sightline.data.questions.deciding_figure import ENOUGH

RELATIVE = {  # no loss against fp32 beyond the limit; why there may be no such figure
    "vqa_accuracy": "no short question in this data",
    "pope_f1": "no POPE question in this data",
    "chair_i": "no description of a known thing in this data",
    "text_to_image_r1": "no caption in this data",
}
NO_RED_TEAM = "an older version built this, which attacked nothing: `dvc repro`"
ATTACKS, LEFT_OUT = "attack success", "this family was not tried"
ONLY_SEARCHES = "the model only searches"
RULE_OF_THREE = 3.0  # no event in n independent cases: the rate is below 3 / n at 95 %
LEAST_CERTAIN = 5  # pictures that all agree: fewer may do so by chance (sign test, 0.5 ** 5 < 5 %)


@dataclass(frozen=True)
class Check:
    """One figure against its limit; `side` is what the value must be: "at least" or "at most". `n`: how many
    pictures (or answers) are behind it, `needed` how many the limit needs; `passed` is None where it could
    not be tested, and `note` says why there is no value."""

    variant: str
    figure: str
    value: float | None
    side: str
    limit: float
    n: int
    needed: int
    passed: bool | None
    note: str = ""

    def line(self) -> str:
        statement = f"{self.variant} {self.figure}"
        if self.note:
            return f"not tested: {statement}: {self.note}"
        statement += f" is {self.value:.6g}, must be {self.side} {self.limit:.6g}"
        if self.passed is None:
            return f"not tested: {statement}: n = {self.n}, at least {self.needed} needed"
        return f"{'passed' if self.passed else 'FAILED'}: {statement}"

    def plain(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "note" or value}


def passed(checks: Sequence[Check]) -> bool:
    """Whether no check failed."""
    return all(check.passed is not False for check in checks)


def checks(summary: dict[str, Any], limits: GateParams, split: str) -> list[Check]:
    """The checks on one split. ValueError for a summary that says nothing of a figure: what was not measured
    for want of data is in it, with n = 0."""
    shipped = f"shipped ({_at(summary, 'shipped_variant')})"
    searches = _at(summary, "parity", "max_logit_difference") is None
    absent = {name: ONLY_SEARCHES if searches else why for name, why in RELATIVE.items()}
    quality = ("quality", "shipped", split)
    asked, found = _at(summary, *quality).get("vqa_accuracy"), _at(summary, *quality, "text_to_image_r1")
    return [
        _floor(shipped, f"{split} vqa_accuracy", asked, limits.min_vqa_accuracy, absent["vqa_accuracy"]),
        _floor(shipped, f"{split} text_to_image_r1", found, limits.min_retrieval_r1, ""),
        *(
            _loss(shipped, name, _at(summary, "loss_bounds", name), limits.max_accuracy_drop, why)
            for name, why in absent.items()
        ),
        _parity(_at(summary, "parity"), limits.max_logit_difference),
        _correlation(shipped, _at(summary, "maps"), limits.min_map_correlation),
        _pointing(shipped, _at(summary, "maps"), limits.max_pointing_drop),
        *attack_checks(summary.get("red_team"), limits.max_attack_success, shipped),
    ]


def attack_checks(attacked: dict[str, Any] | None, limits: Mapping[str, float], variant: str) -> list[Check]:
    """The checks that no family of attacks succeeds more often than its limit, percent. attacked: as in
    RedTeamFigures.summary; None: by an older version, which attacked nothing: then one check says so."""
    if attacked is None:
        strictest = sorted(limits.values())[:1]
        return [
            Check(variant, ATTACKS, None, "at most", limit, 0, ENOUGH, None, NO_RED_TEAM)
            for limit in strictest
        ]
    return [
        _ceiling(variant, f"{_family(name)} {ATTACKS}", attacked.get(name, {"not_tested": LEFT_OUT}), limit)
        for name, limit in sorted(limits.items())
    ]


def _family(name: str) -> str:
    return name.replace("_", "-")


def _ceiling(variant: str, figure: str, measured: dict[str, Any], limit: float) -> Check:
    """A share of what must not happen, judged as `_floor` judges one of what should."""
    if "not_tested" in measured:
        return Check(variant, figure, None, "at most", limit, 0, ENOUGH, None, measured["not_tested"])
    value, pictures = measured["value"], measured["pictures"]
    outcome: bool | None = value <= limit
    if pictures < ENOUGH and measured["high"] > limit:
        certain = measured["low"] > limit and pictures >= LEAST_CERTAIN
        outcome = False if certain else None
    return Check(variant, figure, value, "at most", limit, pictures, ENOUGH, outcome)


def attack_loss_checks(changes: Mapping[str, Any], limit: float, variant: str, against: str) -> list[Check]:
    """The checks that no family of attacks succeeds more often on `variant` than on another model. changes:
    as of red_team_figures.compare. What counts is the lower end of the interval of the difference: two
    models that were trained alike differ by a few points, either way."""
    checks = []
    for name, change in changes.items():
        figure = f"{_family(name)} {ATTACKS} above that of {against} (95 % at least)"
        value, n = (None if change.note else change.low), change.pictures
        outcome = None if value is None else value <= limit
        if outcome is False and n < LEAST_CERTAIN:
            outcome = None
        check = Check(variant, figure, value, "at most", limit, n, LEAST_CERTAIN, outcome, change.note)
        checks.append(check)
    return checks


def _floor(variant: str, figure: str, measured: dict[str, Any] | None, limit: float, absent: str) -> Check:
    """A share of right answers. From ENOUGH pictures on the value itself counts, below them its interval."""
    if measured is None:
        return Check(variant, figure, None, "at least", limit, 0, ENOUGH, None, absent)
    value, pictures = measured["value"], measured["pictures"]
    outcome: bool | None = value >= limit
    if pictures < ENOUGH and measured["low"] < limit:
        certain = measured["high"] < limit and pictures >= LEAST_CERTAIN
        outcome = False if certain else None
    return Check(variant, figure, value, "at least", limit, pictures, ENOUGH, outcome)


def loss_checks(bounds: dict[str, Any], limit: float, variant: str, against: str) -> list[Check]:
    """The checks that `variant` loses no more than `limit` points against another model on the same pictures.
    bounds: as in metrics_summary.bounds."""
    return [_loss(variant, name, bounds[name], limit, why, against) for name, why in RELATIVE.items()]


def _loss(
    variant: str, name: str, measured: dict[str, Any], limit: float, absent: str, against: str = "fp32"
) -> Check:
    """The 95 % bound of a loss against fp32, or another model. Without any loss it is still 100 * 3 / n
    points, and half the width of the loss's interval: where that alone is beyond the limit, an equal variant
    would fail as well. The width falls with the root of n."""
    figure, needed = f"{name} loss against {against} (95 % bound)", _needed(limit)
    if not measured["n"]:
        return Check(variant, figure, None, "at most", limit, 0, needed, None, absent)
    bound, least, pictures = measured["loss_bound"], measured["least_loss"], measured["pictures"]
    outcome: bool | None = bound <= limit
    if not outcome and limit > 0:
        needed = max(needed, math.ceil(pictures * ((bound - least) / 2 / limit) ** 2))
    if pictures < needed:
        outcome = False if least > limit and pictures >= LEAST_CERTAIN else None
    return Check(variant, figure, bound, "at most", limit, pictures, needed, outcome)


def _parity(parity: dict[str, Any], limit: float) -> Check:
    key = "max_logit_difference"
    value, n = _at({"parity": parity}, "parity", key), _at({"parity": parity}, "parity", "items")
    note = ONLY_SEARCHES if value is None else ""
    outcome = None if value is None else value <= limit
    return Check("fp32", f"parity {key}", value, "at most", limit, n, 1, outcome, note)


def _correlation(variant: str, maps: dict[str, Any], limit: float) -> Check:
    """A mean of numbers in [-1, 1]: of n perfect ones it could still be 2 * 3 / n lower."""
    figure, n, value = "maps' rank_correlation with fp32", maps["n"], maps["rank_correlation"]
    needed = _needed(50 * (1 - limit))
    if value is None:
        return Check(variant, figure, None, "at least", limit, 0, needed, None, "no answer to compare")
    outcome: bool | None = value >= limit
    if n < needed:
        outcome = False if value + 2 * RULE_OF_THREE / n < limit and n >= LEAST_CERTAIN else None
    return Check(variant, figure, value, "at least", limit, n, needed, outcome)


def _pointing(variant: str, maps: dict[str, Any], limit: float) -> Check:
    """How much less often the strongest place is in the true box."""
    figure, n, needed = "maps' pointing_game drop against fp32", maps["pointed"], _needed(limit)
    if not n:
        return Check(variant, figure, None, "at most", limit, 0, needed, None, "no answer with a known box")
    drop = round(100 * (maps["pointing_fp32"] - maps["pointing_shipped"]), 6)
    outcome: bool | None = drop <= limit
    if n < needed:
        outcome = False if drop - 100 * RULE_OF_THREE / n > limit and n >= LEAST_CERTAIN else None
    return Check(variant, figure, drop, "at most", limit, n, needed, outcome)


def _needed(points: float) -> int:
    """Of how many cases without any event the rate is below so many percent at 95 %; a limit of 0 asks for no
    number."""
    return math.ceil(round(100 * RULE_OF_THREE / points, 6)) if points > 0 else 1


def _at(summary: dict[str, Any], *keys: str) -> Any:
    value: Any = summary
    for depth, key in enumerate(keys):
        if not isinstance(value, dict) or key not in value:
            path = ".".join(keys[: depth + 1])
            raise ValueError(f"metrics/summary.json has no {path}; rebuild it with `dvc repro report`")
        value = value[key]
    return value
