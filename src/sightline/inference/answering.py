"""One answer, and how a `Generation` writes it: which decoding loop runs, and the maps behind its tokens.

Shapes: B batch, L layers, H heads, T answer tokens, M memory tokens (P patches, then the question's tokens).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from sightline.core.params.generation import Decoding, Generation
from sightline.inference.decoding import beam, greedy, sampling
from sightline.inference.describing import SEED
from sightline.inference.engine import DecodingInputs, Engine, GeneratedTokens, Memory, take_memory


@dataclass(frozen=True)
class Answer:
    """`probability` is what the model gives the answer; `confidence` the same, calibrated on `val` where the
    answer is short; `sure` whether that suffices (None: a long answer, or a model without a bound).

    `maps_LHTM` (attention of every answer token over patches and question tokens) and `gates_LHT` only if
    `need_maps`; `question_ids` are the memory's text tokens, in order. `decoding` is the decoding
    method; `candidates`, where several descriptions were compared, each with its similarity to the
    picture. `object_probability`: of a long answer's least likely object word (None: a short answer, one that
    names nothing, or a model without object words)."""

    text: str
    ids: list[int]
    probability: float
    confidence: float
    sure: bool | None
    finished: bool
    maps_LHTM: np.ndarray | None
    gates_LHT: np.ndarray | None
    question_ids: list[int]
    decoding: Decoding
    candidates: list[tuple[str, float]] = field(default_factory=list)
    object_probability: float | None = None


def generate(
    engine: Engine, memory: Memory, inputs: DecodingInputs, generation: Generation, rows: int,
    need_maps: bool,
) -> list[GeneratedTokens]:  # fmt: skip
    """Answer the first `rows` rows of `memory` by greedy decoding, beam search or sampling, with maps if
    `need_maps`. Every row is sampled with the same seed, so it does not depend on its neighbours."""
    if generation.method == "beam":
        results = beam.generate(engine, memory, inputs, beams=generation.beams, rows=rows)
        if not need_maps:
            return results
        alone = (take_memory(memory, np.array([row])) for row in range(rows))
        pairs = zip(alone, results, strict=True)
        return [with_maps(engine, row, inputs, generated) for row, generated in pairs]
    if generation.method == "sampling":
        return sampling.generate(
            engine, memory, inputs, generators=[np.random.default_rng(SEED) for _ in range(rows)],
            temperature=generation.temperature, top_p=generation.top_p, need_maps=need_maps,
        )  # fmt: skip
    return greedy.generate(engine, memory, inputs, need_maps=need_maps, rows=rows)


def with_maps(
    engine: Engine, memory: Memory, inputs: DecodingInputs, generated: GeneratedTokens
) -> GeneratedTokens:
    """The same tokens with the attention and the gates of one decoder call over all of them; `memory` has one
    row. An empty answer has neither."""
    if not generated.ids:
        return generated
    before_1T = np.array([[inputs.bos, *generated.ids[:-1]]], dtype=np.int64)
    step = engine.step(before_1T, None, memory, inputs.k_L, inputs.alpha, True)
    assert step.maps_LBHTM is not None and step.gates_LBHT is not None  # asked for
    return replace(generated, maps_LHTM=step.maps_LBHTM[:, 0], gates_LHT=step.gates_LBHT[:, 0])
