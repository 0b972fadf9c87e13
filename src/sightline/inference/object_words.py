"""How unsure the model was of the things that it names: the probability of a description's least likely
object word.

A description in which that is at or below the bound is doubtful. It is no proof of an invented object, but
such descriptions invent more often; docs/reports/monitoring.md says how well it tells them apart. It is read
from what decoding has computed anyway. Words are found as `evaluate.metrics.chair` finds them: surface forms,
the longest first. T answer tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field

from sightline.core import artifacts, typed_json
from sightline.core.params.checks import Settings
from sightline.data.tokenizer import Tokenizer
from sightline.inference.drift import Histogram
from sightline.inference.question_detector import words

FILE = "object_words.json"  # of a bundle's folder `domain`


class Statistics(Settings):
    """The file: surface forms of things, the bound, and the probabilities in descriptions of val."""

    forms: tuple[str, ...]
    bound: float = Field(ge=0, le=1)
    reference: Histogram


class ObjectWords:
    """Finds things by their surface forms; a description with a probability up to `bound` is doubtful."""

    def __init__(self, forms: Iterable[str], bound: float, reference: Histogram | None = None) -> None:
        self.forms, self.bound, self.reference = tuple(sorted(set(forms))), bound, reference
        self._keys = {tuple(words(form)) for form in self.forms} - {()}
        self._longest = max(map(len, self._keys), default=0)

    def least_probability(
        self, tokenizer: Tokenizer, ids_T: Sequence[int], logprobs_T: Sequence[float]
    ) -> float | None:
        """Probability of the least likely object word of an answer: the product of its tokens'. None for an
        answer that names nothing."""
        spoken = [(word, places) for text, places in tokenizer.words(ids_T) for word in words(text)]
        least, start = None, 0
        while start < len(spoken):
            stop = self._end(spoken, start)
            if stop > start:
                tokens = {at for _, places in spoken[start:stop] for at in places}
                probability = math.exp(sum(logprobs_T[at] for at in tokens))
                least = probability if least is None else min(least, probability)
            start = max(stop, start + 1)
        return least

    def _end(self, spoken: list[tuple[str, list[int]]], start: int) -> int:
        """One past the last word of the form that begins at `start`; `start` where none does."""
        for stop in range(min(len(spoken), start + self._longest), start, -1):
            if tuple(word for word, _ in spoken[start:stop]) in self._keys:
                return stop
        return start

    def save(self, folder: Path) -> None:
        assert self.reference is not None  # what is fitted has one
        found = Statistics(forms=self.forms, bound=self.bound, reference=self.reference)
        artifacts.write_json(folder / FILE, found.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> ObjectWords | None:
        """That of a bundle's folder which Session.load has verified; None for a bundle without one. Raises
        ValueError for a file that does not hold what it should."""
        path = folder / FILE
        if not path.is_file():
            return None
        found = typed_json.read(path, Statistics, "rerun the index stage")
        return cls(found.forms, found.bound, found.reference)
