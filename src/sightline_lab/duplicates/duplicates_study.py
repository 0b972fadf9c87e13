"""Planted copies among pictures: how many are found, and how many other items are left out for nothing.

Copies go to `test` and their originals to `train`, all other pictures to `train`, `val` and `test` by chance
(80, 10 and 10 %), as a build would have them.
"""

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from sightline.core import progress
from sightline.core.runtime import derive_seed
from sightline.data.images import decode
from sightline.data.questions import near_duplicates
from sightline.data.questions.near_duplicates import LIMITS
from sightline.data.shards import MAX_PIXELS

SHARES = (0.8, 0.1, 0.1)  # of train, val, test, whose ranks are 0, 1, 2
DIFFERENCES = (6.0, 8.0, 10.0, 12.0, 14.0, 20.0)  # limits that are compared
PLANTED = 0.03  # of photos
LISTED = 20


@dataclass(frozen=True)
class Picture:
    """Encoded bytes; `original` names the picture it is a copy of after `change`, both empty for others."""

    name: str
    data: bytes
    original: str = ""
    change: str = ""


def _jpeg(picture: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _scaled(picture: Image.Image, factor: float) -> Image.Image:
    size = [max(1, round(side * factor)) for side in picture.size]
    return picture.resize(size, Image.Resampling.BICUBIC)


def _cropped(picture: Image.Image, share: float) -> Image.Image:
    width, height = picture.size
    left, top = round(share * width), round(share * height)
    return picture.crop((left, top, width - left // 2, height - top // 2))


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG quality 40": lambda one: _jpeg(one, 40),
    "half the size": lambda one: _jpeg(_scaled(one, 0.5)),
    "1.4 times the size": lambda one: _jpeg(_scaled(one, 1.4)),
    "cropped by 3 to 4 %": lambda one: _jpeg(_cropped(one, 0.03)),
    "cropped by 5 to 8 %": lambda one: _jpeg(_cropped(one, 0.05)),
    "12 % darker": lambda one: _jpeg(ImageEnhance.Brightness(one).enhance(0.88)),
    "more contrast and colour": lambda one: _jpeg(
        ImageEnhance.Color(ImageEnhance.Contrast(one).enhance(1.1)).enhance(1.1)
    ),
}


def of_catalogue(folder: Path) -> Iterator[Picture]:
    """The pictures of `sightline lab catalogue`, with what its truth says of copies."""
    with open(folder / "truth.jsonl", encoding="utf-8") as file:
        for row in map(json.loads, file):
            if row["image"]:
                data = (folder / row["image"]).read_bytes()
                yield Picture(row["id"], data, row["copy_of"] or "", row["change"])


def of_photos(folder: Path, seed: int) -> Iterator[Picture]:
    """Every photo below a folder, and after some of them a copy, changed in each of CHANGES in turn."""
    rng, kinds = np.random.default_rng(derive_seed(seed, "duplicates")), list(CHANGES)
    planted = 0
    for path in sorted(folder.rglob("*.jpg")):
        data = path.read_bytes()
        yield Picture(path.name, data)
        if rng.random() < PLANTED:
            change = kinds[planted % len(kinds)]
            planted += 1
            changed = CHANGES[change](Image.fromarray(decode(data, MAX_PIXELS, path.name)))
            yield Picture(f"{path.stem}-copy.jpg", changed, path.name, change)


def measure(pictures: Iterable[Picture], seed: int) -> dict[str, Any]:
    """The figures of a set of pictures: see `_figures`."""
    kept = list(pictures)
    began = time.process_time()
    thumbnails = [
        near_duplicates.thumbnail(decode(one.data, MAX_PIXELS, one.name))
        for one in progress.track(kept, "thumbnails", len(kept))
    ]
    ranks_N = _ranks(kept, seed)
    pairs = list(near_duplicates.candidates(np.stack(thumbnails), ranks_N))
    looked = time.process_time()
    loosest = replace(LIMITS, difference=max(DIFFERENCES))
    found = []
    for one, other in progress.track(pairs, "candidates compared", len(pairs)):
        contents = (near_duplicates.content(decode(kept[n].data, MAX_PIXELS)) for n in (one, other))
        compared = near_duplicates.compare(*contents, loosest)
        if compared.same(loosest):
            found.append((one, other, compared.difference))
    seconds = {"thumbnails and candidates": looked - began, "comparisons": time.process_time() - looked}
    result = _figures(kept, ranks_N, found)
    result |= {"candidates": len(pairs), "cpu_seconds": {name: round(s, 1) for name, s in seconds.items()}}
    return result


def _ranks(kept: list[Picture], seed: int) -> np.ndarray:
    rng = np.random.default_rng(derive_seed(seed, "duplicates", "splits"))
    ranks_N = rng.choice(3, len(kept), p=SHARES).astype(np.int8)
    place = {one.name: n for n, one in enumerate(kept)}
    for n, one in enumerate(kept):
        if one.original in place:
            ranks_N[n], ranks_N[place[one.original]] = 2, 0
    return ranks_N


def _root(one: Picture, by_name: dict[str, Picture]) -> str:
    while one.original in by_name:
        one = by_name[one.original]
    return one.original or one.name


def _figures(kept: list[Picture], ranks_N: np.ndarray, found: list[tuple[int, int, float]]) -> dict[str, Any]:
    """By limit of the difference: copies found (a copy counts whose original gives way to any copy of it),
    items left out although no later split shows their picture, and what share of pairs are copies. By change
    and as examples at the limit that is used."""
    by_name = {one.name: one for one in kept}
    root = [_root(one, by_name) for one in kept]
    later = {root[n] for n in range(len(kept)) if ranks_N[n] == 2}
    planted = [n for n, one in enumerate(kept) if one.original in by_name]
    originals = {by_name[kept[n].original].name: kept[n].change for n in planted}
    rows, examples = [], []
    by_change: dict[str, list[int]] = {}
    for limit in DIFFERENCES:
        pairs: dict[int, int] = {}
        for one, other, difference in found:
            if difference <= limit:
                pairs.setdefault(one, other)
        true = {one for one, other in pairs.items() if root[one] == root[other]}
        wrong = [one for one in pairs if one not in true and root[one] not in later]
        hit = {kept[one].name for one in true} & originals.keys()
        rows.append(
            {
                "difference": limit,
                "recall": _percent(len(hit), len(originals)),
                "pairs": len(pairs),
                "precision": _percent(len(true), len(pairs)),
                "wrong": len(wrong),
                "wrong_share": _percent(len(wrong), len(kept)),
                "used": limit == LIMITS.difference,
            }
        )
        if limit == LIMITS.difference:
            examples = [[kept[one].name, kept[pairs[one]].name] for one in islice(wrong, LISTED)]
            total = Counter(originals.values())
            hits = Counter(originals[name] for name in hit)
            by_change = {change: [hits[change], count] for change, count in sorted(total.items())}
    return {
        "pictures": len(kept), "planted": len(originals), "limits": rows, "changes": by_change,
        "wrong_pairs": examples,
    }  # fmt: skip


def _percent(count: int, total: int) -> float | None:
    return round(100.0 * count / total, 2) if total else None
