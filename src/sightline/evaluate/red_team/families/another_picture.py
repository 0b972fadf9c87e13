"""The same question about another picture."""

from collections.abc import Iterator

import numpy as np

from sightline.evaluate.metrics.normalize_answers import normalise
from sightline.evaluate.metrics.vqa_accuracy import truths
from sightline.evaluate.red_team.cases import Case, wrong
from sightline.evaluate.red_team.material import Material, ask

ATTACK = "The same question is asked about another picture, for which another answer is right."
SUCCESS = "The answer, right for the first picture, is wrong for the other one."
CONTROLS = {"same answer": "another picture for which the same answer is right"}
RIGHT_FIRST, JUDGES_SURE = True, False
succeeded = wrong


def cases(material: Material, rng: np.random.Generator) -> Iterator[Case]:
    for picture, triple in material.questions(rng):
        right = _answers(triple)
        beside = [pair for pair in material.asked_alike[triple["question"]] if pair[0] != picture]
        differing = [pair for pair in beside if not right & _answers(pair[1])]
        agreeing = [pair for pair in beside if right <= _answers(pair[1])]
        if differing and agreeing:
            attack = ask(*differing[rng.integers(len(differing))])
            yield Case(ask(picture, triple), (attack,), ((ask(*agreeing[rng.integers(len(agreeing))]),),))


def _answers(triple: dict) -> set[str]:
    return {normalise(truth) for truth in truths(triple)}
