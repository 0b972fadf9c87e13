import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.train import schedule


def test_warmup_then_cosine_by_hand():
    values = [schedule.warmup_cosine(step, steps=8, warmup_steps=4) for step in range(8)]
    # Linear 1/4..4/4, then (1 + cos(pi * i / 4)) / 2 for i = 0..3; 1e-12 is far above rounding of a cosine.
    half = math.sqrt(0.5)
    assert values == pytest.approx(
        [0.25, 0.5, 0.75, 1.0, 1.0, (1 + half) / 2, 0.5, (1 - half) / 2], abs=1e-12
    )


@given(steps=st.integers(1, 500), data=st.data())
def test_factor_is_positive_and_at_most_one(steps, data):
    warmup = data.draw(st.integers(0, steps - 1))
    assert all(0 < schedule.warmup_cosine(step, steps, warmup) <= 1 for step in range(steps))


def test_num_steps_drops_the_incomplete_batch():
    assert schedule.num_steps(1.0, 100, 32) == 3
    assert schedule.num_steps(2.5, 64, 32) == 5
    assert schedule.num_steps(0.001, 64, 32) == 1
    assert schedule.num_steps(0, 64, 32) == 0
    assert schedule.num_steps(2.0, 64, 32, least=10) == 10  # a small table is passed more often
    assert schedule.num_steps(8.0, 64, 32, least=10) == 16  # a large one as often as epochs say
    assert schedule.num_steps(0, 64, 32, least=10) == 0


@given(steps=st.integers(1, 500), evals=st.integers(1, 20))
def test_the_last_step_is_evaluated(steps, evals):
    chosen = schedule.eval_steps(steps, evals)
    assert steps in chosen and len(chosen) == min(evals, steps) and min(chosen) >= 1


def test_evaluations_by_hand():
    assert schedule.eval_steps(10, 4) == {3, 5, 8, 10}


def test_a_batch_is_cut_to_the_items_and_processes():
    assert schedule.batch_size(32, 100, 4) == 32
    assert schedule.batch_size(32, 30, 4) == 28  # no more data


def test_a_batch_that_the_processes_cannot_share_names_those_that_they_can():
    message = "a batch_size of 64 cannot be shared equally by 24 processes .* set it to 48 or 72"
    with pytest.raises(ValueError, match=message):
        schedule.batch_size(64, 1000, 24)
    with pytest.raises(ValueError, match="set it to 24, or"):
        schedule.batch_size(16, 1000, 24)
