"""Swapped-kind test: a picture's caption against itself with one kind exchanged; chance is 50 %.

A high R@1 can come from colours alone; this tests whether the embedding separates kinds (measured
once: a tower at R@1 57 read colour at 99.5 % and kind at chance).
"""

import re

import numpy as np

from sightline.evaluate.metrics.chair import Lexicon, plural
from sightline.evaluate.metrics.ratios import Counts, share

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def exchange(caption: str, kind: str, other: str, lexicon: Lexicon) -> str:
    """`caption` with every mention of `kind` turned into `other`, in the same number, a/an kept right."""
    word_spans = [match.span() for match in _WORD.finditer(caption)]
    text, end = [], 0
    for mention in lexicon.spans(caption):
        if mention.kind == kind:
            start = word_spans[mention.start][0]
            text += [caption[end:start], plural(other) if mention.many else other]
            end = word_spans[mention.stop - 1][1]
    text.append(caption[end:])
    article = "an" if other[0] in "aeiou" else "a"
    return re.sub(rf"\b[Aa]n?(?= {re.escape(other)}\b)", article, "".join(text))


def swap(
    caption: str, present: set[str], kinds: list[str], lexicon: Lexicon, rng: np.random.Generator
) -> str | None:
    """The caption with one of its kinds exchanged for one that is not in the picture; None if that is
    impossible."""
    named = sorted(set(lexicon.mentions(caption)))
    absent = sorted(set(kinds) - present - set(named))
    if not named or not absent:
        return None
    return exchange(caption, named[rng.integers(len(named))], absent[rng.integers(len(absent))], lexicon)


def item_counts(original_score: float, swapped_score: float) -> dict[str, float]:
    """Counts of one pair; a tie counts against the model."""
    return {"pairs": 1.0, "correct": float(original_score > swapped_score)}


FIGURES = {"accuracy": lambda counts: share(counts["correct"], counts["pairs"])}


def sample_size(counts: Counts) -> np.ndarray:
    """Number of caption pairs."""
    return counts["pairs"]
