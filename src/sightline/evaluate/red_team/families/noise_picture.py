"""A question about noise."""

from collections.abc import Iterator

import numpy as np

from sightline.evaluate.red_team import picture_changes
from sightline.evaluate.red_team.cases import Case, surely_wrong
from sightline.evaluate.red_team.families.blank_picture import emptied
from sightline.evaluate.red_team.material import Material, ask

ATTACK = "The picture is replaced by one whose pixels are drawn by chance."
SUCCESS = "An answer other than no, or a count of 0, is given as sure."
CONTROLS = {"own picture": "the picture that the question is about: a wrong answer is given as sure"}
RIGHT_FIRST, JUDGES_SURE = False, True
succeeded = surely_wrong


def cases(material: Material, rng: np.random.Generator) -> Iterator[Case]:
    for picture, triple in material.questions(rng):
        yield emptied(ask(picture, triple), picture_changes.noise(int(rng.integers(2**32))))
