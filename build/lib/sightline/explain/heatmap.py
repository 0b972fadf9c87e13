"""What every explanation method returns: where the model looked and which question words it read, per
answer word.

Shapes: [rows, cols] the patch grid, [Y, X] pixels of the whole picture, L decoder layers, H heads.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Heatmap:
    """One explained word.

    `patch_map` [rows, cols] and `pixel_map` [Y, X] are in [0, 1], from average or less (0) to most (1);
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


def above_average(share: np.ndarray) -> np.ndarray:
    """Non-negative attention shares -> [0, 1]: 0 up to the average patch, then linear to 1 at the strongest
    patch, or at twice the average if no patch is that strong. So an even map stays dark instead of becoming
    bright noise."""
    average = float(share.mean())
    if average <= 0:
        return np.zeros_like(share, dtype=np.float64)
    over = share.astype(np.float64) / average - 1.0
    return np.clip(over / max(float(over.max()), 1.0), 0.0, 1.0)


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
