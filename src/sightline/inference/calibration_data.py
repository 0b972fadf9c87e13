"""Questions with pictures and reference answers, and how good a session is at them. N questions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sightline.core.params.generation import SPIN_OFF
from sightline.data import images
from sightline.data.questions.deciding_figure import ACCURACY, TOKEN_LIKELIHOOD, deciding_figure
from sightline.data.questions.question_types import SHORT_TOKENS, is_short
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.inference.answering import Answer
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.session import Session

BATCH = 32
DESCRIPTIONS = 200  # of val, by whose likelihood models are compared
# Percent of a token's likelihood that may be lost: a pruned model that invented four times as much lost 13.
LIKELIHOOD_LOSS = 5.0


@dataclass(frozen=True)
class Questions:
    """Pictures (uint8 [Y, X, 3]) with questions and their reference answers, item by item."""

    images: list[np.ndarray]
    questions: list[str]
    answers: list[str]


def read(items: Items, triples: Triples, count: int, max_pixels: int, short: bool = False) -> Questions:
    """`count` questions, evenly spread over the split, with pictures; if `short`, those with short answers,
    of which there may be none. Raises ValueError when the split has no question about a picture."""
    lines = short_lines(items, triples) if short else _lines(items, triples, lambda kind: True)
    if not lines and not short:
        raise ValueError(f"{triples.path}: no question about a picture; rerun the convert stage")
    return _chosen(items, triples, lines, count, max_pixels)


def short_lines(items: Items, triples: Triples) -> list[int]:
    """Numbers of the triples with short answers whose item has a picture."""
    return _lines(items, triples, is_short)


def described_pictures(items: Items, triples: Triples, count: int, max_pixels: int) -> list[np.ndarray]:
    """Up to `count` pictures (uint8 [Y, X, 3]) that are to be described, evenly spread over the split."""
    lines = _lines(items, triples, lambda kind: kind == "describe")
    return _chosen(items, triples, lines, count, max_pixels).images


def _lines(items: Items, triples: Triples, asked: Callable[[str], bool]) -> list[int]:
    lines = [line for line in range(len(triples)) if asked(triples[line]["type"])]
    return [line for line in lines if items[triples[line]["item"]]["image"] is not None]


def _chosen(items: Items, triples: Triples, lines: list[int], count: int, max_pixels: int) -> Questions:
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
    encode = session.tokenizer.encode_answer
    return np.array([answer.ids == encode(reference, limit)[1:-1] for answer, reference in pairs])


def accuracy(session: Session, questions: Questions) -> float:
    """Percent of short answers that are correct."""
    return 100.0 * float(np.mean(correct(session, answer(session, questions), questions)))


def token_likelihood(session: Session, described: Questions) -> float:
    """Percent, the geometric mean over the tokens of the true descriptions of their probability: 100 /
    perplexity."""
    numbers_N = np.arange(len(described.images))
    limit = session.engine.config["max_answer"]
    tokens = sum(len(session.tokenizer.encode_answer(text, limit)) - 1 for text in described.answers)
    score_N = session.score_captions(described.images, described.answers, numbers_N, numbers_N, BATCH)
    return 100.0 * float(np.exp(score_N.sum() / tokens))


@dataclass(frozen=True)
class Judge:
    """What answering models are compared by: the figure's name, and the questions that it is measured on."""

    figure: str
    questions: Questions

    @classmethod
    def read(cls, items: Items, val: Triples, count: int, max_pixels: int) -> list["Judge"]:
        """The accuracy of up to `count` short questions of `val`, where it has enough of them; and how likely
        its descriptions are."""
        short, described = short_lines(items, val), _lines(items, val, lambda kind: kind == "describe")
        judges = []
        if deciding_figure(len(short)) == ACCURACY:
            judges.append(cls(ACCURACY, _chosen(items, val, short, count, max_pixels)))
        if described:
            chosen = _chosen(items, val, described, min(count, DESCRIPTIONS), max_pixels)
            judges.append(cls(TOKEN_LIKELIHOOD, chosen))
        return judges

    def drop(self, whole: float, value: float) -> float:
        """What a model with this figure loses against the whole one: points of accuracy; of the likelihood,
        percent of the whole model's."""
        return whole - value if self.figure == ACCURACY else 100.0 * (1.0 - value / whole)

    def allowed(self, max_drop: float) -> float:
        """The largest drop that may ship."""
        return max_drop if self.figure == ACCURACY else max(max_drop, LIKELIHOOD_LOSS)

    def measure(self, session: Session) -> float:
        """The figure of a session, percent; higher is better."""
        return (accuracy if self.figure == ACCURACY else token_likelihood)(session, self.questions)

    def words(self) -> str:
        """The figure and what is behind it, in words."""
        what = "short questions" if self.figure == ACCURACY else "descriptions"
        return f"{self.figure.replace('_', ' ')} over {len(self.questions.questions)} {what} of val"
