"""What every explanation method returns: where the model looked and which question words it read, per
answer word.

Shapes: [rows, cols] the patch grid, [Y, X] pixels of the whole picture, L decoder layers, H heads.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

_FLAT = 1e-9  # a map that varies less than this says nothing about place


@dataclass(frozen=True)
class Heatmap:
    """One explained word.

    `patch_map` [rows, cols] and `pixel_map` [Y, X] are in [0, 1], 1 where the model looked most, 0 least;
    outside the square the model saw, pixel_map is 0. `text_scores`: question words with their share of the
    attention on the question, sum 1. `provenance`: method, word and `image_share`, the part of all
    attention that fell on the image.
    """

    patch_map: np.ndarray
    pixel_map: np.ndarray
    text_scores: list[tuple[str, float]]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Explanation:
    """An answer with one heat map per word of it; `silenced_LH` is the share of its tokens whose head SPIN
    gated."""

    question: str
    answer: str
    confidence: float
    words: list[Heatmap]
    silenced_LH: np.ndarray


def stretch(values: np.ndarray) -> np.ndarray:
    """Values moved and scaled to span [0, 1]; a flat map becomes 0 everywhere rather than amplified noise."""
    low, high = float(values.min()), float(values.max())
    if high - low < _FLAT:
        return np.zeros_like(values, dtype=np.float64)
    return (values.astype(np.float64) - low) / (high - low)


def resize(patch_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """Smooth (bicubic) enlargement of a map, clipped to [0, 1]."""
    small = Image.fromarray(patch_map.astype(np.float32))
    return np.clip(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64), 0.0, 1.0)


def seen_square(height: int, width: int) -> tuple[int, int, int]:
    """(top, left, side) of the centre square that preprocessing keeps."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def on_picture(patch_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """The map laid over the part of a [height, width] picture that the model saw."""
    top, left, side = seen_square(height, width)
    pixels = np.zeros((height, width))
    pixels[top : top + side, left : left + side] = resize(patch_map, side, side)
    return pixels
