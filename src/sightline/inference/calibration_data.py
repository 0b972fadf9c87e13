"""Questions with pictures and reference answers, and the accuracy of a session on them. N questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sightline.core.params.generation import SPIN_OFF
from sightline.data import images
from sightline.data.questions.question_types import SHORT_TOKENS, is_short
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.inference.answering import Answer
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.session import Session

BATCH = 32


@dataclass(frozen=True)
class Questions:
    """Pictures (uint8 [Y, X, 3]) with questions and their reference answers, item by item."""

    images: list[np.ndarray]
    questions: list[str]
    answers: list[str]


def read(items: Items, triples: Triples, count: int, max_pixels: int, short: bool = False) -> Questions:
    """`count` questions, evenly spread over the split, with pictures; if `short`, those with short answers.

    Raises ValueError when there is none.
    """
    lines = [line for line in range(len(triples)) if not short or is_short(triples[line]["type"])]
    lines = [line for line in lines if items[triples[line]["item"]]["image"] is not None]
    if not lines:
        what = "short question about a picture" if short else "question about a picture"
        raise ValueError(f"{triples.path}: no {what}; rerun the convert stage")
    spread = np.unique(np.linspace(0, len(lines) - 1, min(count, len(lines))).round().astype(int))
    chosen = [triples[lines[position]] for position in spread]
    needed = {triple["item"]: items[triple["item"]] for triple in chosen}
    pictures = {
        line: images.decode(items.image_bytes(item), max_pixels, item["id"]) for line, item in needed.items()
    }
    return Questions(
        [pictures[triple["item"]] for triple in chosen],
        [triple["question"] for triple in chosen],
        [triple["answer"] for triple in chosen],
    )


def read_captioned(items: Items, split: str, limit: int, max_pixels: int) -> list[tuple[np.ndarray, str]]:
    """(picture, first caption) of the first `limit` items of a split that have both."""
    chosen = (items[line] for line in items.split(split))
    chosen = (item for item in chosen if item["image"] is not None and item["captions"])
    return [
        (images.decode(items.image_bytes(item), max_pixels, item["id"]), item["captions"][0])
        for item in islice(chosen, limit)
    ]


def answer(session: Session, questions: Questions) -> list[Answer]:
    """The short answers of a session, without SPIN."""
    length = min(SHORT_TOKENS, session.engine.config["max_answer"])
    return session.answer(
        questions.images, questions.questions, greedy_generation(length), SPIN_OFF, batch_size=BATCH
    )  # fmt: skip


def correct(session: Session, answers: Sequence[Answer], questions: Questions) -> np.ndarray:
    """Which answers equal their reference token by token: bool [N]."""
    limit = session.engine.config["max_answer"]
    pairs = zip(answers, questions.answers, strict=True)
    encode = session.tokenizer.encode
    return np.array([answer.ids == encode(reference, limit)[1:-1] for answer, reference in pairs])


def accuracy(session: Session, questions: Questions) -> float:
    """Percent of short answers that are correct."""
    return 100.0 * float(np.mean(correct(session, answer(session, questions), questions)))
