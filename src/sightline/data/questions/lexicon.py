"""What a lexicon can do: count the training captions once, then make the questions of one item at a time.

Items are counted in parts, by processes that send their lexicons to the one that merges them, and get back
the one that has counted all: lexicons are pickled between own processes, without what every process has.
"""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np


class Lexicon(Protocol):
    """`count` is called for every training item of a part, `merge` for every part, in their order, then
    `finish` once; the rest is called after that."""

    def count(self, item: dict) -> None:
        """Count the captions of a training item."""

    def merge(self, part: Self) -> None:
        """Add what another, not finished, has counted: the same as if its items were counted next."""

    def finish(self) -> None:
        """Close the counting."""

    def questions(self, texts: Sequence[str], title: str, rng: np.random.Generator) -> list[dict]:
        """Short questions about an item with these captions and this title ("" if it has none)."""

    def polls(self, texts: Sequence[str], title: str, rng: np.random.Generator, per_image: int) -> list[dict]:
        """POPE questions about the same; called right after `questions`, with the same generator."""

    def shown(self, texts: Sequence[str], title: str) -> set[str]:
        """Names of the things that the captions of an item agree on."""

    def objects(self) -> dict[str, list[str]]:
        """Name of each thing -> its surface forms, for the hallucination measures."""

    def left_out(self) -> list[str]:
        """Sentences that say which questions these captions do not give, and why."""
