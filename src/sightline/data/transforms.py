"""Picture to model input, as the libraries of pretrained towers do it, but without torch.

Y, X: rows and columns; C: the three colour channels.
"""

import numpy as np
from PIL import Image

from sightline.core.preprocessing import Preprocessing


def preprocess(rgb_YXC: np.ndarray, how: Preprocessing) -> np.ndarray:
    """uint8 RGB [Y, X, 3] to float32 [3, image_size, image_size].

    Equals torchvision's Resize, CenterCrop, ToTensor, Normalize, and so timm's transforms, to the last bit.
    """
    if rgb_YXC.ndim != 3 or rgb_YXC.shape[2] != 3 or rgb_YXC.dtype != np.uint8 or 0 in rgb_YXC.shape:
        raise ValueError(
            f"preprocess: got an array of shape {rgb_YXC.shape} and type {rgb_YXC.dtype}, "
            "expected uint8 [Y, X, 3]; read pictures with sightline.data.images.decode"
        )
    rows, columns = rgb_YXC.shape[:2]
    rows_new, columns_new = how.resized(rows, columns)
    if (rows_new, columns_new) != (rows, columns):
        interpolation = Image.Resampling[how.interpolation.upper()]
        rgb_YXC = np.asarray(Image.fromarray(rgb_YXC).resize((columns_new, rows_new), interpolation))
    size, (top, left) = how.image_size, how.corner(rows_new, columns_new)
    crop_CYX = rgb_YXC[top : top + size, left : left + size].transpose(2, 0, 1).astype(np.float32)
    mean_C11 = np.asarray(how.mean, dtype=np.float32)[:, None, None]
    std_C11 = np.asarray(how.std, dtype=np.float32)[:, None, None]
    return np.ascontiguousarray((crop_CYX / np.float32(255) - mean_C11) / std_C11)
