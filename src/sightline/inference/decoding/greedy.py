"""Greedy decoding: the likeliest token at every step; of equals the lowest id. Shapes as in engine.py."""

import numpy as np

from sightline.inference.decoding.token_loop import collect, steps
from sightline.inference.engine import DecodingInputs, Engine, GeneratedTokens, Memory


def generate(
    engine: Engine, memory: Memory, inputs: DecodingInputs, *, need_maps: bool = False,
    rows: int | None = None, compact: bool = False,
) -> list[GeneratedTokens]:  # fmt: skip
    """Answer every real row of `memory` (`rows` of them; all by default)."""
    tokens = steps(engine, memory, likeliest, inputs, need_maps=need_maps, rows=rows, compact=compact)
    return collect(tokens, inputs.eos, memory.mask_BM.shape[0] if rows is None else rows)


def likeliest(logprobs_BV: np.ndarray) -> np.ndarray:
    """The token of every row, [B]."""
    return logprobs_BV.argmax(axis=1)
