"""The hand-made list of what photos show (`object_lexicon.py`), with the rules for English captions."""

from collections.abc import Sequence

import numpy as np

from sightline.data.questions.caption_rules import open_questions
from sightline.data.questions.existence_questions import Statistics, attributes, existence, pope, present
from sightline.data.questions.object_lexicon import surface_forms
from sightline.data.questions.object_mentions import parse_all


class Photos:
    """A `Lexicon`. Titles are not read: a photo's captions say more."""

    def __init__(self) -> None:
        self._statistics = Statistics()

    def count(self, item: dict) -> None:
        self._statistics.add(parse_all(item["captions"]))

    def merge(self, part: "Photos") -> None:
        self._statistics.merge(part._statistics)

    def finish(self) -> None:
        """Nothing is left to compute."""

    def questions(self, texts: Sequence[str], title: str, rng: np.random.Generator) -> list[dict]:
        captions = parse_all(texts)
        answered = open_questions(captions, rng)
        colored = [triple for triple in answered if triple["type"] == "color"]
        polar = existence(captions, self._statistics, rng)
        return polar + attributes(colored, captions, self._statistics, rng) + answered

    def polls(self, texts: Sequence[str], title: str, rng: np.random.Generator, per_image: int) -> list[dict]:
        return pope(parse_all(texts), self._statistics, rng, per_image)

    def shown(self, texts: Sequence[str], title: str) -> set[str]:
        return set(present(parse_all(texts)))

    def objects(self) -> dict[str, list[str]]:
        return surface_forms()

    def left_out(self) -> list[str]:
        if self._statistics.present_N.any():
            return []
        return [
            "the captions name nothing of the list `photos`; convert.lexicon=corpus takes the things from "
            "the captions themselves"
        ]


def build(language: str) -> Photos:
    """The list is English; `ConvertParams` refuses another language."""
    return Photos()
