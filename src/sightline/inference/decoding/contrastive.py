"""Contrastive decoding against a second view of the picture: VCD and PAI's guided logits.

Both score tokens by (1 + strength) * log p(y | image) - strength * log p(y | other), those whose probability
is at least `plausible` times the largest, and pick the best or draw one. The other view is the picture under
diffusion noise in VCD (Leng et al. 2023, arXiv 2311.16922, equations 3 and 4) and no picture in PAI (Liu et
al. 2024, arXiv 2407.21771, equation 5, whose gamma is 1 + strength). Shapes as in engine.py.
"""

import numpy as np

from sightline.inference.decoding.token_loop import Pick, collect, steps
from sightline.inference.engine import DecodingInputs, Engine, GeneratedTokens, Memory

NOISE_STEPS = 1000


def generate(
    engine: Engine, memory: Memory, other: Memory, inputs: DecodingInputs, *, strength: float,
    plausible: float, pick: Pick | None = None,
) -> list[GeneratedTokens]:  # fmt: skip
    """Answer every row of `memory`, contrasted with the same row of `other`; both are decoded in one batch.

    `pick` chooses every row's token by the contrasted scores. Without it that is the likeliest, and finished
    rows are dropped as by token_loop.steps(compact=True). Log-probabilities of the answers are the model's
    own, without the contrast. Raises ValueError unless strength >= 0 and 0 < plausible <= 1.
    """
    if strength < 0 or not 0 < plausible <= 1:
        raise ValueError(
            f"contrast: strength must be at least 0 and plausible in (0, 1], got {strength} and {plausible}"
        )
    rows = memory.mask_BM.shape[0]
    both = Memory(
        np.concatenate([memory.cross_k, other.cross_k], axis=1),
        np.concatenate([memory.cross_v, other.cross_v], axis=1),
        np.concatenate([memory.mask_BM, other.mask_BM]),
        np.concatenate([memory.image_BM, other.image_BM]),
    )

    def of_both(logprobs_BV: np.ndarray) -> np.ndarray:
        image_BV, other_BV = np.split(logprobs_BV, 2)  # both views of a row end together
        scores_BV = contrasted(image_BV, other_BV, strength, plausible)
        ids_B = scores_BV.argmax(axis=1) if pick is None else pick(scores_BV)
        return np.concatenate([ids_B, ids_B])

    tokens = steps(engine, both, of_both, inputs, compact=pick is None)
    return collect(tokens, inputs.eos, rows)


def contrasted(image_BV: np.ndarray, other_BV: np.ndarray, strength: float, plausible: float) -> np.ndarray:
    """Scores of the next token, from log-probabilities; implausible tokens are minus infinity."""
    floor_B1 = image_BV.max(axis=1, keepdims=True) + np.log(plausible)
    return np.where(image_BV >= floor_B1, (1.0 + strength) * image_BV - strength * other_BV, -np.inf)


def noised(pixels_CYX: np.ndarray, step: int, generator: np.random.Generator) -> np.ndarray:
    """The normalised picture after `step` of 1,000 diffusion steps, as VCD's published code adds them: betas
    from 1e-5 to 5e-3 along a sigmoid. Step 0 is the picture itself. Raises ValueError for a step beyond
    1,000."""
    if not 0 <= step <= NOISE_STEPS:
        raise ValueError(f"contrast: noise step must be in 0..{NOISE_STEPS}, got {step}")
    if step == 0:
        return pixels_CYX
    betas = 1e-5 + (5e-3 - 1e-5) / (1.0 + np.exp(-np.linspace(-6.0, 6.0, NOISE_STEPS)))
    kept = float(np.prod(1.0 - betas[:step]))
    noise_CYX = generator.standard_normal(pixels_CYX.shape)
    return (np.sqrt(kept) * pixels_CYX + np.sqrt(1.0 - kept) * noise_CYX).astype(np.float32)
