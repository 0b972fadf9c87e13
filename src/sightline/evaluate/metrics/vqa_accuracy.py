"""Accuracy of short answers, after normalisation (normalize_answers.py): exact match with one true answer;
with the answers of several people the soft accuracy of VQA (Antol et al. 2015, arXiv 1505.00468), as its
official code averages it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline.evaluate.metrics.normalize_answers import normalise
from sightline.evaluate.metrics.ratios import Counts, share

AGREED = 3  # people whose answer is fully right
# The official code writes these as digits, so that "two" and "2" agree.
DIGITS = {word: str(number) for number, word in enumerate(
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)} | {"none": "0"}  # fmt: skip


def truths(triple: Mapping[str, Any]) -> list[str]:
    """The true answers of a question: those of several people, or the one."""
    return triple.get("answers") or [triple["answer"]]


def accuracy(truths: Sequence[str], prediction: str) -> float:
    """In [0, 1]. With one true answer whether it was given; with up to AGREED whether one of them was; with
    more min(1, people who gave it / AGREED), averaged over leaving out each of the people."""
    if len(truths) == 1:
        return float(normalise(truths[0]) == normalise(prediction))
    matches = [_digits(truth) for truth in truths].count(_digits(prediction))
    if len(truths) <= AGREED:
        return float(matches > 0)
    rest = len(truths) - matches
    return (matches * min(1.0, (matches - 1) / AGREED) + rest * min(1.0, matches / AGREED)) / len(truths)


def _digits(text: str) -> str:
    return " ".join(DIGITS.get(word, word) for word in normalise(text).split())


def item_counts(truths: Sequence[str], prediction: str) -> dict[str, float]:
    """Counts of one question."""
    return {"questions": 1.0, "correct": accuracy(truths, prediction)}


FIGURES = {"accuracy": lambda counts: share(counts["correct"], counts["questions"])}


def sample_size(counts: Counts) -> np.ndarray:
    """Number of questions."""
    return counts["questions"]
