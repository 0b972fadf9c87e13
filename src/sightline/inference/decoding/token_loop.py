"""The decoding loop that greedy search, sampling and the server's streams share.

The batch keeps its shape from the first step to the last: a finished row is fed the end token and its output
is ignored. So the arithmetic of a row never depends on when its neighbours end. A study that asks thousands
of questions may `compact` instead: finished rows are dropped whenever they are half of the batch; a row's
numbers then move in their last bits with its neighbours. Shapes as in engine.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sightline.inference.engine import (
    DecodingInputs,
    Engine,
    GeneratedTokens,
    Memory,
    log_softmax,
    take_memory,
)

Pick = Callable[[np.ndarray], np.ndarray]  # log-probabilities [B, V] -> token of every row [B] int64


@dataclass(frozen=True)
class Token:
    """One step of the batch: every row's new token, and which rows were still being written."""

    ids_B: np.ndarray
    logprobs_B: np.ndarray
    active_B: np.ndarray
    maps_LBHM: np.ndarray | None
    gates_LBH: np.ndarray | None


def steps(
    engine: Engine, memory: Memory, pick: Pick, inputs: DecodingInputs, *, need_maps: bool = False,
    rows: int | None = None, compact: bool = False,
) -> Iterator[Token]:  # fmt: skip
    """Yield one `Token` per decoder call until every row has ended or `max_tokens` are written.

    `rows` is the number of real rows; the ones after it are padding and count as finished from the start.
    Raises ValueError for `compact` with maps, which cannot be put back in place.
    """
    if compact and need_maps:
        raise ValueError("decoding: a compacted batch has no maps; ask for one of the two")
    if compact:
        yield from _compacted(engine, memory, pick, inputs)
        return
    batch = memory.mask_BM.shape[0]
    rows_B = np.arange(batch)
    active_B = rows_B < (batch if rows is None else rows)
    tokens_BT = np.full((batch, 1), inputs.bos, dtype=np.int64)
    cache = None
    for _ in range(inputs.max_tokens):
        step = engine.step(tokens_BT, cache, memory, inputs.k_L, inputs.alpha, need_maps)
        cache = step.cache
        logprobs_BV = log_softmax(step.logits_BTV[:, -1])
        ids_B = np.where(active_B, pick(logprobs_BV), inputs.eos).astype(np.int64)
        yield Token(
            ids_B,
            logprobs_BV[rows_B, ids_B],
            active_B,
            None if step.maps_LBHTM is None else step.maps_LBHTM[:, :, :, -1],
            None if step.gates_LBHT is None else step.gates_LBHT[..., -1],
        )
        active_B = active_B & (ids_B != inputs.eos)
        if not active_B.any():
            return
        tokens_BT = ids_B[:, None]


def _compacted(engine: Engine, memory: Memory, pick: Pick, inputs: DecodingInputs) -> Iterator[Token]:
    """`steps` over the rows that are still being written (n of B), in their order; tokens are of all rows."""
    batch = memory.mask_BM.shape[0]
    row_n, active_B, cache = np.arange(batch), np.ones(batch, dtype=bool), None
    tokens_nT = np.full((batch, 1), inputs.bos, dtype=np.int64)
    for _ in range(inputs.max_tokens):
        step = engine.step(tokens_nT, cache, memory, inputs.k_L, inputs.alpha, False)
        cache = step.cache
        logprobs_nV = log_softmax(step.logits_BTV[:, -1])
        picked_n = np.where(active_B[row_n], pick(logprobs_nV), inputs.eos).astype(np.int64)
        ids_B, logprobs_B = np.full(batch, inputs.eos, dtype=np.int64), np.zeros(batch)
        ids_B[row_n] = picked_n
        logprobs_B[row_n] = np.take_along_axis(logprobs_nV, picked_n[:, None], axis=1)[:, 0]
        yield Token(ids_B, logprobs_B, active_B, None, None)
        active_B = active_B & (ids_B != inputs.eos)
        if not active_B.any():
            return
        tokens_nT, left = picked_n[:, None], np.flatnonzero(active_B[row_n])
        if 2 * len(left) <= len(row_n):
            memory, cache = take_memory(memory, left), cache.take(left)
            row_n, tokens_nT = row_n[left], tokens_nT[left]


def collect(tokens: Iterator[Token], eos: int, rows: int) -> list[GeneratedTokens]:
    """Gather the steps of a batch into one `GeneratedTokens` per real row."""
    written = list(tokens)
    return [_row(written, eos, row) for row in range(rows)]


def _row(written: list[Token], eos: int, row: int) -> GeneratedTokens:
    row_tokens = [token for token in written if token.active_B[row]]
    finished = bool(row_tokens) and int(row_tokens[-1].ids_B[row]) == eos
    kept = row_tokens[:-1] if finished else row_tokens
    maps = [token.maps_LBHM[:, row] for token in kept if token.maps_LBHM is not None]
    gates = [token.gates_LBH[:, row] for token in kept if token.gates_LBH is not None]
    return GeneratedTokens(
        ids=[int(token.ids_B[row]) for token in kept],
        logprobs=[float(token.logprobs_B[row]) for token in row_tokens],
        finished=finished,
        maps_LHTM=np.stack(maps, axis=2) if maps else None,
        gates_LHT=np.stack(gates, axis=2) if gates else None,
    )
