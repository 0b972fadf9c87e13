"""Calibration by hand, and against the paper's own code."""

import numpy as np
import pytest

from sightline.evaluate.metrics import calibration
from sightline.evaluate.metrics.calibration import BINS, FIGURES, bin_index, item_counts, reliability


def counts(confidence, right):
    per_item = [item_counts(float(c), float(r)) for c, r in zip(confidence, right, strict=True)]
    return {name: np.float64(sum(one[name] for one in per_item)) for name in per_item[0]}


def test_bins_are_open_below_and_closed_above():
    assert [bin_index(value) for value in (0.0, 1e-9, 1 / 15, 0.07, 14 / 15, 0.95, 1.0)] == [
        0,
        0,
        0,
        1,
        13,
        14,
        14,
    ]


def test_figures_by_hand():
    # Bin ]14/15, 1]: confidence 0.98 twice, one right: gap 0.48. Bin ]8/15, 9/15]: 0.6, right: gap 0.4.
    totals = counts([0.98, 0.98, 0.6], [1, 0, 1])
    assert FIGURES["ece"](totals) == pytest.approx(100 * (2 * 0.48 + 0.4) / 3)
    assert FIGURES["brier"](totals) == pytest.approx(100 * (0.02**2 + 0.98**2 + 0.4**2) / 3)
    assert FIGURES["confidence"](totals) == pytest.approx(100 * 2.56 / 3)
    assert FIGURES["accuracy"](totals) == pytest.approx(100 * 2 / 3)
    assert calibration.sample_size(totals) == 3


def test_a_calibrated_predictor_has_no_error():
    assert FIGURES["ece"](counts([0.75] * 4, [1, 1, 1, 0])) == pytest.approx(0.0, abs=1e-12)
    assert FIGURES["ece"](counts([1.0, 0.0], [1, 0])) == 0.0


def test_error_as_the_papers_code_computes_it():
    draw = np.random.default_rng(3)
    confidence = np.append(draw.random(500), np.arange(BINS + 1) / BINS)
    right = (draw.random(len(confidence)) < confidence**2).astype(float)
    edges, expected = np.linspace(0, 1, BINS + 1), 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        in_bin = (confidence > low) & (confidence <= high)
        if in_bin.any():
            expected += abs(confidence[in_bin].mean() - right[in_bin].mean()) * in_bin.mean()
    assert FIGURES["ece"](counts(confidence, right)) == pytest.approx(100 * expected, abs=0.1)


def test_reliability_rows_are_the_filled_bins():
    rows = reliability(np.array([0.98, 0.98, 0.6]), np.array([1.0, 0.0, 1.0]))
    assert rows == [
        {"confidence": 60.0, "accuracy": 100.0, "n": 1},
        {"confidence": 98.0, "accuracy": 50.0, "n": 2},
    ]
    assert reliability(np.array([]), np.array([])) == []
