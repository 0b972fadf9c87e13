"""Taking parts away from a picture and a question: what deletion tests and black-box methods share.

A presence vector has one number in [0, 1] per part: those of the picture (`segments.py`), then the words of
the question. Shapes: N rows, P parts of the picture, W words, F = P + W, C,Y,X channels and sides, S tokens.
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
    pixels_CYX: np.ndarray, background_CYX: np.ndarray, present_NP: np.ndarray, segment_YX: np.ndarray
) -> np.ndarray:
    """Pictures in which the parts of `segment_YX` are present to the given share, [N, C, Y, X] float32."""
    return over(pixels_CYX, background_CYX, present_NP[:, segment_YX])


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


def scores(
    model: ExplainedModel,
    answer: ExplainedAnswer,
    tokens: list[int],
    segment_YX: np.ndarray,
    present_NF: np.ndarray,
    background: str = "mean",
) -> np.ndarray:
    """Log-probability of the word at `tokens` with only some parts present, [N] float64."""
    parts = int(segment_YX.max()) + 1
    pixels_CYX = model.session.pixels([answer.rgb])[0]
    background_CYX = backgrounds(model, answer.rgb)[background]
    chunks = []
    for start in range(0, len(present_NF), BATCH):
        rows = present_NF[start : start + BATCH]
        pixels_NCYX = blend(pixels_CYX, background_CYX, rows[:, :parts], segment_YX)
        mask_NS = question_masks(model, answer, rows[:, parts:])
        chunks.append(log_prob(model, answer, tokens, pixels_NCYX, mask_NS))
    return np.concatenate(chunks)


def by_word(answer: ExplainedAnswer, values_W: np.ndarray) -> list[tuple[str, float]]:
    """Each word of the question with its score."""
    return [(word, float(value)) for (word, _), value in zip(answer.question_words, values_W, strict=True)]
