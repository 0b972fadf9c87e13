"""What is gained by not answering where the model is unsure: accuracy against coverage (El-Yaniv and Wiener
2010), the area under the risk-coverage curve (AURC, Geifman et al. 2019, arXiv 1805.08206), and the bound
that ships.

Coverage is the share of questions answered, the surest first; equal confidences are answered together.
N answers, K distinct confidences, w_N: how often each answer counts (a resample of the bootstrap).
"""

from operator import itemgetter

import numpy as np

from sightline.evaluate.metrics.ratios import Counts, share

COVERAGES = (100, 95, 90, 80)  # percent


class RiskCoverage:
    """The figures of the whole curve, percent; they are no ratios of counts, so `figures` computes them."""

    NAMES = ("aurc", *(f"accuracy_at_{percent}" for percent in COVERAGES))
    FIGURES = {name: itemgetter(name) for name in NAMES}
    sample_size = itemgetter("questions")


class Coverage:
    """The share of all answers that lie above the shipped bound, percent."""

    FIGURES = {"coverage": lambda counts: share(counts["sure"], counts["questions"])}
    sample_size = itemgetter("questions")

    @staticmethod
    def item_counts(sure: bool) -> dict[str, float]:
        return {"questions": 1.0, "sure": float(sure)}


def levels(confidence_N: np.ndarray) -> np.ndarray:
    """The rank of each answer's confidence, 0 the highest; equals share it."""
    return np.unique(-np.asarray(confidence_N), return_inverse=True)[1]


def curve(level_N: np.ndarray, right_N: np.ndarray, w_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(coverage_K, accuracy_K), shares, from the surest answers to all."""
    answered_K = np.bincount(level_N, weights=w_N).cumsum()
    right_K = np.bincount(level_N, weights=w_N * right_N).cumsum()
    nonempty = answered_K > 0  # a resample may leave out the surest answers
    return answered_K[nonempty] / answered_K[-1], right_K[nonempty] / answered_K[nonempty]


def figures(level_N: np.ndarray, right_N: np.ndarray, w_N: np.ndarray) -> Counts:
    """RiskCoverage's figures: `aurc` is the mean over answers of the risk of all that are at least as sure;
    the accuracy at a coverage that falls among equals is the one above it. All 0 where no answer counts, as
    in a resample without any of the few pictures that are asked about."""
    if not w_N.sum():
        return dict.fromkeys(("questions", *RiskCoverage.NAMES), np.zeros(()))
    coverage_K, accuracy_K = curve(level_N, right_N, w_N)
    result = {"questions": w_N.sum(), "aurc": 100.0 * np.diff(coverage_K, prepend=0.0) @ (1.0 - accuracy_K)}
    return result | {
        f"accuracy_at_{percent}": 100.0 * accuracy_K[_reached(coverage_K, percent)] for percent in COVERAGES
    }


def points(confidence_N: np.ndarray, right_N: np.ndarray) -> list[dict]:
    """The curve at every whole percent of coverage, for a plot."""
    if not len(right_N):
        return []
    coverage_K, accuracy_K = curve(levels(confidence_N), right_N, np.ones(len(right_N)))
    steps = sorted({_reached(coverage_K, percent) for percent in range(1, 101)})
    return [
        {"coverage": round(100.0 * coverage_K[k], 3), "accuracy": round(100.0 * accuracy_K[k], 3)}
        for k in steps
    ]


def _reached(coverage_K: np.ndarray, percent: int) -> int:
    """The first point with that coverage."""
    # A sum of shares may miss a round figure by its last bit.
    return int(np.searchsorted(coverage_K, percent / 100.0 - 1e-9))
