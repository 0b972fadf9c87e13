"""95 % intervals by a bootstrap over images: all answers on one image are resampled together.

Letters: R resamples, C clusters (images). Everything is a function of summed counts, so a resample is one
row of a matrix product and paired comparisons share their resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sightline.evaluate.metrics.ratios import Counts

Figure = Callable[[Counts], np.ndarray]
LOWER_IS_BETTER = {"chair_s", "chair_i", "false_positive_rate", "invalid"}
BLOCK = 1 << 23  # numbers of the resamples that are multiplied at a time, 64 MiB
_RULE_OF_THREE = 3.0  # zero events in n independent cases: the rate is below 3 / n at 95 %


@dataclass(frozen=True)
class Sample:
    """Counts of all clusters together, of every resample [R], and how many clusters have data."""

    total: Counts
    resampled: Counts
    filled: int

    def plus(self, other: "Sample", same_images: bool) -> "Sample":
        """Both together: counts of other images, or other counts of the same images in the same resamples."""
        return Sample(
            {name: count + other.total[name] for name, count in self.total.items()},
            {name: count_R + other.resampled[name] for name, count_R in self.resampled.items()},
            max(self.filled, other.filled) if same_images else self.filled + other.filled,
        )


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    loss_bound: float  # one-sided 95 % upper bound of the loss, in the figure's own unit


def resamples(clusters: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """How often each cluster is drawn: [R, C], every row sums to `clusters`. A byte each: drawn so often as
    not to fit in one is a cluster never (its number of draws has mean and variance 1)."""
    share_C = np.full(clusters, 1.0 / clusters)
    drawn_RC = np.empty((count, clusters), np.uint8)
    for row_C in drawn_RC:
        row_C[:] = rng.multinomial(clusters, share_C)
    return drawn_RC


def cluster(item_counts: list[dict[str, float]], clusters: list[int], count: int) -> Counts:
    """Sums of the counts of items per cluster: name -> [C]."""
    index = np.asarray(clusters)
    return {
        key: np.bincount(index, weights=[one[key] for one in item_counts], minlength=count)
        for key in item_counts[0]
    }


def sample(counts_C: Counts, weights_RC: np.ndarray) -> Sample:
    """Counts per cluster, summed once over all clusters and once per resample."""
    names = list(counts_C)
    columns_CN = np.stack([counts_C[name] for name in names], axis=1)
    rows = max(1, BLOCK // len(columns_CN))
    starts = range(0, len(weights_RC), rows)
    sums_RN = np.concatenate([weights_RC[at : at + rows].astype(np.float64) @ columns_CN for at in starts])
    resampled = {name: sums_RN[:, column] for column, name in enumerate(names)}
    total = {name: column.sum() for name, column in counts_C.items()}
    return Sample(total, resampled, int(np.count_nonzero(columns_CN.sum(axis=1))))


def interval(figure: Figure, counts: Sample, percent: bool = True) -> Interval:
    """Value and percentile interval. A percentage at exactly 0 or 100 has no spread to resample: there the
    rule of three over the clusters that have data gives the open side."""
    value = float(figure(counts.total))
    low, high = np.percentile(figure(counts.resampled), [2.5, 97.5])
    if percent and low == high and value in (0.0, 100.0):
        margin = _margin(counts)
        low, high = (0.0, margin) if value == 0.0 else (100.0 - margin, 100.0)
    return Interval(value, float(low), float(high))


def difference(
    figure: Figure, after: Sample, before: Sample, percent: bool = True, higher_is_better: bool = True
) -> Difference:
    """`after` minus `before` on the same images, with its interval and the one-sided 95 % bound of the loss.

    Two equal percentages in every resample get the rule of three on both sides, as a value of 0 does.
    """
    value = float(figure(after.total) - figure(before.total))
    spread_R = figure(after.resampled) - figure(before.resampled)
    margin = _margin(after) if percent and np.ptp(spread_R) == 0 and value == 0 else 0.0
    low, high = np.percentile(spread_R, [2.5, 97.5]) + [-margin, margin]
    loss = -np.percentile(spread_R, 5.0) if higher_is_better else np.percentile(spread_R, 95.0)
    return Difference(value, float(low), float(high), float(loss + margin))


def p_value(figure: Figure, after: Sample, before: Sample) -> float:
    """Two-sided p of `after` equal to `before`: twice the share of resamples whose difference is on the rarer
    side of 0 or at 0, one added so that it is never 0 (Davison and Hinkley 1997, section 4.4). In (0, 1]."""
    spread_R = figure(after.resampled) - figure(before.resampled)
    rarer = min(np.count_nonzero(spread_R <= 0), np.count_nonzero(spread_R >= 0))
    return min(1.0, 2.0 * (rarer + 1) / (len(spread_R) + 1))


def holm(p_values: list[float]) -> list[float]:
    """p corrected for testing all of them (Holm 1979): the k-th smallest of n times n - k + 1, never below a
    smaller one's, at most 1."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def _margin(counts: Sample) -> float:
    """Percent that the rule of three allows after no event in the clusters that have data."""
    return min(100.0, 100.0 * _RULE_OF_THREE / max(counts.filled, 1))
