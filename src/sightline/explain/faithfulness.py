"""Is a map true? Figures of one map, and of many paired ones.

Shapes: S side of the model's input, K steps of a curve, N cases, W resamples.
"""

from collections.abc import Callable

import numpy as np

from sightline.explain.heatmap import Heatmap, enlarge

STEPS = 10  # of deletion and insertion
RESAMPLES = 20_000  # of the sign-flip test, so that p can fall to 5e-5
BOOTSTRAP = 2_000  # resamples of an interval

Box = tuple[int, int, int, int]  # x0, y0, x1, y1, half-open, pixels of the whole picture


def pointing(heat: Heatmap, box: Box) -> bool:
    """The pointing game (Zhang et al. 2016, arXiv 1608.00507), without tolerance: is the map's maximum in
    the true box?"""
    seen = heat.seen
    strongest = int(enlarge(heat.scores, seen.rows, seen.columns).argmax())
    y, x = np.unravel_index(strongest, (seen.rows, seen.columns))
    x0, y0, x1, y1 = box
    return bool(x0 <= x + seen.left < x1 and y0 <= y + seen.top < y1)


def mass_inside(heat: Heatmap, box: Box) -> float:
    """Relevance mass accuracy (Arras et al. 2022, arXiv 2003.07258): the share of the map in the true box; 0
    for a dark map."""
    x0, y0, x1, y1 = box
    total = float(heat.pixel_map.sum())
    return float(heat.pixel_map[y0:y1, x0:x1].sum()) / total if total > 0 else 0.0


def presence(scores: np.ndarray, size: int, first: bool) -> np.ndarray:
    """Which pixels are there at every step, [K + 1, size, size] of 0 and 1: the highest scores are taken away
    first (deletion, `first` True) or put in first (insertion). Of equal scores the upper left comes first."""
    order = np.argsort(-enlarge(scores, size, size).ravel(), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    bound = np.linspace(0, len(order), STEPS + 1)[:, None]
    there = rank >= bound if first else rank < bound
    return there.reshape(-1, size, size).astype(np.float32)


def area(curve_K: np.ndarray) -> float:
    """Area under a curve over [0, 1] at even steps (trapezoids). Petsiuk et al. 2018, arXiv 1806.07421."""
    return float((curve_K[1:] + curve_K[:-1]).mean() / 2)


def deletion_insertion(
    heat: Heatmap, ask: Callable[[np.ndarray], np.ndarray], size: int
) -> tuple[float, float]:
    """(deletion AUC, lower is better; insertion AUC, higher is better). `ask` gives the answer's probability
    for presence [N, size, size]."""
    steps = np.concatenate([presence(heat.scores, size, first) for first in (True, False)])
    deleted, inserted = np.split(ask(steps), 2)
    return area(deleted), area(inserted)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, with mean ranks for ties; 0 where one of them is constant."""
    ranks = [_ranks(values.ravel()) for values in (one, other)]
    centred = [rank - rank.mean() for rank in ranks]
    length = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float(centred[0] @ centred[1]) / length if length > 0 else 0.0


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of `count` independent cases (Wilson 1927): right at 0 and 1 too."""
    z2 = 1.959964**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = float(np.sqrt(z2 * share * (1 - share) + z2**2 / 4)) / (1 + z2)
    return float(middle - half), float(middle + half)


def mean_interval(values_N: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the mean of independent cases (percentile bootstrap)."""
    means_W = values_N[rng.integers(0, len(values_N), (BOOTSTRAP, len(values_N)))].mean(axis=1)
    low, high = np.percentile(means_W, [2.5, 97.5])
    return float(low), float(high)


def sign_flip_p(gain_N: np.ndarray, rng: np.random.Generator) -> float:
    """One-sided p that the mean gain is no more than 0: how often flipping the signs of paired differences
    at random gives as large a mean (Fisher's permutation test, by Monte Carlo)."""
    flips_WN = rng.integers(0, 2, (RESAMPLES, len(gain_N))) * 2 - 1
    as_large = int((flips_WN @ gain_N >= gain_N.sum() - 1e-12).sum())
    return (1 + as_large) / (1 + RESAMPLES)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[inverse]
