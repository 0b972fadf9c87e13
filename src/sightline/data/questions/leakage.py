"""The same picture in two splits: exact copies, equal scene graphs, and near copies by a perceptual hash.

The hash is the 64-bit difference hash (Krawetz 2013,
https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html): each pixel of a 9 x 8 grey
thumbnail against its right neighbour. Flat pictures share hashes without being alike, so a pair counts
only if their 16 x 16 thumbnails agree as well. N: items, Y, X: rows and columns.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sightline.data.images import decode
from sightline.data.shards import Items

THUMBNAIL = 16
# Mean absolute difference, of 255. Another JPEG quality or size gives below 4 (tests); the nearest
# unrelated pair of Flickr8k, two smooth pictures, is at 7.9, the nearest frames of a series at 10.9.
THUMBNAIL_DISTANCE = 6.0
CHUNK = 2048


@dataclass(frozen=True)
class Leak:
    """Item `dropped` (line number) is left out because `kept`, in a later split, is the same picture."""

    dropped: int
    kept: int
    reason: str


def rank(split: str) -> int:
    """Priority of a split: of two copies the one of lower rank is dropped (train, validation, test)."""
    return 0 if split == "train" else 1 if split.endswith("val") else 2


def find_leaks(items: Items, max_pixels: int, distance: int) -> list[Leak]:
    """Leaks between splits of different rank, one for each item to drop, in the order of the items."""
    ranks_N = np.zeros(len(items), dtype=np.int8)
    hashes_N = np.zeros(len(items), dtype=np.uint64)
    thumbnails = np.zeros((len(items), THUMBNAIL * THUMBNAIL), dtype=np.uint8)
    photos_N = np.zeros(len(items), dtype=bool)
    keys: dict[bytes, list[int]] = {}
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
            photos_N[line] = True
            hashes_N[line], thumbnails[line] = fingerprint(decode(data, max_pixels, item["id"]))
    leaks: dict[int, Leak] = {}
    for key, lines in keys.items():
        reason = "same_scene" if key.startswith(b"scene") and len(key) > 32 else "same_bytes"
        last = max(lines, key=lambda line: ranks_N[line])
        for line in lines:
            if ranks_N[line] < ranks_N[last]:
                leaks.setdefault(line, Leak(line, last, reason))
    lines_N = np.flatnonzero(photos_N)
    for a, b in near_pairs(hashes_N[lines_N], ranks_N[lines_N], distance):
        low, high = sorted((int(lines_N[a]), int(lines_N[b])), key=lambda line: ranks_N[line])
        difference = np.abs(thumbnails[low].astype(np.int16) - thumbnails[high].astype(np.int16)).mean()
        if difference <= THUMBNAIL_DISTANCE:
            leaks.setdefault(low, Leak(low, high, "same_picture"))
    return [leaks[line] for line in sorted(leaks)]


def graph_key(scene: dict) -> bytes:
    """Identity of a scene graph: its objects in any order, without what follows from them."""
    objects = [{key: value for key, value in one.items() if key != "visible"} for one in scene["objects"]]
    text = json.dumps(sorted(json.dumps(one, sort_keys=True) for one in objects))
    return hashlib.sha256(text.encode()).digest()


def fingerprint(rgb_YXC: np.ndarray) -> tuple[np.uint64, np.ndarray]:
    """(64-bit difference hash, flat grey thumbnail uint8 [256])."""
    grey = Image.fromarray(rgb_YXC).convert("L")
    small_YX = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(small_YX[:, 1:] > small_YX[:, :-1])
    thumbnail = np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)).reshape(-1)
    return bits.view(">u8").astype(np.uint64)[0], thumbnail


def near_pairs(hashes_N: np.ndarray, groups_N: np.ndarray, distance: int) -> Iterator[tuple[int, int]]:
    """Pairs a < b of different groups whose hashes differ in at most `distance` bits, each once, sorted.

    Of distance + 1 bands at least one is equal in such a pair (pigeonhole): only those are compared.
    """
    bands = min(distance + 1, 64)
    edges = [64 * band // bands for band in range(bands + 1)]
    pairs: set[tuple[int, int]] = set()
    for low, high in zip(edges, edges[1:], strict=False):
        band_N = (hashes_N >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        order_N = np.argsort(band_N, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(band_N[order_N]) != 0])
        for bucket_N in np.split(order_N, starts[1:]):
            if len(np.unique(groups_N[bucket_N])) > 1:
                pairs.update(_close(bucket_N, hashes_N, groups_N, distance))
    yield from sorted(pairs)


def _close(
    bucket_N: np.ndarray, hashes_N: np.ndarray, groups_N: np.ndarray, distance: int
) -> Iterator[tuple[int, int]]:
    for start in range(0, len(bucket_N), CHUNK):
        rows_R = bucket_N[start : start + CHUNK]
        differences_RN = np.bitwise_count(hashes_N[rows_R, None] ^ hashes_N[None, bucket_N])
        near_RN = (differences_RN <= distance) & (groups_N[rows_R, None] < groups_N[None, bucket_N])
        for row, column in zip(*np.nonzero(near_RN), strict=True):
            a, b = int(rows_R[row]), int(bucket_N[column])
            yield (a, b) if a < b else (b, a)
