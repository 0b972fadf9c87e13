"""Pictures of the data set as model input. B images, C,Y,X channels, rows, columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sightline.data import transforms
from sightline.data.shards import Items
from sightline.models.tower import VisionTower


class ImageLoader:
    """Reads, decodes and prepares pictures for one image tower; keeps none in memory."""

    def __init__(self, items: Items, tower: VisionTower) -> None:
        self.items = items
        self.preprocessing = tower.preprocessing

    def __call__(self, items: Sequence[dict], device: str, mirrored: Sequence[bool] | None = None) -> Tensor:
        """image_BCYX of some items, float32, normalised; left and right exchanged where `mirrored`."""
        pairs = zip(items, mirrored or [False] * len(items), strict=True)
        arrays = [self._array(item)[..., :: -1 if flipped else 1] for item, flipped in pairs]
        return torch.from_numpy(np.stack(arrays)).to(device)

    def _array(self, item: dict) -> np.ndarray:
        return transforms.preprocess(self.items.image(item), self.preprocessing)
