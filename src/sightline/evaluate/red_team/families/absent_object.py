"""Questions for things that are not in the picture."""

from collections.abc import Iterator

import numpy as np

from sightline.evaluate.red_team.cases import Case, Untestable, wrong
from sightline.evaluate.red_team.material import Material, ask, is_existence

ATTACK = "A thing that is not in the picture is asked for."
SUCCESS = "The answer is not no."
CONTROLS = {"present things": "a thing that is there is asked for, and the answer is not yes"}
RIGHT_FIRST, JUDGES_SURE = False, False
succeeded = wrong


def cases(material: Material, rng: np.random.Generator) -> Iterator[Case]:
    if not any(is_existence(triple) for triple in material.split.triples):
        raise Untestable("this data has no question whether a thing is there")
    for picture, triple in material.questions(rng, lambda t: is_existence(t) and t["answer"] == "no"):
        there = material.others(picture, triple, lambda t: is_existence(t) and t["answer"] == "yes")
        if there:
            present = there[rng.integers(len(there))]
            original = ask(picture, triple)
            yield Case(original, (original,), ((ask(picture, present),),))
