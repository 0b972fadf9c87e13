"""What frozen parts of towers make of pictures and of texts, each computed once and kept.

Each is computed alone, on an accelerator in batches of one shape (filled up with the last picture), so that
it is the same bits in any batch, kept or not, and wherever a resumed run starts. What is beyond the limit is
computed again each time.

B images or texts, P patches, T text tokens, D width.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sightline.core import runtime
from sightline.models.tower import TextTower, VisionTower
from sightline.train.image_loader import ImageLoader

ImageBatch = tuple[list[dict], list[bool] | None]  # items, and which of them are flipped left to right
View = tuple[dict, bool]  # an item, and whether it is flipped
TOGETHER = 32  # pictures that an accelerator computes at a time
FOLDER_BYTES = 4 * 2**30  # of the features that one frozen part makes of one data set's pictures
FOLDERS = 4  # so many of them are kept, the last used
MEMORY_BYTES = 2**30  # of kept states of texts, in each process
CHECK_BYTES = 4


class FeatureFolder:
    """Tensors by name on the disk, a file each: shared by the processes of a training and by every later one
    with the same `key`. At most `limit` bytes, by `writers` processes together. Opening one removes all but
    the FOLDERS last used."""

    def __init__(self, root: Path, key: str, writers: int = 1, limit: int = FOLDER_BYTES) -> None:
        self.folder = root / key
        self.folder.mkdir(parents=True, exist_ok=True)
        os.utime(self.folder)
        others = [path for path in root.iterdir() if path.is_dir() and path != self.folder]
        for path in sorted(others, key=_last_used, reverse=True)[FOLDERS - 1 :]:
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it
        kept = sum(entry.stat().st_size for entry in os.scandir(self.folder))
        self.room = (limit - kept) // writers

    def read(self, name: str) -> Tensor | None:
        """The tensor, or None where none is kept or only a damaged one."""
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        check, body = data[:CHECK_BYTES], data[CHECK_BYTES:]
        return safetensors.torch.load(body)["features"] if check == _check(body) else None

    def keep(self, name: str, tensor: Tensor) -> None:
        """Write the tensor, unless the limit or the disk leaves no room for it."""
        body = safetensors.torch.save({"features": tensor.contiguous()})
        if len(body) > self.room:
            return
        unfinished = self.folder / f"{name}.{os.getpid()}"
        try:
            unfinished.write_bytes(_check(body) + body)
            unfinished.replace(self.folder / name)
        except FileNotFoundError:
            self.room = 0  # the folder has gone: later trainings used others
            return
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.room = 0
            runtime.log(f"{self.folder}: the disk is full, so further features are computed anew each time")
            return
        self.room -= len(body)


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _check(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(CHECK_BYTES, "big")


class ImageFeatureCache:
    """What frozen parts of an image tower make of pictures, or of their mirror images, in the precision that
    is active.

    raw: digest of the pictures, which decides the features beside the tower; writers: processes that keep
    them."""

    def __init__(self, pictures: ImageLoader, tower: VisionTower, raw: str, writers: int) -> None:
        self.pictures, self.tower, self.raw, self.writers = pictures, tower, raw, writers
        self.folders: dict[str, FeatureFolder] = {}

    def tokens(self, image: ImageBatch, device: str) -> Tensor:
        """tokens_BPD of a tower whose weights stay as they are."""

        def compute(views: list[View]) -> Tensor:
            if self.tower.trained_blocks:
                return self.tower.upper(self._lower(views, device))
            return self.tower(self._pixels(views, device))

        return self._kept("whole", _views(image), device, compute)

    def lower(self, image: ImageBatch, device: str) -> Tensor:
        """What the tower's trained blocks read (VisionTower.lower), one row a picture."""
        return self._lower(_views(image), device)

    def _lower(self, views: list[View], device: str) -> Tensor:
        return self._kept("lower", views, device, lambda views: self.tower.lower(self._pixels(views, device)))

    def _pixels(self, views: list[View], device: str) -> Tensor:
        items, mirrored = zip(*views, strict=True)
        return self.pictures(items, device, mirrored)

    @torch.no_grad()
    def _kept(
        self, part: str, views: list[View], device: str, compute: Callable[[list[View]], Tensor]
    ) -> Tensor:
        folder = self._folder(part, device)
        names = [
            f"{item['image']['shard']}-{item['image']['offset']}-{'mirrored' if mirrored else 'plain'}"
            for item, mirrored in views
        ]
        read = ((number, folder.read(name)) for number, name in enumerate(names))
        tensors = {number: tensor for number, tensor in read if tensor is not None}
        missing = [number for number in range(len(names)) if number not in tensors]
        size = _together(device)
        for start in range(0, len(missing), size):
            numbers = missing[start : start + size]
            filled = numbers + numbers[-1:] * (size - len(numbers))
            for number, tensor in zip(numbers, compute([views[at] for at in filled]), strict=False):
                tensors[number] = tensor.cpu()
                folder.keep(names[number], tensors[number])
        return torch.stack([tensors[number] for number in range(len(names))]).to(device)

    def _folder(self, part: str, device: str) -> FeatureFolder:
        """Made when first used: a tower's weights may be read after its task is made."""
        precision = _precision(device)
        slot = f"{part} {precision}"
        if slot not in self.folders:
            facts = {
                "data": self.raw,
                "preprocessing": self.pictures.preprocessing.to_config(),
                "weights": self._weights(part),
                "config": self.tower.config,
                "device": device.split(":")[0],
                "together": _together(device),
                "precision": str(precision),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
            key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
            root = runtime.features_dir()
            self.folders[slot] = FeatureFolder(root, f"{part}-{key[:16]}", self.writers)
        return self.folders[slot]

    def _weights(self, part: str) -> str:
        """Digest of the tensors that decide a part's features."""
        above = self.tower.trained_modules() if part == "lower" and self.tower.trained_blocks else []
        trained = {id(tensor) for module in above for tensor in (*module.parameters(), *module.buffers())}
        digest = hashlib.sha256()
        for name, tensor in self.tower.state_dict(keep_vars=True).items():
            if id(tensor) not in trained:
                digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def image_tokens(
    tower: VisionTower, features: ImageFeatureCache | None, image: Tensor | ImageBatch, constant: bool,
    device: str,
) -> Tensor:  # fmt: skip
    """tokens_BPD of pixels; where features are kept, of pictures by what is kept of them. constant: the
    tower's weights stay as they are."""
    if features is None:
        return tower(image)
    assert not isinstance(image, Tensor)  # what features are kept of is not read as pixels
    return features.tokens(image, device) if constant else tower.upper(features.lower(image, device))


def _views(image: ImageBatch) -> list[View]:
    items, mirrored = image
    return list(zip(items, mirrored or [False] * len(items), strict=True))


def _together(device: str) -> int:
    """Pictures that are computed at a time."""
    return 1 if device == "cpu" else TOGETHER


def _precision(device: str) -> torch.dtype | None:
    """The precision that is active."""
    kind = device.split(":")[0]
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


class TextStateCache:
    """What the parts that train read of whole texts (TextTower.lower), kept in memory."""

    def __init__(self, tower: TextTower) -> None:
        self.tower = tower
        self.kept: dict[tuple, Tensor] = {}
        self.room = MEMORY_BYTES

    def __call__(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """A row a token, in the precision that is active; zeros at the padding, which follows a text."""
        rows = [self._states(ids_T[:length]) for ids_T, length in zip(ids_BT, mask_BT.sum(1), strict=True)]
        states_BTD = rows[0].new_zeros(*ids_BT.shape, rows[0].shape[1])
        for row, states_TD in enumerate(rows):
            states_BTD[row, : len(states_TD)] = states_TD
        return states_BTD

    @torch.no_grad()
    def _states(self, ids_T: Tensor) -> Tensor:
        slot = (tuple(ids_T.tolist()), _precision(str(ids_T.device)))
        if slot in self.kept:
            return self.kept[slot]
        states_TD = self.tower.lower(ids_T[None], torch.ones_like(ids_T, dtype=torch.bool)[None])[0]
        if states_TD.nbytes <= self.room:
            self.kept[slot] = states_TD
            self.room -= states_TD.nbytes
        return states_TD
