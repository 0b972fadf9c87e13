"""The pictures and questions of a split that attacks are made from."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from sightline.data.questions.question_types import POPE_TYPES, is_short
from sightline.data.scenes.render import SIDE, ZOOMS
from sightline.data.shards import Items
from sightline.evaluate import split_contents
from sightline.evaluate.metrics.normalize_answers import normalise
from sightline.evaluate.metrics.vqa_accuracy import truths
from sightline.evaluate.red_team.cases import Ask, Untestable
from sightline.evaluate.split_contents import Split

DISPLAY_SIDE = SIDE * ZOOMS[0]  # pixels of the longer side of a picture on the page
EXISTENCE, YES_NO = ("existence", *POPE_TYPES), {"yes", "no"}
IS_THERE = re.compile(r"Is there (?P<article>an? )?(?P<thing>[^?]+)\?")  # as English questions are put


@dataclass(frozen=True)
class Material:
    """A split with its questions; `language`: of the questions."""

    split: Split
    language: str

    @classmethod
    def read(cls, raw: Path, vqa: Path, name: str, max_items: int, language: str) -> "Material":
        """At most `max_items` pictures of a split (0: all). Raises ValueError where it has none."""
        return cls(split_contents.read(raw, vqa, name, max_items), language)

    @cached_property
    def items(self) -> Items:
        return Items(self.split.raw)

    @cached_property
    def _rgb(self) -> Callable[[int], np.ndarray]:
        return lru_cache(256)(lambda picture: self.items.image(self.item(picture)))

    def item(self, picture: int) -> dict:
        return self.items[self.split.lines[picture]]

    def rgb(self, picture: int) -> np.ndarray:
        """The picture that models read, [Y, X, 3] uint8."""
        return self._rgb(picture)

    def displayed(self, picture: int) -> tuple[np.ndarray, int]:
        """The picture for people, and how many of its pixels stand for one that models read."""
        if "scene" not in self.item(picture):
            return self.rgb(picture), 1
        return self.items.displayed(self.item(picture), DISPLAY_SIDE), ZOOMS[0]

    def scene(self, picture: int) -> dict:
        """The scene graph. Raises Untestable for data without."""
        self.require_scenes()
        return self.item(picture)["scene"]

    def require_scenes(self) -> None:
        """Raises Untestable for data without scene graphs."""
        if not self.split.true_objects:
            raise Untestable("this data has no scene graphs, which alone tell where things are, or are not")

    def require_english(self) -> None:
        """Raises Untestable for questions in another language."""
        if self.language != "en":
            raise Untestable(
                f"its sentences are English, and this data's questions are not ({self.language})"
            )

    def boxes(self, picture: int) -> list[tuple[int, int, int, int]]:
        """Boxes of all things (x0, y0, x1, y1, half-open pixels); none for data without scene graphs."""
        if not self.split.true_objects:
            return []
        return [tuple(part["box"]) for part in self.scene(picture)["objects"]]

    @cached_property
    def _triples(self) -> list[list[dict]]:
        """Of every picture its questions, each once."""
        found: list[dict[str, dict]] = [{} for _ in self.split.lines]
        for triple, picture in zip(self.split.triples, self.split.picture_of, strict=True):
            found[picture].setdefault(triple["question"], triple)
        return [list(of_picture.values()) for of_picture in found]

    def questions(
        self, rng: np.random.Generator, keep: Callable[[dict], bool] = lambda triple: is_short(triple["type"])
    ) -> Iterator[tuple[int, dict]]:
        """(picture, triple) of the questions to `keep`, in a drawn order: one of every picture, then another
        one of every picture, and so on, so that few questions are about many pictures."""
        queues = []
        for picture in rng.permutation(len(self._triples)).tolist():
            kept = [triple for triple in self._triples[picture] if keep(triple)]
            queues.append((picture, [kept[index] for index in rng.permutation(len(kept))]))
        for turn in range(max((len(queue) for _, queue in queues), default=0)):
            yield from ((picture, queue[turn]) for picture, queue in queues if turn < len(queue))

    def others(self, picture: int, triple: dict, keep: Callable[[dict], bool]) -> list[dict]:
        """Further questions about a picture."""
        return [other for other in self._triples[picture] if other is not triple and keep(other)]

    @cached_property
    def answers(self) -> dict[str, list[str]]:
        """Answers by type of question, the most frequent first."""
        counted: dict[str, dict[str, int]] = {}
        for triple in self.split.triples:
            of_type = counted.setdefault(triple["type"], {})
            for truth in map(normalise, truths(triple)):
                of_type[truth] = of_type.get(truth, 0) + 1
        return {
            kind: sorted(of_type, key=lambda answer: (-of_type[answer], answer))
            for kind, of_type in counted.items()
        }

    @cached_property
    def asked_alike(self) -> dict[str, list[tuple[int, dict]]]:
        """By the wording of a short question the pictures it is asked about."""
        found: dict[str, list[tuple[int, dict]]] = {}
        for picture, of_picture in enumerate(self._triples):
            for triple in of_picture:
                if is_short(triple["type"]):
                    found.setdefault(triple["question"], []).append((picture, triple))
        return found


def ask(picture: int, triple: dict) -> Ask:
    """The question of a triple about its own picture."""
    return Ask(picture, triple["question"], tuple(truths(triple)))


def is_existence(triple: dict) -> bool:
    """Whether the question is for a thing in the picture, answered with yes or no."""
    return triple["type"] in EXISTENCE and triple["answer"] in YES_NO


def lie(material: Material, triple: dict, rng: np.random.Generator) -> str | None:
    """A wrong answer of the question's type; None where there is none."""
    given = {normalise(truth) for truth in truths(triple)}
    if given & YES_NO:
        return next(iter(YES_NO - given), None)
    options = [answer for answer in material.answers[triple["type"]] if answer not in given | YES_NO]
    return options[rng.integers(len(options))] if options else None
