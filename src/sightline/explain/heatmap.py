"""What every explanation method returns: where the model looked and which question words it read, per
answer word.

Shapes: [rows, cols] the patch grid, [Y, X] pixels of the whole picture, L decoder layers, H heads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from sightline.core.preprocessing import Seen

PIXELS = 64  # side of a map that is no finer than the patch grid


@dataclass(frozen=True)
class Heatmap:
    """One explained word.

    `patch_map` [rows, cols] and `pixel_map` [Y, X] are in [0, 1], from nothing (0) to most (1);
    outside `seen`, the part of the picture that the model saw, pixel_map is 0. `text_scores`: question words
    with their share of what the question has, sum 1. `provenance`: method, word and `image_share`, the part
    of all that is the image's. `scores` [S, S]: the method's own figures on the model's input, higher is
    more, in its own unit and with its sign; what faithfulness is measured on.
    """

    patch_map: np.ndarray
    pixel_map: np.ndarray
    text_scores: list[tuple[str, float]]
    provenance: dict[str, Any]
    scores: np.ndarray
    seen: Seen


@dataclass(frozen=True)
class Explanation:
    """An answer with one heat map per word of it; `silenced_LH` is the share of its tokens whose head SPIN
    gated."""

    question: str
    answer: str
    confidence: float
    words: list[Heatmap]
    silenced_LH: np.ndarray


def above_average(share: np.ndarray) -> np.ndarray:
    """Non-negative attention shares, a map or several [N, rows, cols] -> [0, 1]: 0 up to the average patch of
    a map, then linear to 1 at its strongest patch, or at twice the average if no patch is that strong. So an
    even map stays dark instead of becoming bright noise."""
    axes = tuple(range(share.ndim))[-2:]
    average = share.mean(axis=axes, keepdims=True)
    over = share - average
    top = np.maximum(over.max(axis=axes, keepdims=True), average)
    over /= np.where(average > 0, top, np.inf)
    return np.maximum(over, 0.0, out=over)


def evidence(scores: np.ndarray) -> np.ndarray:
    """Signed scores -> [0, 1]: what speaks against the word is 0, the strongest evidence for it 1."""
    positive = np.maximum(scores.astype(np.float64), 0.0)
    return positive / max(float(positive.max(initial=0.0)), np.finfo(np.float64).tiny)


def of_word(
    method: str,
    word: str,
    seen: Seen,
    patch_scores: np.ndarray,
    question: list[tuple[str, float]],
    *,
    scale: Callable[[np.ndarray], np.ndarray] = evidence,
    scores: np.ndarray | None = None,
) -> Heatmap:
    """The heat map of `word` on a picture of which the model saw the part `seen`, from a method's own
    figures: patch_scores [rows, cols], one signed score for each word of the question, and `scores` [S, S]
    where the method knows better than to enlarge its patches."""
    patch_scores = np.asarray(patch_scores, dtype=np.float64)
    if scores is None:
        scores = enlarge(patch_scores, PIXELS, PIXELS)
    # Plain numbers: for a few words arrays would cost more than all the rest.
    total = sum(max(float(score), 0.0) for _, score in question)
    image = float(np.maximum(patch_scores, 0.0).sum())
    everything = image + total
    return Heatmap(
        scale(patch_scores),
        on_picture(scale(scores), seen),
        of_question(question),
        {"method": method, "word": word, "image_share": image / everything if everything > 0 else 0.0},
        scores,
        seen,
    )


def of_question(question: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """A method's own figures for the question's words as shares of what speaks for the answer."""
    raw = [(word, max(float(score), 0.0)) for word, score in question]
    total = sum(score for _, score in raw)
    return [(word, score / total if total > 0 else 1.0 / len(raw)) for word, score in raw]


def enlarge(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Smooth (bicubic) enlargement."""
    if values.shape == (height, width):
        return values.astype(np.float64, copy=False)
    small = Image.fromarray(values.astype(np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64)


def resize(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Smooth enlargement of a map in [0, 1]; what the enlargement overshoots is clipped."""
    if values.shape == (height, width):
        return values
    return np.clip(enlarge(values, height, width), 0.0, 1.0)


def on_picture(square_map: np.ndarray, seen: Seen) -> np.ndarray:
    """A map of any resolution laid over the part of a picture that the model saw, [Y, X]."""
    part = resize(square_map, seen.rows, seen.columns)
    if (seen.rows, seen.columns) == (seen.height, seen.width):
        return part
    pixels = np.zeros((seen.height, seen.width))
    pixels[seen.slices] = part
    return pixels
