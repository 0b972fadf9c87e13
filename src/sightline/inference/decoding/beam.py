"""Beam search with length-normalised scores (Wu et al. 2016, arXiv 1609.08144). Shapes as in engine.py, W
beams.

Every question keeps its own W beams and the batch keeps its shape, so an answer does not depend on its
neighbours. One beam is greedy decoding.
"""

import numpy as np

from sightline.inference.engine import (
    Cache,
    DecodingInputs,
    Engine,
    GeneratedTokens,
    Memory,
    log_softmax,
    take_memory,
)


class _Beams:
    """The open and finished beams of one question; a beam is (log-probabilities, ids)."""

    def __init__(self, width: int, eos: int, length_penalty: float):
        self.width, self.eos, self.length_penalty = width, eos, length_penalty
        self.open: list[tuple[list[float], list[int]]] = [([], [])]
        self.done: list[tuple[float, list[float], list[int]]] = []

    def score(self, logprobs: list[float]) -> float:
        return float(np.sum(logprobs)) / len(logprobs) ** self.length_penalty

    def advance(self, logprobs_WV: np.ndarray) -> list[int]:
        """Extend the open beams by one token; returns, for each new open beam, the beam it grew from."""
        if not self.open:
            return []
        totals_WV = logprobs_WV[: len(self.open)] + np.array([[np.sum(beam[0])] for beam in self.open])
        # Twice the width: at most `width` of them end, so that `width` open ones are left.
        best = np.argsort(-totals_WV, axis=None, kind="stable")[: 2 * self.width]
        grown: list[tuple[list[float], list[int]]] = []
        parents: list[int] = []
        for rank, flat in enumerate(best):
            parent, token = (int(part) for part in divmod(int(flat), logprobs_WV.shape[1]))
            logprobs = [*self.open[parent][0], float(logprobs_WV[parent, token])]
            if token == self.eos:
                if rank < self.width:
                    self.done.append((self.score(logprobs), logprobs, self.open[parent][1]))
            elif len(grown) < self.width:
                grown.append((logprobs, [*self.open[parent][1], token]))
                parents.append(parent)
        self.open = [] if len(self.done) >= self.width else grown
        return parents if self.open else []

    def best(self) -> GeneratedTokens:
        """The best finished beam; the best open one where none has ended."""
        finished = bool(self.done)
        ranked = self.done or [(self.score(beam[0]), *beam) for beam in self.open]
        _, logprobs, ids = max(ranked, key=lambda beam: beam[0])
        return GeneratedTokens(ids, logprobs, finished, None, None)


def generate(
    engine: Engine, memory: Memory, inputs: DecodingInputs, *, beams: int, length_penalty: float = 1.0,
    rows: int | None = None,
) -> list[GeneratedTokens]:  # fmt: skip
    """Answer every real row of `memory` with the best of `beams` beams.

    Raises ValueError unless beams and max_tokens are at least 1.
    """
    if beams < 1 or inputs.max_tokens < 1:
        raise ValueError(
            f"beam search: beams and max_tokens must be at least 1, got {beams} and {inputs.max_tokens}"
        )
    batch = memory.mask_BM.shape[0]
    questions = [_Beams(beams, inputs.eos, length_penalty) for _ in range(batch if rows is None else rows)]
    wide = take_memory(memory, np.repeat(np.arange(batch), beams))
    tokens_BT = np.full((batch * beams, 1), inputs.bos, dtype=np.int64)
    cache: Cache | None = None
    for _ in range(inputs.max_tokens):
        step = engine.step(tokens_BT, cache, wide, inputs.k_L, inputs.alpha, False)
        logprobs_BV = log_softmax(step.logits_BTV[:, -1])
        source_B = np.arange(batch * beams)
        tokens_BT = np.full((batch * beams, 1), inputs.eos, dtype=np.int64)
        for index, question in enumerate(questions):
            first = index * beams
            for beam, parent in enumerate(question.advance(logprobs_BV[first : first + beams])):
                source_B[first + beam] = first + parent
                tokens_BT[first + beam, 0] = question.open[beam][1][-1]
        if not any(question.open for question in questions):
            break
        cache = step.cache.take(source_B)
    return [question.best() for question in questions]
