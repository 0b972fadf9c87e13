"""The parts of a picture that come and go together when a method hides some of it: the patches of the model's
grid, or superpixels, which follow what the photo shows.

Superpixels are those of SLIC (Achanta et al. 2012, "SLIC superpixels compared to state-of-the-art superpixel
methods", IEEE TPAMI 34) by scikit-image. It draws nothing at random, so a picture always has the same ones.

A segmentation is segment_YX: for every pixel of the model's input the number of its part, 0 to P - 1.
Shapes: Y,X sides, C channels, P parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sightline.explain.target import ExplainedModel

SEGMENTS = 50  # SLIC starts from so many, about a 7 x 7 grid's patches; it ends with twice as many at most
COMPACTNESS = 20.0  # nearness against colour: lower follows colour into threads, higher nears squares
SMOOTHING = 1.0  # pixels: grain of a photo is no border


def of_picture(model: ExplainedModel, rgb: np.ndarray) -> np.ndarray:
    """segment_YX of the picture `rgb` [Y, X, 3] uint8 as the model sees it, by `model.segments`."""
    if model.segments == "grid":
        return patches(model.session.image_size, model.grid)
    preprocessing = model.session.preprocessing
    pixels_YXC = model.session.pixels([rgb])[0].transpose(1, 2, 0).astype(np.float64)
    return superpixels(np.clip(pixels_YXC * preprocessing.std + preprocessing.mean, 0.0, 1.0))


def patches(side: int, grid: tuple[int, int]) -> np.ndarray:
    """The patches of the grid [rows, cols], row by row, on a square of `side` pixels."""
    rows, cols = (np.arange(side) * cells // side for cells in grid)
    return rows[:, None] * grid[1] + cols


def superpixels(rgb_YXC: np.ndarray) -> np.ndarray:
    """segment_YX of a picture, RGB in [0, 1]. Raises ValueError without scikit-image."""
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise ValueError(
            "explain.segments slic needs scikit-image: pip install scikit-image==0.26.0"
        ) from error
    label_YX = slic(rgb_YXC, SEGMENTS, COMPACTNESS, sigma=SMOOTHING, start_label=0)
    return np.unique(label_YX, return_inverse=True)[1].reshape(label_YX.shape)
