"""RISE (Petsiuk, Das and Saenko 2018, arXiv 1806.07421): many random masks, each judged by the word's
log-probability.

Masks are coarse random grids, enlarged smoothly at a random shift (the paper's section 3.2). A pixel's score
is the covariance of its visibility with the log-probability, over the variance: the paper's weighted mean of
masks (equation 6) less what every pixel would get. Words of the question come and go in the same draws. Needs
no torch. Shapes: N masks, Y,X sides, W words.
"""

import numpy as np
from PIL import Image

from sightline.explain import perturbation
from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.methods.integrated_gradients import in_patches
from sightline.explain.target import ExplainedAnswer, ExplainedModel, log_prob

MASKS, CELLS, VISIBLE, WORD = 512, 7, 0.5, 0.8  # cells a side; chance that a cell, a word stays


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    rng = np.random.default_rng([model.seed, *answer.ids, *tokens])
    pixels_CYX = model.session.pixels([answer.rgb])[0]
    background_CYX = perturbation.backgrounds(model, answer.rgb)["mean"]
    visible_NYX = masks(MASKS, pixels_CYX.shape[1], rng)
    word_NW = rng.random((MASKS, len(answer.question_words))) < WORD
    mask_NS = perturbation.question_masks(model, answer, word_NW)
    score_N = np.concatenate([
        log_prob(
            model,
            answer,
            tokens,
            perturbation.over(pixels_CYX, background_CYX, visible_NYX[rows]),
            mask_NS[rows],
        )
        for rows in np.split(np.arange(MASKS), range(perturbation.BATCH, MASKS, perturbation.BATCH))
    ])  # fmt: skip
    of_pixel_YX = _slope(score_N, visible_NYX.reshape(MASKS, -1)).reshape(visible_NYX.shape[1:])
    mean_of = np.prod(model.grid) / of_pixel_YX.size  # pixels of a cell come and go together: not a sum
    return of_word(
        "rise", answer.word(tokens), answer.seen, in_patches(of_pixel_YX, model.grid) * mean_of,
        perturbation.by_word(answer, _slope(score_N, word_NW.astype(np.float64))), scores=of_pixel_YX,
    )  # fmt: skip


def masks(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth random masks in [0, 1], [count, side, side]."""
    cell = -(-side // CELLS)
    result = np.empty((count, side, side), dtype=np.float32)
    for mask in result:
        small = Image.fromarray((rng.random((CELLS + 1, CELLS + 1)) < VISIBLE).astype(np.float32))
        large = np.asarray(small.resize(((CELLS + 1) * cell,) * 2, Image.Resampling.BILINEAR))
        top, left = rng.integers(0, cell, 2)
        mask[:] = large[top : top + side, left : left + side]
    return result


def _slope(score_N: np.ndarray, visible_NF: np.ndarray) -> np.ndarray:
    """Gain of the score per visibility of each part, from its covariance and variance over the masks."""
    centred_NF = visible_NF - visible_NF.mean(axis=0)
    variance_F = (centred_NF**2).mean(axis=0)
    covariance_F = (score_N - score_N.mean()) @ centred_NF / len(score_N)
    return np.divide(covariance_F, variance_F, out=np.zeros_like(covariance_F), where=variance_F > 0)
