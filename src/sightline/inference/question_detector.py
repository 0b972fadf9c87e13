"""Out-of-domain detection of questions: words and pairs of words that no training question had.

The score of a question is the surprise, in bits, of its least expected word after the word before it, under
pair counts of the training questions with the smoothing of Witten and Bell (1991); infinite for a word that
none of them had. The largest and not the mean, so that one foreign word in a long question is not lost. A
question above the bound gets no sure answer: confidences are of questions as in training.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

from sightline.core import artifacts, typed_json
from sightline.core.params.checks import Settings
from sightline.data.questions.triples import Triples
from sightline.inference import drift
from sightline.inference.drift import Histogram

FOLDER, FILE = "domain", "questions.json"  # of a bundle
QUESTIONS = 200_000  # of a split, evenly spread
EDGE = ""  # before the first word and after the last
# Thai, Japanese and Chinese put no spaces between words: each of their letters counts as one.
WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+")
DIGITS = 6  # of a score: the last bits of a logarithm depend on the machine


class Statistics(Settings):
    """The file: how often which word came after which, the bound, and the scores of val."""

    bound: float = Field(ge=0, allow_inf_nan=False, description="bits")
    pairs: dict[str, dict[str, PositiveInt]]
    reference: Histogram | None = None


class QuestionDetector:
    """Scores questions; those above `bound` bits are out of domain."""

    def __init__(
        self, pairs: dict[str, dict[str, int]], bound: float, reference: Histogram | None = None
    ) -> None:
        self.pairs, self.bound, self.reference = pairs, bound, reference
        self._counts = Counter[str]()
        for followers in pairs.values():
            self._counts.update(followers)
        self._total = sum(self._counts.values())

    def score(self, question: str) -> float:
        """Bits of the least expected word; infinite where a word is unknown, or there is none."""
        read = words(question)
        if not read or self.unknown(question):
            return math.inf
        steps = zip([EDGE, *read], [*read, EDGE], strict=True)
        return round(max(-math.log2(self._probability(before, word)) for before, word in steps), DIGITS)

    def unlike(self, question: str) -> bool:
        """Whether the question is out of domain."""
        return self.score(question) > self.bound

    def unknown(self, question: str) -> list[str]:
        """Its words that no training question had."""
        return [word for word in words(question) if word not in self._counts]

    def _probability(self, before: str, word: str) -> float:
        """Of a known word: the share of pairs, mixed with the share of the word alone by how many different
        words came after the one before it."""
        alone = self._counts[word] / self._total
        followers = self.pairs.get(before, {})
        if not followers:
            return alone
        return (followers.get(word, 0) + len(followers) * alone) / (sum(followers.values()) + len(followers))

    def save(self, folder: Path) -> None:
        document: dict[str, Any] = {"bound": self.bound, "pairs": self.pairs}
        if self.reference is not None:
            document["reference"] = self.reference.model_dump(mode="json")
        artifacts.write_json(folder / FILE, document)

    @classmethod
    def load(cls, folder: Path) -> QuestionDetector | None:
        """That of a bundle's folder which Session.load has verified; None for a bundle without one. Raises
        ValueError for a file that does not hold what it should."""
        path = folder / FILE
        if not path.is_file():
            return None
        found = typed_json.read(path, Statistics, "rerun the index stage")
        return cls(found.pairs, found.bound, found.reference)


def fit(train: Triples, val: Triples, percentile: float) -> QuestionDetector:
    """Counts of the questions of `train`; the bound is that percentile of the finite scores of `val`, of
    `train` where `val` has none."""
    counted = pair_counts(_questions(train))
    detector = QuestionDetector(counted, 0.0)
    scores = [detector.score(question) for question in _questions(val)]
    known = [score for score in scores if math.isfinite(score)]
    known = known or [detector.score(question) for question in _questions(train)]
    bound = float(np.percentile(known, percentile)) if known else 0.0
    return QuestionDetector(counted, bound, drift.reference(scores, bound))


def pair_counts(questions: Iterable[str]) -> dict[str, dict[str, int]]:
    """How often which word came after which, sorted."""
    pairs: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for question in questions:
        read = words(question)
        for before, word in zip([EDGE, *read], [*read, EDGE], strict=True):
            pairs[before][word] += 1
    return {before: dict(sorted(followers.items())) for before, followers in sorted(pairs.items())}


def words(question: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return WORD.findall(unicodedata.normalize("NFC", question).casefold())


def _questions(triples: Triples) -> Iterator[str]:
    spread = np.linspace(0, len(triples) - 1, min(QUESTIONS, len(triples))).round().astype(int)
    for line in np.unique(spread):
        yield triples[int(line)]["question"]
