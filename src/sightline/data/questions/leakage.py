"""The same picture in two splits: exact copies, equal scene graphs, near-duplicates. N: items."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np

from sightline.core.shard_map import map_shards
from sightline.data.images import decode
from sightline.data.questions import near_duplicates
from sightline.data.questions.near_duplicates import Content
from sightline.data.shards import Items

NEAR = "same_picture"  # the reason of a near-duplicate
HELD = 64  # decoded pictures kept at a time
PHOTOS = 128  # of a shard


@dataclass(frozen=True)
class Leak:
    """Item `dropped` (line number) shows the same as `kept` in a later split, and gives way to it."""

    dropped: int
    kept: int
    reason: str


def rank(split: str) -> int:
    """Priority of a split: of two copies the one of lower rank is dropped (train, validation, test)."""
    return 0 if split == "train" else 1 if split.endswith("val") else 2


def find_leaks(items: Items, max_pixels: int) -> list[Leak]:
    """Leaks between splits of different rank, one for each item to drop, in the order of the items.

    Memory grows by less than a KiB an item: its digest and the thumbnail of its picture.
    """
    ranks_N = np.zeros(len(items), dtype=np.int8)
    photos: list[int] = []
    keys: dict[bytes, list[int]] = {}

    def read() -> Iterator[tuple[str, bytes]]:
        """Photos, by name and bytes; of all items the ranks and keys are noted."""
        for line in range(len(items)):
            item = items[line]
            ranks_N[line] = rank(item["split"])
            if item["image"] is None:
                continue
            data = items.image_bytes(item)
            keys.setdefault(hashlib.sha256(data).digest(), []).append(line)
            if "scene" in item:
                keys.setdefault(b"scene" + graph_key(item["scene"]), []).append(line)
            else:
                photos.append(line)
                yield item["id"], data

    photo = read()
    shards = ((block, max_pixels) for block in iter(lambda: list(islice(photo, PHOTOS)), []))
    thumbnails = list(map_shards(near_duplicates.thumbnails, shards))
    leaks: dict[int, Leak] = {}
    for key, lines in keys.items():
        reason = "same_scene" if key.startswith(b"scene") and len(key) > 32 else "same_bytes"
        last = max(lines, key=lambda line: ranks_N[line])
        for line in lines:
            if ranks_N[line] < ranks_N[last]:
                leaks.setdefault(line, Leak(line, last, reason))
    if photos:
        for leak in _near_leaks(items, max_pixels, np.array(photos), np.concatenate(thumbnails), ranks_N):
            leaks.setdefault(leak.dropped, leak)
    return [leaks[line] for line in sorted(leaks)]


def _near_leaks(
    items: Items, max_pixels: int, photos_n: np.ndarray, thumbnails_nD: np.ndarray, ranks_N: np.ndarray
) -> Iterator[Leak]:
    """Near-duplicates among some items, each of which is dropped at most once."""

    @lru_cache(maxsize=HELD)
    def shown(line: int) -> Content:
        item = items[line]
        return near_duplicates.content(decode(items.image_bytes(item), max_pixels, item["id"]))

    last = -1
    for asking, asked in near_duplicates.candidates(thumbnails_nD, ranks_N[photos_n]):
        line, other = int(photos_n[asking]), int(photos_n[asked])
        if line != last and near_duplicates.compare(shown(line), shown(other)).same():
            last = line
            yield Leak(line, other, NEAR)


def graph_key(scene: dict) -> bytes:
    """Identity of a scene graph: its objects in any order, without what follows from them."""
    objects = [{key: value for key, value in one.items() if key != "visible"} for one in scene["objects"]]
    text = json.dumps(sorted(json.dumps(one, sort_keys=True) for one in objects))
    return hashlib.sha256(text.encode()).digest()
