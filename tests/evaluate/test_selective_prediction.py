"""Risk and coverage: values by hand, equals, and weights that mean repetition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.evaluate.metrics.selective_prediction import (
    COVERAGES,
    Coverage,
    curve,
    figures,
    levels,
    points,
)

ONES = np.ones(4)


def test_figures_by_hand():
    level = levels(np.array([0.6, 0.9, 0.8, 0.7]))
    assert level.tolist() == [3, 0, 1, 2]
    # Surest first: right, right, wrong, right; risks 0, 0, 1/3, 1/4.
    result = figures(level, np.array([1.0, 1.0, 1.0, 0.0]), ONES)
    assert result["aurc"] == pytest.approx(100 * (1 / 3 + 1 / 4) / 4)
    assert result["accuracy_at_100"] == 75 and result["accuracy_at_80"] == 75
    assert result["questions"] == 4


def test_accuracy_at_a_coverage_keeps_the_surest():
    confidence, right = np.arange(10) / 10, np.array([0.0] + [1.0] * 9)
    result = figures(levels(confidence), right, np.ones(10))
    assert (result["accuracy_at_100"], result["accuracy_at_90"], result["accuracy_at_80"]) == (90, 100, 100)
    assert result["accuracy_at_95"] == 90  # no set of 9.5 answers: the next larger one


def test_equal_confidences_are_answered_together():
    coverage, accuracy = curve(levels(np.full(4, 0.5)), np.array([1.0, 0, 0, 0]), ONES)
    assert (coverage.tolist(), accuracy.tolist()) == ([1.0], [0.25])
    assert figures(levels(np.full(4, 0.5)), np.array([1.0, 0, 0, 0]), ONES)["aurc"] == 75


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_weight_is_a_repetition(answers):
    confidence, right, weight = (np.array(column, float) for column in zip(*answers, strict=True))
    if not weight.sum():
        return
    again = np.repeat(np.arange(len(answers)), weight.astype(int))
    one = figures(levels(confidence), right, weight)
    other = figures(levels(confidence[again]), right[again], np.ones(len(again)))
    assert one == pytest.approx(other)
    assert set(one) == {"questions", "aurc", *(f"accuracy_at_{percent}" for percent in COVERAGES)}


def test_points_of_the_plot():
    rows = points(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 1.0, 0.0, 1.0]))
    assert [row["coverage"] for row in rows] == [25, 50, 75, 100]
    assert [row["accuracy"] for row in rows] == [100, 100, 66.667, 75]
    assert points(np.array([]), np.array([])) == []


def test_share_of_sure_answers():
    per_item = [
        Coverage.item_counts(True),
        Coverage.item_counts(False),
        Coverage.item_counts(False),
        Coverage.item_counts(False),
    ]
    total = {name: sum(one[name] for one in per_item) for name in per_item[0]}
    assert Coverage.FIGURES["coverage"](total) == 25 and Coverage.sample_size(total) == 4
