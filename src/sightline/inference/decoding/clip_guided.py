"""Candidates of a description in one batch: CLIP-guided decoding (Deng et al. 2024, arXiv 2402.15300) of
whole descriptions, with visual contrastive decoding if `contrast` is above 0. inference.describing chooses
the one that is most similar to the picture.

Shapes as in engine.py, C candidates.
"""

from collections.abc import Sequence

import numpy as np

from sightline.core.params.generation import Generation
from sightline.inference.decoding import contrastive
from sightline.inference.decoding.sampling import token_sampler
from sightline.inference.decoding.token_loop import collect, steps
from sightline.inference.engine import DecodingInputs, Engine, GeneratedTokens, Memory, take_memory

NOISE_STEPS = 900  # diffusion steps of the noise of the contrasted view
PLAUSIBLE = 0.1  # a token less likely than this share of the likeliest one is never written


def generate(
    engine: Engine, memory: Memory, noised: Memory | None, inputs: DecodingInputs, generation: Generation,
    generators: Sequence[np.random.Generator],
) -> list[GeneratedTokens]:  # fmt: skip
    """The `generation.candidates` answers about the one row of `memory`, contrasted with the one of `noised`
    (None: no contrast): those sampled by the C - 1 generators, then the likeliest."""
    copies_C = np.zeros(generation.candidates, dtype=np.int64)
    pick = token_sampler(generators, generation.temperature, generation.top_p)
    rows = take_memory(memory, copies_C)
    if noised is None:
        return collect(steps(engine, rows, pick, inputs), inputs.eos, generation.candidates)
    return contrastive.generate(
        engine, rows, take_memory(noised, copies_C), inputs, strength=generation.contrast,
        plausible=PLAUSIBLE, pick=pick,
    )  # fmt: skip
