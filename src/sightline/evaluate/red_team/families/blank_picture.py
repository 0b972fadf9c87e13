"""A question about a picture on which nothing is."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sightline.evaluate.metrics.normalize_answers import normalise
from sightline.evaluate.red_team import picture_changes
from sightline.evaluate.red_team.cases import Ask, Case, Change, surely_wrong
from sightline.evaluate.red_team.material import Material, ask

ATTACK = "The picture is replaced by a grey one."
SUCCESS = "An answer other than no, or a count of 0, is given as sure."
CONTROLS = {"own picture": "the picture that the question is about: a wrong answer is given as sure"}
RIGHT_FIRST, JUDGES_SURE = False, True
succeeded = surely_wrong


def cases(material: Material, rng: np.random.Generator) -> Iterator[Case]:
    for picture, triple in material.questions(rng):
        yield emptied(ask(picture, triple), picture_changes.blank)


def emptied(original: Ask, change: Change) -> Case:
    """The question about a picture that shows nothing, where only no and 0 are right."""
    truths = {normalise(truth) for truth in original.truths}
    nothing = ("no",) if truths & {"yes", "no"} else ("0",) if all(map(str.isdecimal, truths)) else ()
    return Case(original, (replace(original, truths=nothing, change=change),), ((original,),))
