"""What a lexicon can do: count the training captions once, then make the questions of one item at a time."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Lexicon(Protocol):
    """One pass calls `count` for every training item, then `finish` once; the rest is called after that."""

    def count(self, item: dict) -> None:
        """Count the captions of a training item."""

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
