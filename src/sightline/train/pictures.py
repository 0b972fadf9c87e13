"""Pictures of the data set as model input, and what a frozen tower makes of them.

B images, C,Y,X channels, rows, columns, P patches, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sightline.data import images, transforms
from sightline.data.shards import Items
from sightline.models.tower import VisionTower

MAX_PIXELS = 2**25  # what the download stage keeps is smaller by far
Shown = tuple[list[dict], list[bool] | None]  # items, and which of them in a mirror
CACHE_BYTES = 2**30  # of a frozen tower's tokens, in each process


class Pictures:
    """Reads, decodes and prepares pictures for one image tower; keeps none in memory."""

    def __init__(self, items: Items, tower: VisionTower) -> None:
        self.items = items
        self.size, self.mean, self.std = tower.image_size, tower.mean, tower.std

    def __call__(
        self, items: Sequence[dict], device: str, mirrored: Sequence[bool] | None = None
    ) -> Tensor:
        """image_BCYX of some items, float32, normalised; left and right exchanged where `mirrored`."""
        shown = zip(items, mirrored or [False] * len(items), strict=True)
        arrays = [self._array(item)[..., :: -1 if other else 1] for item, other in shown]
        return torch.from_numpy(np.stack(arrays)).to(device)

    def _array(self, item: dict) -> np.ndarray:
        rgb_YXC = images.decode(self.items.image_bytes(item), MAX_PIXELS, item["id"])
        return transforms.preprocess(rgb_YXC, self.size, self.mean, self.std)


class FrozenTokens:
    """The tokens that a frozen image tower makes of pictures, each computed once and kept.

    Each picture is computed alone, so that its tokens are the same bits in any batch, kept or not, and
    wherever a resumed run starts. What is beyond CACHE_BYTES is computed again each time.
    """

    def __init__(self, pictures: Pictures, tower: VisionTower) -> None:
        self.pictures, self.tower = pictures, tower
        self.kept: dict[tuple, Tensor] = {}
        self.room = CACHE_BYTES

    def __call__(
        self, items: Sequence[dict], device: str, mirrored: Sequence[bool] | None = None
    ) -> Tensor:
        """tokens_BPD of some items, or of their mirror images, in the precision that is active."""
        shown = zip(items, mirrored or [False] * len(items), strict=True)
        return torch.stack([self._tokens(item, device, other) for item, other in shown])

    @torch.no_grad()
    def _tokens(self, item: dict, device: str, mirrored: bool) -> Tensor:
        kind = device.split(":")[0]
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        place = (item["image"]["shard"], item["image"]["offset"], mirrored, precision)
        if place in self.kept:
            return self.kept[place]
        tokens_PD = self.tower(self.pictures([item], device, [mirrored]))[0]
        if tokens_PD.nbytes <= self.room:
            self.kept[place] = tokens_PD
            self.room -= tokens_PD.nbytes
        return tokens_PD
