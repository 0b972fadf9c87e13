"""Accuracy of short answers: exact match after normalisation (normalize_answers.py)."""

import numpy as np

from sightline.evaluate.metrics.normalize_answers import same
from sightline.evaluate.metrics.ratios import Counts, share


def item_counts(answer: str, prediction: str) -> dict[str, float]:
    """Counts of one question."""
    return {"questions": 1.0, "correct": float(same(answer, prediction))}


FIGURES = {"accuracy": lambda counts: share(counts["correct"], counts["questions"])}


def sample_size(counts: Counts) -> np.ndarray:
    """Number of questions."""
    return counts["questions"]
