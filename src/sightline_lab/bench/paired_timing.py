"""Paired measurements: every runner once a round, in turn, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def interleaved(
    runners: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """Seconds of each runner in each round, [rounds]. Each runs once unmeasured before; a round starts with
    another runner than the one before, so that none always follows the same one."""
    names = list(runners)
    for name in names:
        runners[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = clock()
            runners[name]()
            seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def spread(values: np.ndarray) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": rounded(middle), "q1": rounded(low), "q3": rounded(high)}


def rows(seconds: Mapping[str, np.ndarray], work: float, baseline: str, **key: str | int) -> list[dict]:
    """One row per runner: `per_second` (work / seconds), `ms`, and `speedup`, the ratio of the baseline's
    seconds to its own in the same round; each a median with quartiles. No speedup without a baseline."""
    result = []
    for name, seconds_N in seconds.items():
        row = {**key, "runner": name, "per_second": spread(work / seconds_N), "ms": spread(1000 * seconds_N)}
        if baseline in seconds:
            row["speedup"] = spread(seconds[baseline] / seconds_N)
        result.append(row)
    return result


def rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")
