"""Sampling with a temperature from the nucleus of the distribution (Holtzman et al. 2020, arXiv 1904.09751).

Every row draws from its own generator, so that a row's answer does not depend on its neighbours.
Shapes as in engine.py.
"""

from collections.abc import Sequence

import numpy as np

from sightline.inference.decoding.token_loop import Pick, collect, steps
from sightline.inference.engine import DecodingInputs, Engine, GeneratedTokens, Memory, log_softmax


def generate(
    engine: Engine, memory: Memory, inputs: DecodingInputs, *, generators: Sequence[np.random.Generator],
    temperature: float = 1.0, top_p: float = 1.0, need_maps: bool = False,
) -> list[GeneratedTokens]:  # fmt: skip
    """Answer one row per generator; rows of `memory` after those are padding. Raises as `token_sampler`."""
    pick = token_sampler(generators, temperature, top_p)
    tokens = steps(engine, memory, pick, inputs, need_maps=need_maps, rows=len(generators))
    return collect(tokens, inputs.eos, len(generators))


def token_sampler(generators: Sequence[np.random.Generator], temperature: float, top_p: float) -> Pick:
    """Draws the token of row i with generator i; of rows without one it is the likeliest.

    Raises ValueError unless temperature > 0 and 0 < top_p <= 1.
    """
    if not temperature > 0.0:
        raise ValueError(
            f"sampling: temperature must be above 0, got {temperature}; use greedy decoding for 0"
        )
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"sampling: top_p must be in (0, 1], got {top_p}")

    def pick(logprobs_BV: np.ndarray) -> np.ndarray:
        ids_B = logprobs_BV.argmax(axis=1)
        for row, generator in enumerate(generators):
            ids_B[row] = sample_token(logprobs_BV[row], generator.random(), temperature, top_p)
        return ids_B

    return pick


def sample_token(logprobs_V: np.ndarray, uniform: float, temperature: float, top_p: float) -> int:
    """The token at quantile `uniform` of the smallest set of likeliest tokens that holds at least `top_p`."""
    probability_V = np.exp(log_softmax(logprobs_V / temperature))
    order_V = np.argsort(-probability_V, kind="stable")
    cumulative_V = np.cumsum(probability_V[order_V])
    nucleus = int(np.searchsorted(cumulative_V, top_p * cumulative_V[-1])) + 1
    cumulative_V = cumulative_V[: min(nucleus, len(order_V))]
    rank = int(np.searchsorted(cumulative_V, uniform * cumulative_V[-1], side="right"))
    return int(order_V[min(rank, len(cumulative_V) - 1)])
