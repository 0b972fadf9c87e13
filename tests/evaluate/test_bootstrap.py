"""The bootstrap against what theory says it must give."""

import numpy as np
import pytest

from sightline.evaluate import bootstrap
from sightline.evaluate.bootstrap import cluster, difference, holm, interval, p_value, resamples, sample
from sightline.evaluate.metrics import vqa_accuracy

ACCURACY = vqa_accuracy.FIGURES["accuracy"]


def counts(correct, questions=None):
    correct = np.asarray(correct, np.float64)
    return {
        "correct": correct,
        "questions": np.ones_like(correct) if questions is None else np.asarray(questions, np.float64),
    }


def accuracy_interval(counts_C, weights):
    return interval(ACCURACY, sample(counts_C, weights))


def accuracy_difference(after, before, weights, **kind):
    return difference(ACCURACY, sample(after, weights), sample(before, weights), **kind)


def test_resamples_draw_every_time_as_many_clusters_as_there_are():
    weights = resamples(50, 200, np.random.default_rng(0))
    assert weights.shape == (200, 50)
    assert (weights.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(weights, resamples(50, 200, np.random.default_rng(0)))
    # a cluster's expected count is 1 with variance 0.98: the mean of 200 draws is within 5 sigma = 0.35
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.35


def test_resamples_in_bytes_are_those_of_one_call():
    drawn = resamples(300, 40, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    expected = rng.multinomial(300, np.full(300, 1 / 300), size=40)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, expected)


def test_blocks_of_resamples_give_the_same_sums(monkeypatch):
    weights = resamples(300, 40, np.random.default_rng(4))
    one = counts(np.arange(300) % 2, np.full(300, 3.0))  # whole numbers: exact in any order
    whole = sample(one, weights)
    monkeypatch.setattr(bootstrap, "BLOCK", 700)  # two rows
    in_blocks = sample(one, weights)
    assert set(in_blocks.resampled) == set(whole.resampled) == set(one)
    for name, sums in whole.resampled.items():
        np.testing.assert_array_equal(sums, weights.astype(np.float64) @ one[name])
        np.testing.assert_array_equal(in_blocks.resampled[name], sums)


def test_interval_of_independent_answers_is_the_normal_one():
    n, share = 2000, 0.8
    right = np.arange(n) < share * n
    estimate = accuracy_interval(counts(right), resamples(n, 4000, np.random.default_rng(1)))
    half = 1.96 * np.sqrt(share * (1 - share) / n) * 100
    assert estimate.value == pytest.approx(80)
    # The 2.5 % quantile of 4,000 draws of sd 0.894 points has a standard error of 0.038: 0.12 is 3 of them.
    assert estimate.low == pytest.approx(80 - half, abs=0.12)
    assert estimate.high == pytest.approx(80 + half, abs=0.12)


def test_answers_of_one_picture_move_together():
    """Ten equal answers per picture: the interval is that of 200 pictures, not of 2,000 answers."""
    pictures = np.arange(200) < 100
    weights = resamples(200, 4000, np.random.default_rng(2))
    estimate = accuracy_interval(counts(10.0 * pictures, np.full(200, 10.0)), weights)
    # 200 pictures: one resample's accuracy moves in steps of 0.5 points, so the quantile may be one step off
    assert (estimate.high - estimate.low) / 2 == pytest.approx(196 * np.sqrt(0.25 / 200), abs=0.5)


def test_a_perfect_score_gets_the_rule_of_three():
    estimate = accuracy_interval(counts(np.ones(300)), resamples(300, 100, np.random.default_rng(3)))
    assert (estimate.value, estimate.low, estimate.high) == (100, 99, 100)
    estimate = accuracy_interval(counts(np.zeros(300)), resamples(300, 100, np.random.default_rng(3)))
    assert (estimate.value, estimate.low, estimate.high) == (0, 0, 1)


def test_only_clusters_with_data_count():
    questions = np.r_[np.ones(30), np.zeros(270)]
    estimate = accuracy_interval(
        counts(np.zeros(300), questions), resamples(300, 100, np.random.default_rng(3))
    )
    assert estimate.high == 10


def test_paired_difference_is_narrower_than_unpaired_and_has_the_sign_of_the_change():
    rng = np.random.default_rng(4)
    before = rng.random(1000) < 0.7
    after = before.copy()
    after[np.flatnonzero(before)[:20]] = False  # 20 of 1,000 answers lost, nothing gained
    weights = resamples(1000, 4000, rng)
    change = accuracy_difference(counts(after), counts(before), weights)
    # lost answers are binomial(1000, 0.02): sd 0.443 points; 0.1 is the step of one answer
    assert change.value == pytest.approx(-2)
    assert change.low == pytest.approx(-2 - 1.96 * 0.443, abs=0.1)
    assert change.high == pytest.approx(-2 + 1.96 * 0.443, abs=0.1)
    assert change.loss_bound == pytest.approx(2 + 1.645 * 0.443, abs=0.1)
    alone = accuracy_interval(counts(after), weights)
    assert change.high - change.low < (alone.high - alone.low) / 2


def test_loss_of_an_error_rate_is_its_increase():
    before, after = counts(np.zeros(100)), counts(np.r_[np.ones(10), np.zeros(90)])
    weights = resamples(100, 2000, np.random.default_rng(5))
    change = accuracy_difference(after, before, weights, higher_is_better=False)
    assert change.value == 10
    assert 13 <= change.loss_bound <= 17  # 10 + 1.645 * 3 points
    better = accuracy_difference(after, before, weights, higher_is_better=True)
    assert better.loss_bound < 0


def test_no_change_at_all_still_leaves_room_for_a_rare_one():
    same = counts(np.arange(300) % 2)
    change = accuracy_difference(same, same, resamples(300, 100, np.random.default_rng(6)))
    assert (change.value, change.low, change.high, change.loss_bound) == (0, -1, 1, 1)


def test_cluster_sums():
    sums = cluster([{"a": 1.0}, {"a": 2.0}, {"a": 4.0}], [2, 0, 2], 4)
    np.testing.assert_array_equal(sums["a"], [2, 0, 5, 0])


def test_p_value_counts_the_resamples_on_the_rarer_side():
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    after, before = (sample(counts(values), weights) for values in ([1, 1], [0, 1]))
    # differences of the three resamples: 50, 100 and 0 points; one of them is at or below 0
    assert p_value(ACCURACY, after, before) == pytest.approx(2 * (1 + 1) / (3 + 1))
    assert p_value(ACCURACY, before, after) == p_value(ACCURACY, after, before)
    assert p_value(ACCURACY, after, after) == 1.0
    rng = np.random.default_rng(0)
    better, worse = (counts(rng.random(400) < share) for share in (0.9, 0.5))
    many = resamples(400, 999, rng)
    assert p_value(ACCURACY, sample(better, many), sample(worse, many)) == 2 / 1000


def test_holm_by_hand():
    # sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 (below the one before, so 0.06), 0.9
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
