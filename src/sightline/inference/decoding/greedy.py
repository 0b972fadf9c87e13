"""Greedy decoding: the likeliest token at every step; of equals the lowest id. Shapes as in engine.py."""

import numpy as np

from sightline.inference.decoding.token_loop import collect, steps
from sightline.inference.engine import Engine, Generation, Memory


def generate(
    engine: Engine, memory: Memory, *, bos: int, eos: int, max_new: int, k_L: np.ndarray, alpha: float,
    need_maps: bool = False, rows: int | None = None, compact: bool = False,
) -> list[Generation]:  # fmt: skip
    """Answer every real row of `memory` (`rows` of them; all by default) with at most `max_new` tokens."""
    tokens = steps(
        engine, memory, lambda logprobs_BV: logprobs_BV.argmax(axis=1), bos=bos, eos=eos, max_new=max_new,
        k_L=k_L, alpha=alpha, need_maps=need_maps, rows=rows, compact=compact,
    )  # fmt: skip
    return collect(tokens, eos, memory.mask_BM.shape[0] if rows is None else rows)
