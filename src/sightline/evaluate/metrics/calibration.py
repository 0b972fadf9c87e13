"""Is a confidence of 80 % right in 80 % of cases? Expected calibration error over equal-width bins and the
Brier score, both percent (Guo et al. 2017, arXiv 1706.04599; Brier 1950).

A resample is never better calibrated than it is noisy, so the interval of a small error leans upward.
"""

import numpy as np

from sightline.evaluate.metrics.ratios import Counts, share

BINS = 15  # as in the paper: ]0, 1/15], ]1/15, 2/15], ...


def place(confidence: float) -> int:
    """The bin of a confidence in [0, 1]: bin b holds ]b / BINS, (b + 1) / BINS], the first one 0 as well."""
    return max(int(np.ceil(confidence * BINS)) - 1, 0)


def tally(confidence: float, right: float) -> dict[str, float]:
    """Counts of one question: confidence and right answer (0 or 1) by bin, and the squared error."""
    counts = dict.fromkeys([*_names("confidence"), *_names("right")], 0.0)
    own = place(confidence)
    counts[f"confidence_{own}"], counts[f"right_{own}"] = confidence, right
    return counts | {"asked": 1.0, "squared": (confidence - right) ** 2}


def asked(counts: Counts) -> np.ndarray:
    """Number of questions."""
    return counts["asked"]


def _names(what: str) -> list[str]:
    return [f"{what}_{own}" for own in range(BINS)]


def _sum(counts: Counts, what: str) -> np.ndarray:
    return np.sum([counts[name] for name in _names(what)], axis=0)


def _gap(counts: Counts) -> np.ndarray:
    """Sum over bins of |right answers - confidence|: questions times the expected calibration error."""
    pairs = zip(_names("right"), _names("confidence"), strict=True)
    return np.sum([np.abs(counts[right] - counts[confidence]) for right, confidence in pairs], axis=0)


FIGURES = {
    "ece": lambda c: share(_gap(c), c["asked"]),
    "brier": lambda c: share(c["squared"], c["asked"]),
    "confidence": lambda c: share(_sum(c, "confidence"), c["asked"]),
    "accuracy": lambda c: share(_sum(c, "right"), c["asked"]),
}


def reliability(confidence_N: np.ndarray, right_N: np.ndarray) -> list[dict]:
    """One row per bin that holds answers: its number of answers, mean confidence and accuracy, percent."""
    own_N = np.array([place(confidence) for confidence in confidence_N])
    rows = []
    for own in np.unique(own_N):
        held = own_N == own
        rows.append(
            {
                "confidence": round(100.0 * float(np.mean(confidence_N[held])), 3),
                "accuracy": round(100.0 * float(np.mean(right_N[held])), 3),
                "n": int(held.sum()),
            }
        )
    return rows
