"""Is a confidence of 80 % right in 80 % of cases? Expected calibration error over equal-width bins and the
Brier score, both percent (Guo et al. 2017, arXiv 1706.04599; Brier 1950).

A resample is never better calibrated than it is noisy, so the interval of a small error leans upward.
"""

import numpy as np

from sightline.evaluate.metrics.ratios import Counts, share

BINS = 15  # as in the paper: ]0, 1/15], ]1/15, 2/15], ...


def bin_index(confidence: float) -> int:
    """The bin of a confidence in [0, 1]: bin b holds ]b / BINS, (b + 1) / BINS], the first one 0 as well."""
    return max(int(np.ceil(confidence * BINS)) - 1, 0)


def item_counts(confidence: float, right: float) -> dict[str, float]:
    """Counts of one question: confidence and right answer (0 or 1) by bin, and the squared error."""
    counts = dict.fromkeys([*_names("confidence"), *_names("right")], 0.0)
    bin_ = bin_index(confidence)
    counts[f"confidence_{bin_}"], counts[f"right_{bin_}"] = confidence, right
    return counts | {"questions": 1.0, "squared": (confidence - right) ** 2}


def sample_size(counts: Counts) -> np.ndarray:
    """Number of questions."""
    return counts["questions"]


def _names(what: str) -> list[str]:
    return [f"{what}_{index}" for index in range(BINS)]


def _sum(counts: Counts, what: str) -> np.ndarray:
    return np.sum([counts[name] for name in _names(what)], axis=0)


def _gap(counts: Counts) -> np.ndarray:
    """Sum over bins of |right answers - confidence|: questions times the expected calibration error."""
    pairs = zip(_names("right"), _names("confidence"), strict=True)
    return np.sum([np.abs(counts[right] - counts[confidence]) for right, confidence in pairs], axis=0)


FIGURES = {
    "ece": lambda c: share(_gap(c), c["questions"]),
    "brier": lambda c: share(c["squared"], c["questions"]),
    "confidence": lambda c: share(_sum(c, "confidence"), c["questions"]),
    "accuracy": lambda c: share(_sum(c, "right"), c["questions"]),
}


def reliability(confidence_N: np.ndarray, right_N: np.ndarray) -> list[dict]:
    """One row per bin that holds answers: its number of answers, mean confidence and accuracy, percent."""
    bin_N = np.array([bin_index(confidence) for confidence in confidence_N])
    rows = []
    for index in np.unique(bin_N):
        in_bin_N = bin_N == index
        rows.append(
            {
                "confidence": round(100.0 * float(np.mean(confidence_N[in_bin_N])), 3),
                "accuracy": round(100.0 * float(np.mean(right_N[in_bin_N])), 3),
                "n": int(in_bin_N.sum()),
            }
        )
    return rows
