"""Temperature and bound of short answers: values by hand, and what must hold for any answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.inference.confidence import FLATTEST, SHARPEST, calibrated, fit_temperature, sure_above

# A product of softmax probabilities is never 0.
ANSWERS = st.lists(st.tuples(st.floats(1e-9, 1.0), st.booleans()), min_size=1, max_size=30)


def test_a_temperature_divides_the_log_odds():
    assert calibrated(0.8, 2.0) == pytest.approx(2 / 3)  # odds of 4 become odds of 2
    assert calibrated(2 / 3, 0.5) == pytest.approx(0.8)
    assert calibrated(0.123, 1.0) == 0.123
    np.testing.assert_array_equal(calibrated(np.array([0.0, 0.5, 1.0]), 3.0), [0.0, 0.5, 1.0])


def test_fit_by_hand():
    # All at odds of 4, two of three right: odds of 2 are the likeliest.
    assert fit_temperature(np.full(3, 0.8), np.array([1, 1, 0])) == pytest.approx(2.0)
    assert fit_temperature(np.full(5, 2 / 3), np.array([1, 1, 1, 1, 0])) == pytest.approx(0.5)


def test_a_model_that_is_always_right_or_always_wrong_stays_within_bounds():
    assert fit_temperature(np.full(4, 0.9), np.ones(4)) == pytest.approx(SHARPEST)
    assert fit_temperature(np.full(4, 0.9), np.zeros(4)) == pytest.approx(FLATTEST)


def test_the_temperature_of_overconfident_answers_is_recovered():
    draw = np.random.default_rng(0)
    honest = draw.uniform(0.5, 0.99, 20_000)
    right = draw.random(20_000) < honest
    found = fit_temperature(calibrated(honest, 1 / 1.7), right)
    assert found == pytest.approx(1.7, abs=0.1)  # four of its standard errors, 1.7 / sqrt(20000 * 0.25)


@given(ANSWERS)
def test_no_other_temperature_is_likelier(answers):
    p, right = (np.array(column, float) for column in zip(*answers, strict=True))
    p = np.clip(p, 0.001, 0.999)

    def loss(temperature):
        q = np.clip(calibrated(p, temperature), 1e-300, 1 - 1e-16)
        return -np.sum(np.where(right == 1, np.log(q), np.log1p(-q)))

    best = loss(fit_temperature(p, right))
    assert all(best <= loss(other) + 1e-6 for other in (0.06, 0.3, 1.0, 1.5, 4.0, 19.0))


def test_the_bound_by_hand():
    confidence, right = np.array([0.9, 0.6, 0.8, 0.7]), np.array([1, 0, 0, 1])
    assert sure_above(confidence, right, 100.0) == 0.8  # only 0.9 is kept
    assert sure_above(confidence, right, 60.0) == 0.6  # 2 of 3
    assert sure_above(confidence, right, 50.0) == 0.0  # all
    assert sure_above(np.array([0.9, 0.8]), np.array([0, 0]), 50.0) == 1.0  # none


def test_equal_confidences_are_kept_or_left_out_together():
    assert sure_above(np.array([0.9, 0.9, 0.5]), np.array([1, 0, 0]), 100.0) == 1.0
    assert sure_above(np.array([0.9, 0.9, 0.5]), np.array([1, 0, 0]), 50.0) == 0.5


@given(ANSWERS, st.floats(1.0, 100.0))
def test_what_is_kept_reaches_the_accuracy_and_no_lower_bound_does(answers, accuracy):
    confidence, right = (np.array(column, float) for column in zip(*answers, strict=True))
    bound = sure_above(confidence, right, accuracy)
    kept = confidence > bound
    assert not kept.any() or 100 * right[kept].mean() >= accuracy - 1e-9
    for lower in {0.0, *confidence}:
        more = confidence > lower
        if lower < bound and more.any():
            assert 100 * right[more].mean() < accuracy
