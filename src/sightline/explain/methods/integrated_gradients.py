"""Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365) of pixels and question words.

From nothing (the picture's mean colour, every word [MASK]) to the picture and the question as they are, on a
straight line, by Gauss-Legendre quadrature. The attributions of all pixels and words sum to the gain in
log-probability (completeness; a test holds it). A patch has the sum of its pixels'; the map is smoothed,
since single pixels of it are noise. Needs the PyTorch model.

Shapes: B steps of the line, C,Y,X channels and sides, Q question tokens.
"""

from __future__ import annotations

import numpy as np

from sightline.explain import perturbation
from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.target import ExplainedAnswer, ExplainedModel

STEPS = 32
SMOOTH = 1 / 16  # standard deviation, of a side


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    from sightline.explain import gradients

    of_pixel_CYX, of_token_Q = attribute(model, answer, tokens)
    of_pixel_YX = of_pixel_CYX.sum(axis=0)
    return of_word(
        "integrated_gradients", answer.word(tokens), answer.seen,
        in_patches(of_pixel_YX, model.grid), gradients.words(answer, of_token_Q),
        scores=smooth(of_pixel_YX, SMOOTH * len(of_pixel_YX)),
    )  # fmt: skip


def attribute(
    model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(of_pixel_CYX, of_token_Q) in log-probability; tokens of the template have 0."""
    import torch

    from sightline.explain import gradients

    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    along_B, weight_B = (nodes + 1) / 2, weights / 2
    start_CYX = perturbation.backgrounds(model, answer.rgb)["mean"]
    path_CYX = model.session.pixels([answer.rgb])[0] - start_CYX
    pixels_BCYX = torch.from_numpy(
        (start_CYX + along_B[:, None, None, None] * path_CYX).astype(np.float32)
    ).requires_grad_()
    word_Q = np.zeros(len(answer.question_ids))
    word_Q[[position for _, positions in answer.question_words for position in positions]] = 1.0
    presence_BQ = torch.from_numpy(
        (1 - word_Q + along_B[:, None] * word_Q).astype(np.float32)
    ).requires_grad_()
    tape = gradients.run(model, answer, tokens, pixels_BCYX, presence_BQ)
    slope_BCYX, slope_BQ = gradients.of(tape, [pixels_BCYX, presence_BQ])
    return np.tensordot(weight_B, slope_BCYX, 1) * path_CYX, (weight_B @ slope_BQ) * word_Q


def smooth(of_pixel_YX: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian mean of a map's neighbouring pixels; `deviation` in pixels."""
    rows, cols = (np.arange(side) for side in of_pixel_YX.shape)
    blur = [np.exp(-((at[:, None] - at) ** 2) / (2 * deviation**2)) for at in (rows, cols)]
    left, right = (kernel / kernel.sum(axis=1, keepdims=True) for kernel in blur)
    return left @ of_pixel_YX @ right.T


def in_patches(of_pixel_YX: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Sums over the patches of the grid, [rows, cols]."""
    (rows, cols), (height, width) = grid, of_pixel_YX.shape
    sums = np.zeros(grid)
    cells = np.ix_(np.arange(height) * rows // height, np.arange(width) * cols // width)
    np.add.at(sums, cells, of_pixel_YX)
    return sums
