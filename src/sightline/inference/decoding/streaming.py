"""Greedy decoding of one question, token by token as they are written. Shapes as in engine.py."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sightline.inference.decoding.token_loop import steps
from sightline.inference.engine import Engine, Memory


@dataclass(frozen=True)
class StreamedToken:
    """One token, its natural log-probability, and the attention behind it where maps were asked for."""

    id: int
    logprob: float
    maps_LHM: np.ndarray | None
    gates_LH: np.ndarray | None


def stream(
    engine: Engine, memory: Memory, *, bos: int, eos: int, max_new: int, k_L: np.ndarray, alpha: float,
    need_maps: bool = False,
) -> Iterator[StreamedToken]:  # fmt: skip
    """Yield the tokens of the first row of `memory` (the others are padding), the end token left out.

    The tokens are those of `greedy.generate` on the same memory: both run the same loop.
    """
    tokens = steps(
        engine, memory, lambda logprobs_BV: logprobs_BV.argmax(axis=1), bos=bos, eos=eos, max_new=max_new,
        k_L=k_L, alpha=alpha, need_maps=need_maps, rows=1,
    )  # fmt: skip
    for token in tokens:
        if int(token.ids_B[0]) == eos:
            return
        yield StreamedToken(
            int(token.ids_B[0]),
            float(token.logprobs_B[0]),
            None if token.maps_LBHM is None else token.maps_LBHM[:, 0],
            None if token.gates_LBH is None else token.gates_LBH[:, 0],
        )
