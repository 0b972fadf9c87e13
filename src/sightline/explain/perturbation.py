"""Taking parts away from a picture and a question: what deletion tests and black-box methods share.

A presence vector has one number in [0, 1] per part: the patches of the grid, row by row, then the words of
the question. Shapes: N rows, P patches, W words, F = P + W parts, C,Y,X channels and sides, S tokens.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from sightline.explain.target import ExplainedAnswer, ExplainedModel, log_prob

BATCH = 64
BLUR = 0.1  # of the picture's shorter side: the standard deviation that hides every object of a scene


def backgrounds(model: ExplainedModel, rgb: np.ndarray) -> dict[str, np.ndarray]:
    """What a removed part is replaced by, name -> pixels_CYX: the picture's mean colour, and its blur."""
    pixels_CYX = model.session.pixels([rgb])[0]
    mean_CYX = np.broadcast_to(pixels_CYX.mean(axis=(1, 2), keepdims=True), pixels_CYX.shape)
    blurred = Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(BLUR * min(rgb.shape[:2])))
    return {"mean": mean_CYX, "blur": model.session.pixels([np.asarray(blurred)])[0]}


def blend(
    pixels_CYX: np.ndarray, background_CYX: np.ndarray, present_NP: np.ndarray, grid: tuple[int, int]
) -> np.ndarray:
    """Pictures in which patches are present to the given share, [N, C, Y, X] float32."""
    (rows, cols), (height, width) = grid, pixels_CYX.shape[1:]
    present_NRC = present_NP.reshape(-1, rows, cols)
    present_NYX = present_NRC[:, np.arange(height) * rows // height][:, :, np.arange(width) * cols // width]
    return over(pixels_CYX, background_CYX, present_NYX)


def over(pixels_CYX: np.ndarray, background_CYX: np.ndarray, present_NYX: np.ndarray) -> np.ndarray:
    """The picture over the background, each pixel as present as its share, [N, C, Y, X] float32."""
    mixed = background_CYX + present_NYX[:, None] * (pixels_CYX - background_CYX)
    return np.ascontiguousarray(mixed, dtype=np.float32)


def question_masks(model: ExplainedModel, answer: ExplainedAnswer, present_NW: np.ndarray) -> np.ndarray:
    """mask_NS of the question, without the words whose presence is below one half."""
    _, mask_1S = model.session.question_ids([answer.question])
    mask_NS = np.repeat(mask_1S, len(present_NW), axis=0)
    for word, (_, positions) in enumerate(answer.question_words):
        mask_NS[np.ix_(present_NW[:, word] < 0.5, np.asarray(positions, dtype=np.intp))] = False
    return mask_NS


def parts(model: ExplainedModel, answer: ExplainedAnswer) -> tuple[int, int]:
    """(number of patches, number of the question's words)."""
    return int(np.prod(model.grid)), len(answer.question_words)


def scores(
    model: ExplainedModel,
    answer: ExplainedAnswer,
    tokens: list[int],
    present_NF: np.ndarray,
    background: str = "mean",
) -> np.ndarray:
    """Log-probability of the word at `tokens` with only some parts present, [N] float64."""
    patches, _ = parts(model, answer)
    pixels_CYX = model.session.pixels([answer.rgb])[0]
    background_CYX = backgrounds(model, answer.rgb)[background]
    chunks = []
    for start in range(0, len(present_NF), BATCH):
        rows = present_NF[start : start + BATCH]
        pixels_NCYX = blend(pixels_CYX, background_CYX, rows[:, :patches], model.grid)
        mask_NS = question_masks(model, answer, rows[:, patches:])
        chunks.append(log_prob(model, answer, tokens, pixels_NCYX, mask_NS))
    return np.concatenate(chunks)


def by_word(answer: ExplainedAnswer, values_W: np.ndarray) -> list[tuple[str, float]]:
    """Each word of the question with its score."""
    return [(word, float(value)) for (word, _), value in zip(answer.question_words, values_W, strict=True)]
