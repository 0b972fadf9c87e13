"""Left and right exchanged."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sightline.data.scenes.render import SIDE
from sightline.data.scenes.scene_oracle import oracle
from sightline.evaluate.metrics.normalize_answers import words
from sightline.evaluate.red_team import picture_changes
from sightline.evaluate.red_team.cases import Case, wrong
from sightline.evaluate.red_team.material import Material, ask

ATTACK = "The picture is mirrored: answers left and right must change places, all others must stay."
SUCCESS = "The answer, right before, is wrong for the mirrored picture."
CONTROLS = {"moved picture": "the picture moved by two pixels instead, which changes no right answer"}
RIGHT_FIRST, JUDGES_SURE = True, False
MOVED = 2  # pixels
SIDED = frozenset({"left", "right", "links", "rechts", "linke", "linken", "rechte", "rechten"})
succeeded = wrong


def cases(material: Material, rng: np.random.Generator) -> Iterator[Case]:
    for picture, triple in material.questions(rng):
        original = ask(picture, triple)
        if material.split.true_objects:
            truths: tuple[str, ...] = (oracle(mirrored(material.scene(picture)), triple),)
        elif SIDED & {word for text in (original.question, *original.truths) for word in words(text)}:
            continue  # who knows what is right then
        else:
            truths = original.truths
        yield Case(
            original,
            (replace(original, truths=truths, change=picture_changes.mirrored),),
            ((original.changed(picture_changes.shifted(MOVED)),),),
        )


def mirrored(scene: dict) -> dict:
    """The graph of the mirrored picture."""
    objects = [
        {**part, "box": [SIDE - part["box"][2], part["box"][1], SIDE - part["box"][0], part["box"][3]]}
        for part in scene["objects"]
    ]
    return {**scene, "objects": objects}
