import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.data.batches import batch_indices, order, rank_slice


@given(st.integers(0, 2**40), st.integers(0, 5), st.integers(1, 200))
def test_order_is_a_permutation_and_a_pure_function(seed, epoch, n):
    np.testing.assert_array_equal(np.sort(order(seed, epoch, n)), np.arange(n))
    first = order(seed, epoch, n).copy()
    order.cache_clear()
    np.testing.assert_array_equal(order(seed, epoch, n), first)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 3))
def test_an_epoch_shows_each_sample_at_most_once(n, batch_size, epoch):
    if batch_size > n:
        return
    steps = n // batch_size
    shown = np.concatenate([batch_indices(3, epoch * steps + i, batch_size, n) for i in range(steps)])
    assert len(shown) == steps * batch_size == len(set(shown.tolist()))


def test_epochs_and_seeds_differ():
    assert not np.array_equal(order(1, 0, 50), order(1, 1, 50))
    assert not np.array_equal(order(1, 0, 50), order(2, 0, 50))


def test_ranks_share_a_batch():
    indices = batch_indices(1, 0, 8, 20)
    parts = [rank_slice(indices, rank, 4) for rank in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts), indices)
    with pytest.raises(ValueError, match="multiple of 3"):
        rank_slice(indices, 0, 3)


@pytest.mark.parametrize("batch_size", [0, 21])
def test_impossible_batch_size_names_the_cure(batch_size):
    with pytest.raises(ValueError, match="lower the stage's batch_size"):
        batch_indices(1, 0, batch_size, 20)
