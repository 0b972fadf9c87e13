"""What frozen towers make of pictures and of texts, each computed once and kept.

Each is computed alone, so that it is the same bits in any batch, kept or not, and wherever a resumed run
starts. What is beyond CACHE_BYTES is computed again each time.

B images or texts, P patches, T text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from sightline.models.tower import TextTower, VisionTower
from sightline.train.image_loader import ImageLoader

ImageBatch = tuple[list[dict], list[bool] | None]  # items, and which of them are flipped left to right
CACHE_BYTES = 2**30  # of one tower, in each process


class _TensorCache:
    def __init__(self) -> None:
        self.kept: dict[tuple, Tensor] = {}
        self.room = CACHE_BYTES

    @torch.no_grad()
    def once(self, key: Hashable, device: str, compute: Callable[[], Tensor]) -> Tensor:
        """`compute()`, or what it gave for this key in the precision that is active."""
        kind = device.split(":")[0]
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        slot = (key, precision)
        if slot in self.kept:
            return self.kept[slot]
        tensor = compute()
        if tensor.nbytes <= self.room:
            self.kept[slot] = tensor
            self.room -= tensor.nbytes
        return tensor


class ImageTokenCache(_TensorCache):
    """The tokens of an image tower."""

    def __init__(self, pictures: ImageLoader, tower: VisionTower) -> None:
        super().__init__()
        self.pictures, self.tower = pictures, tower

    def __call__(self, items: Sequence[dict], device: str, mirrored: Sequence[bool] | None = None) -> Tensor:
        """tokens_BPD of some items, or of their mirror images, in the precision that is active."""
        pairs = zip(items, mirrored or [False] * len(items), strict=True)
        return torch.stack([self._tokens(item, device, flipped) for item, flipped in pairs])

    def _tokens(self, item: dict, device: str, mirrored: bool) -> Tensor:
        key = (item["image"]["shard"], item["image"]["offset"], mirrored)
        return self.once(key, device, lambda: self.tower(self.pictures([item], device, [mirrored]))[0])


class TextStateCache(_TensorCache):
    """The states of a text tower that reads whole texts (no word dropout)."""

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        self.tower = tower

    def __call__(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """states_BTD in the precision that is active; zeros at the padding, which follows a text."""
        rows = [self._states(ids_T[:length]) for ids_T, length in zip(ids_BT, mask_BT.sum(1), strict=True)]
        states_BTD = rows[0].new_zeros(*ids_BT.shape, rows[0].shape[1])
        for row, states_TD in enumerate(rows):
            states_BTD[row, : len(states_TD)] = states_TD
        return states_BTD

    def _states(self, ids_T: Tensor) -> Tensor:
        everything = torch.ones_like(ids_T, dtype=torch.bool)[None]
        return self.once(
            tuple(ids_T.tolist()), str(ids_T.device), lambda: self.tower(ids_T[None], everything)[0]
        )
