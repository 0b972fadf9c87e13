"""95 % intervals by a bootstrap over images: all answers on one picture are drawn together.

Letters: R resamples, C clusters (images). Everything is a function of summed counts, so a resample is one
row of a matrix product and paired comparisons share their resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sightline.evaluate.ratios import Counts

Figure = Callable[[Counts], np.ndarray]
_RULE_OF_THREE = 3.0  # zero events in n independent cases: the rate is below 3 / n at 95 %


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    loss_bound: float  # one-sided 95 % upper bound of the loss, in the figure's own unit


def resamples(clusters: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """How often each cluster is drawn: [R, C] float64, every row sums to `clusters`."""
    return rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=count).astype(np.float64)


def cluster(tallies: list[dict[str, float]], clusters: list[int], count: int) -> Counts:
    """Sums of tallies per cluster: name -> [C]."""
    index = np.asarray(clusters)
    return {
        key: np.bincount(index, weights=[tally[key] for tally in tallies], minlength=count)
        for key in tallies[0]
    }


def summed(counts_C: Counts) -> Counts:
    return {key: column.sum() for key, column in counts_C.items()}


def _resampled(figure: Figure, counts_C: Counts, weights_RC: np.ndarray) -> np.ndarray:
    return figure({key: weights_RC @ column for key, column in counts_C.items()})


def interval(figure: Figure, counts_C: Counts, weights_RC: np.ndarray, percent: bool = True) -> Interval:
    """Value and percentile interval. A percentage at exactly 0 or 100 has no spread to resample: there the
    rule of three over the clusters that hold data gives the open side."""
    value = float(figure(summed(counts_C)))
    low, high = np.percentile(_resampled(figure, counts_C, weights_RC), [2.5, 97.5])
    if percent and low == high and value in (0.0, 100.0):
        margin = _margin(counts_C)
        low, high = (0.0, margin) if value == 0.0 else (100.0 - margin, 100.0)
    return Interval(value, float(low), float(high))


def difference(
    figure: Figure,
    after_C: Counts,
    before_C: Counts,
    weights_RC: np.ndarray,
    percent: bool = True,
    higher_is_better: bool = True,
) -> Difference:
    """`after` minus `before` on the same images, with its interval and the one-sided 95 % bound of the loss.

    Two equal percentages in every resample get the rule of three on both sides, as a value of 0 does.
    """
    value = float(figure(summed(after_C)) - figure(summed(before_C)))
    spread_R = _resampled(figure, after_C, weights_RC) - _resampled(figure, before_C, weights_RC)
    margin = _margin(after_C) if percent and np.ptp(spread_R) == 0 and value == 0 else 0.0
    low, high = np.percentile(spread_R, [2.5, 97.5]) + [-margin, margin]
    loss = -np.percentile(spread_R, 5.0) if higher_is_better else np.percentile(spread_R, 95.0)
    return Difference(value, float(low), float(high), float(loss + margin))


def _margin(counts_C: Counts) -> float:
    """Percent that the rule of three allows after no event in the clusters that hold data."""
    filled = int(np.count_nonzero(np.sum(list(counts_C.values()), axis=0)))
    return min(100.0, 100.0 * _RULE_OF_THREE / max(filled, 1))
