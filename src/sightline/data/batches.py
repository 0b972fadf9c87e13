"""Which samples make up which training step: pure functions of (seed, step); a resumed run needs no state."""

from functools import lru_cache

import numpy as np

from sightline.core.runtime import derive_seed


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The shuffled order of `n` samples in an epoch (read-only int64 array)."""
    permutation = np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(n)
    permutation.setflags(write=False)
    return permutation


def batch_indices(seed: int, step: int, batch_size: int, n: int) -> np.ndarray:
    """Sample numbers of step `step` (from 0). Epochs are shuffled anew; an incomplete batch is dropped."""
    if not 1 <= batch_size <= n:
        raise ValueError(
            f"batches: batch_size is {batch_size} with {n} training samples, expected 1 to {n}; "
            "lower the stage's batch_size in params.yaml or give more data"
        )
    epoch, position = divmod(step, n // batch_size)
    return order(seed, epoch, n)[position * batch_size : (position + 1) * batch_size]


def rank_slice(indices: np.ndarray, rank: int, world: int) -> np.ndarray:
    """The share of one process: equal, contiguous parts, which averaging gradients over processes needs."""
    if len(indices) % world:
        raise ValueError(
            f"batches: a batch of {len(indices)} cannot be shared equally by {world} processes; "
            f"make batch_size a multiple of {world} or set `launch: python`"
        )
    share = len(indices) // world
    return indices[rank * share : (rank + 1) * share]
