"""Picture to model input, the way torchvision does it but without torch.

Y, X: rows and columns; C: the three colour channels.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image


def preprocess(rgb_YXC: np.ndarray, size: int, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 RGB [Y, X, 3] to float32 [3, size, size].

    Shorter side to `size` (Pillow bicubic, which smooths when shrinking), centre crop, /255, normalised.
    Equals torchvision's Resize, CenterCrop, ToTensor, Normalize to the last bit.
    """
    if rgb_YXC.ndim != 3 or rgb_YXC.shape[2] != 3 or rgb_YXC.dtype != np.uint8 or 0 in rgb_YXC.shape:
        raise ValueError(
            f"preprocess: got an array of shape {rgb_YXC.shape} and type {rgb_YXC.dtype}, "
            "expected uint8 [Y, X, 3]; read pictures with sightline.data.images.decode"
        )
    rows, columns = rgb_YXC.shape[:2]
    short = min(rows, columns)
    rows_new, columns_new = int(size * rows / short), int(size * columns / short)
    if (rows_new, columns_new) != (rows, columns):
        image = Image.fromarray(rgb_YXC).resize((columns_new, rows_new), Image.Resampling.BICUBIC)
        rgb_YXC = np.asarray(image)
    top, left = round((rows_new - size) / 2), round((columns_new - size) / 2)
    crop_CYX = rgb_YXC[top : top + size, left : left + size].transpose(2, 0, 1).astype(np.float32)
    mean_C11 = np.asarray(mean, dtype=np.float32)[:, None, None]
    std_C11 = np.asarray(std, dtype=np.float32)[:, None, None]
    return np.ascontiguousarray((crop_CYX / np.float32(255) - mean_C11) / std_C11)
