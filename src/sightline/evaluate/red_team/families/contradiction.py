"""Two questions of which at most one can be answered with yes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sightline.data.scenes.scene_questions import singles
from sightline.evaluate.red_team.cases import Ask, Case, all_affirmed
from sightline.evaluate.red_team.material import IS_THERE, Material, ask, is_existence

ATTACK = "A question and its negation are asked, or whether A is left of B and whether B is left of A."
SUCCESS = "Both questions are answered with yes."
CONTROLS = {"two false questions": "two things that are not there are asked for, and both are affirmed"}
RIGHT_FIRST, JUDGES_SURE = False, False
succeeded = all_affirmed


def cases(material: Material, rng: np.random.Generator) -> Iterator[Case]:
    material.require_english()
    for turn, (picture, triple) in enumerate(material.questions(rng, is_existence)):
        match = IS_THERE.fullmatch(triple["question"])
        absent = material.others(picture, triple, lambda t: is_existence(t) and t["answer"] == "no")
        if match is None or len(absent) < 2:
            continue
        first, second = (absent[index] for index in rng.choice(len(absent), 2, replace=False))
        original = ask(picture, triple)
        denied = "no" if triple["answer"] == "yes" else "yes"
        pair = (original, replace(original, question=f"Is there no {match['thing']}?", truths=(denied,)))
        if turn % 2:  # every other time
            pair = _sides(material, picture, rng) or pair
        yield Case(pair[0], pair, ((ask(picture, first), ask(picture, second)),))


def _sides(material: Material, picture: int, rng: np.random.Generator) -> tuple[Ask, Ask] | None:
    """Two things of a scene, asked in both orders; None where it has no two that can be told apart."""
    if not material.split.true_objects:
        return None
    alone = singles(material.scene(picture)["objects"])
    if len(alone) < 2:
        return None
    a, b = (alone[index] for index in rng.choice(len(alone), 2, replace=False))
    left = a["box"][0] + a["box"][2] < b["box"][0] + b["box"][2]
    return (
        Ask(picture, f"Is the {a['kind']} left of the {b['kind']}?", ("yes" if left else "no",)),
        Ask(picture, f"Is the {b['kind']} left of the {a['kind']}?", ("no" if left else "yes",)),
    )
