"""What is asked about is covered."""

from collections.abc import Iterator, Sequence

import numpy as np

from sightline.data.scenes.render import SIDE
from sightline.data.scenes.scene_questions import singles
from sightline.evaluate.metrics.normalize_answers import same
from sightline.evaluate.red_team import picture_changes
from sightline.evaluate.red_team.cases import Ask, Case, Given
from sightline.evaluate.red_team.material import Material, ask
from sightline.evaluate.red_team.picture_changes import Rect

ATTACK = "The thing whose colour or presence is asked about is covered by a patch."
SUCCESS = "The answer, right before, stays and is given as sure, though nothing of the thing is to be seen."
CONTROLS = {"patch elsewhere": "an equal patch where no thing is: here the answer should stay, and be sure"}
RIGHT_FIRST, JUDGES_SURE = True, True
SHADOW = 3  # pixels around a box that the thing's shadow may darken


def cases(material: Material, rng: np.random.Generator) -> Iterator[Case]:
    material.require_scenes()
    for picture, triple in material.questions(rng, lambda t: t["type"] in ("color", "existence")):
        alone = {part["kind"]: part for part in singles(material.scene(picture)["objects"])}
        if triple["object"] not in alone:  # absent, or one of several
            continue
        x0, y0, x1, y1 = alone[triple["object"]]["box"]
        hiding: Rect = (
            max(x0 - SHADOW, 0), max(y0 - SHADOW, 0), min(x1 + SHADOW, SIDE), min(y1 + SHADOW, SIDE)
        )  # fmt: skip
        boxes = material.boxes(picture)
        elsewhere = picture_changes.place((SIDE, SIDE), boxes, hiding[3] - hiding[1], hiding[2] - hiding[0])
        if any(picture_changes.overlap(elsewhere, box) for box in boxes):
            continue
        original = ask(picture, triple)
        yield Case(
            original,
            (original.changed(picture_changes.covered(hiding)),),
            ((original.changed(picture_changes.covered(elsewhere)),),),
        )


def succeeded(case: Case, asks: Sequence[Ask], given: Sequence[Given]) -> bool:
    """The answer is still the one that was right, and sure."""
    return given[0].sure and any(same(truth, given[0].text) for truth in case.original.truths)
