"""Re-ranked descriptions: the dual encoder chooses the candidate of inference.decoding.clip_guided that is
most similar to the picture. Numpy alone.

C candidates, E embedding width, S tokens of a padded question; C,Y,X channels and sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.core.params.generation import Generation
from sightline.inference.decoding import clip_guided, contrastive
from sightline.inference.encoding import Encoder
from sightline.inference.engine import DecodingInputs, GeneratedTokens, Memory

SEED = 0  # of sampling and noise: a picture always gets the same description


@dataclass(frozen=True)
class ChosenDescription:
    """`generated` is the candidate of the largest similarity, written from `memory`. likeness_C: cosine of a
    candidate's embedding and the picture's, in the order of `candidates`, the likeliest first."""

    generated: GeneratedTokens
    memory: Memory
    candidates: list[str]
    likeness_C: np.ndarray


def choose(
    encoder: Encoder, pixels_CYX: np.ndarray, question: str, captions: Sequence[str], generation: Generation,
    inputs: DecodingInputs,
) -> ChosenDescription:  # fmt: skip
    """Generate the candidates and choose one; of equals the likeliest, then the one sampled first."""
    ids_1S, mask_1S = encoder.question_ids([question])

    def memory(pixels_CYX: np.ndarray) -> Memory:
        return encoder.memory(encoder.engine.image_tokens(pixels_CYX[None]), ids_1S, mask_1S, [captions])

    noise, *generators = (np.random.default_rng([SEED, draw]) for draw in range(generation.candidates))
    clean, noised = memory(pixels_CYX), None
    if generation.contrast > 0:
        noised = memory(contrastive.noised(pixels_CYX, clip_guided.NOISE_STEPS, noise))
    *drawn, likeliest = clip_guided.generate(encoder.engine, clean, noised, inputs, generation, generators)
    written = [likeliest, *drawn]
    texts = [encoder.tokenizer.decode(generated.ids) for generated in written]
    embeds_CE, (embed_E,) = encoder.embed_texts(texts), encoder.engine.embed_images(pixels_CYX[None])[1]
    likeness_C = embeds_CE @ embed_E
    return ChosenDescription(written[int(likeness_C.argmax())], clean, texts, likeness_C)
