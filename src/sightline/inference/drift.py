"""How far the scores of what is asked have moved from those of `val`: the population stability index.

A bundle keeps a histogram of every score that it judges by, beside the bound of that score. N scores, B bins.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
from pydantic import NonNegativeInt, model_validator

from sightline.core.params.checks import Settings

BINS = 10  # each holds a tenth of val's scores, as far as these differ
DIGITS = 6  # of an edge: the last bits of a score depend on the machine
MOVED, DRIFTED = 0.1, 0.25  # the usual reading of the index (Siddiqi 2006, Credit Risk Scorecards)
FEWEST = 256  # scores of val, or drift would alarm by chance: the index of N scores varies by about B/N
_HALF = 0.5  # added to every bin, so that an empty one has a logarithm


class Histogram(Settings):
    """Scores in B bins between B - 1 ascending `edges`; a score that equals an edge is below it."""

    edges: tuple[float, ...]
    counts: tuple[NonNegativeInt, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.counts) != len(self.edges) + 1 or any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("expected ascending edges and one count more than edges")
        return self

    @classmethod
    def of(cls, scores_N: Sequence[float] | np.ndarray, bound: float) -> Self:
        """Of scores, which may be infinite; `bound` is an edge, so that the share beyond it can be read."""
        scores = np.asarray(scores_N, np.float64)
        deciles = np.quantile(scores, np.arange(1, BINS) / BINS, method="lower") if len(scores) else ()
        finite = {round(float(edge), DIGITS) for edge in deciles if np.isfinite(edge)}
        apart = {edge for edge in finite if abs(edge - bound) > 10**-DIGITS}  # no bin of a rounding's width
        edges = tuple(sorted(apart | {float(bound)}))
        bins = np.searchsorted(edges, scores, side="left")
        return cls(edges=edges, counts=tuple(np.bincount(bins, minlength=len(edges) + 1).tolist()))

    def bin(self, score: float) -> int:
        """The number of the bin of a score."""
        return bisect_left(self.edges, score)

    def share_above(self, bound: float) -> float:
        """Share of the scores above `bound`, one of the edges."""
        return sum(self.counts[self.bin(bound) + 1 :]) / max(sum(self.counts), 1)

    def psi(self, counts: Sequence[int]) -> float:
        """The index of other counts of the same bins: the sum of (p - q) ln(p / q) over the shares of a bin;
        0 where they agree. Of n scores without drift it is (B - 1) (1/n + 1/N) on average."""
        p, q = _shares(counts), _shares(self.counts)
        return float(np.sum((p - q) * np.log(p / q)))


def reference(scores_N: Sequence[float] | np.ndarray, bound: float) -> Histogram | None:
    """What a bundle keeps of the scores of val; None where these are fewer than FEWEST."""
    return Histogram.of(scores_N, bound) if len(scores_N) >= FEWEST else None


def _shares(counts: Sequence[int]) -> np.ndarray:
    filled = np.asarray(counts, np.float64) + _HALF
    return filled / filled.sum()
