"""Every family of attacks against a model: success rates with 95 % intervals, and the worst examples.

A rate is resampled by picture, as all figures are. C pictures with a case, R resamples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import ModuleType

import numpy as np

from sightline.core import progress, registry
from sightline.core.params.red_team_params import RedTeamParams
from sightline.core.runtime import derive_seed
from sightline.evaluate.bootstrap import Sample, cluster, interval, resamples, sample
from sightline.evaluate.metrics.ratios import Counts
from sightline.evaluate.red_team import red_team_figures
from sightline.evaluate.red_team.attacked_model import AttackedModel
from sightline.evaluate.red_team.cases import Case, Given, Untestable
from sightline.evaluate.red_team.material import Material
from sightline.evaluate.red_team.red_team_figures import (
    Control,
    FamilyFigures,
    PerPicture,
    Rate,
    RedTeamFigures,
)
from sightline.evaluate.scoring import rounded

FAMILIES = "evaluate/red_team/families"  # the folder is the registry
AHEAD = 64  # cases whose original question is asked at once
EXAMPLES = 3  # of a family, on the page


Judged = tuple[bool, Sequence[Given]]  # whether it is a success, and the answers


@dataclass(frozen=True)
class Example:
    """A case that succeeded: the answers to the original question and to the attack's."""

    case: Case
    before: Given
    after: Sequence[Given]


@dataclass(frozen=True)
class Attacked:
    """What came of a family; `examples`: its surest successes, the surest first."""

    name: str
    figures: FamilyFigures
    examples: list[Example] = field(default_factory=list)


def names() -> list[str]:
    """Every family."""
    return registry.names(FAMILIES)


def run(
    model: AttackedModel, material: Material, effort: RedTeamParams, resamplings: int, families: Sequence[str]
) -> list[Attacked]:
    """Attack the model by these families. Raises ValueError for a name that is none."""
    modules = [(name, registry.load(FAMILIES, name)) for name in families]
    return [
        attack(model, material, name, family, effort, resamplings)
        for name, family in progress.track(modules, "attacking")
    ]


def figures(
    model: AttackedModel, material: Material, effort: RedTeamParams, attacked: Sequence[Attacked]
) -> RedTeamFigures:
    """What red_team.json holds."""
    return RedTeamFigures(
        version=1, split=material.split.name, bundle=model.digest, settings=effort.model_dump(),
        families={family.name: family.figures for family in attacked},
    )  # fmt: skip


def attack(
    model: AttackedModel, material: Material, name: str, family: ModuleType, effort: RedTeamParams,
    resamplings: int,
) -> Attacked:  # fmt: skip
    """One family; not tested, with the reason, where this model or this data does not allow it."""
    about = {"attack": family.ATTACK, "success": family.SUCCESS}
    try:
        tried = list(islice(_counted(model, material, name, family, effort), effort.items))
        if not tried:
            unanswered = ", or the model answers none that fits right" if family.RIGHT_FIRST else ""
            raise Untestable(f"no question of this data fits{unanswered}")
    except Untestable as reason:
        return Attacked(name, FamilyFigures(**about, not_tested=str(reason)))
    cases, befores = [case for case, _ in tried], [before for _, before in tried]
    if hasattr(family, "search"):
        cases = family.search(model, material, cases, effort)
    after, *controls = (
        _judged(model, material, family, cases, part) for part in range(1 + len(family.CONTROLS))
    )
    pictures = sorted({case.original.picture for case in cases})
    cluster_of = [pictures.index(case.original.picture) for case in cases]
    weights_RC = resamples(len(pictures), resamplings, rng_of(effort.seed, name, "resamples"))
    counts = _counts(after, cluster_of)
    measured = FamilyFigures(
        **about,
        n=len(cases),
        pictures=len(pictures),
        success_rate=_rate(sample(counts, weights_RC)),
        controls=[
            Control(name=label, what=what, rate=_rate(sample(_counts(judged, cluster_of), weights_RC)))
            for (label, what), judged in zip(family.CONTROLS.items(), controls, strict=True)
        ],
        per_picture=PerPicture(
            pictures=[red_team_figures.picture_hash(material, picture) for picture in pictures],
            tried=counts["tried"].astype(int).tolist(),
            succeeded=counts["succeeded"].astype(int).tolist(),
        ),
    )  # fmt: skip
    won = [
        Example(case, before, given)
        for case, before, (success, given) in zip(cases, befores, after, strict=True) if success
    ]  # fmt: skip
    won.sort(key=lambda example: -min(given.confidence for given in example.after))
    return Attacked(name, measured, won[:EXAMPLES])


def rng_of(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, "red_team", *names))


def _counted(
    model: AttackedModel, material: Material, name: str, family: ModuleType, effort: RedTeamParams
) -> Iterator[tuple[Case, Given]]:
    """The cases that count, each with the answer to its original question. Raises Untestable."""
    model.require_answers()
    if family.JUDGES_SURE:
        model.require_sure()
    drawn = family.cases(material, rng_of(effort.seed, name))
    while ahead := list(islice(drawn, AHEAD)):
        if getattr(family, "READS_CAPTIONS", False):
            model.require_captions(material, ahead[0].attack[0])
        given = model.answer(material, [case.original for case in ahead], family.JUDGES_SURE)
        for case, before in zip(ahead, given, strict=True):
            if case.original.is_right(before) or not family.RIGHT_FIRST:
                yield case, before


def _judged(
    model: AttackedModel, material: Material, family: ModuleType, cases: Sequence[Case], part: int
) -> list[Judged]:
    """(success, answers) of every case's attack (part 0) or of one of its controls."""
    asked = [(case.attack, *case.controls)[part] for case in cases]
    flat = model.answer(material, [one for asks in asked for one in asks], family.JUDGES_SURE)
    answers = iter(flat)
    judged: list[Judged] = []
    for case, asks in zip(cases, asked, strict=True):
        given = [next(answers) for _ in asks]
        judged.append((family.succeeded(case, asks, given), given))
    return judged


def _counts(judged: Sequence[Judged], cluster_of: list[int]) -> Counts:
    """Cases tried and succeeded of every picture, [C] each."""
    rows = [{"tried": 1.0, "succeeded": float(success)} for success, _ in judged]
    return cluster(rows, cluster_of, max(cluster_of) + 1)


def _rate(counts: Sample) -> Rate:
    estimate = interval(red_team_figures.success, counts)
    return Rate(value=rounded(estimate.value), low=rounded(estimate.low), high=rounded(estimate.high))
