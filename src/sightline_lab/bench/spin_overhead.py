"""Overhead of SPIN: an answer with the gate on half of the heads against one without, in many short pairs.

The effect is a few percent, less than what a shared machine drifts by within a second. So a pair is four
answers, off on on off and then on off off on, which cancels a steady drift; the ratio is taken within the
pair, and the median of many pairs is robust to the few that were disturbed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from sightline_lab.bench.paired_timing import rounded

PAIRS = 80
RESAMPLES = 2000
BUDGET = 5.0  # percent of overhead that SPIN may have
FORMS = ("PyTorch", "ONNX fp32", "ONNX int8")


def ratios(
    off: Callable[[], object],
    on: Callable[[], object],
    pairs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> np.ndarray:
    """Seconds with over seconds without, of each pair, [pairs]. Each runs once unmeasured before."""
    off()
    on()
    values = []
    for turn in range(pairs):
        seconds = [0.0, 0.0]
        first = turn % 2
        for which in (first, 1 - first, 1 - first, first):
            start = clock()
            (off, on)[which]()
            seconds[which] += clock() - start
        values.append(seconds[1] / seconds[0])
    return np.array(values)


def row(ratio_N: np.ndarray, **key: str | int) -> dict:
    """`percent`: how much longer it takes, the median with a bootstrap 95 % interval over the pairs; and what
    that says about BUDGET."""
    percent_N = 100 * (ratio_N - 1)
    drawn_RN = np.random.default_rng(0).choice(percent_N, (RESAMPLES, len(percent_N)))
    low, high = np.percentile(np.median(drawn_RN, axis=1), [2.5, 97.5])
    verdict = "within" if high <= BUDGET else "beyond" if low > BUDGET else "not told"
    percent = {"median": rounded(np.median(percent_N)), "low": rounded(low), "high": rounded(high)}
    return {**key, "task": "SPIN", "percent": percent, "pairs": len(ratio_N), "verdict": verdict}


def rows(
    off: dict[str, Callable[[], object]], on: dict[str, Callable[[], object]], **key: str | int
) -> list[dict]:
    """One for every form of FORMS that runs."""
    return [row(ratios(off[form], on[form], PAIRS), runner=form, **key) for form in FORMS if form in off]
