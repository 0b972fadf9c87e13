"""Some items of the data as the stage `download` would build them, and how many there are, without the
network. A picture that would be fetched is one of noise."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.core import artifacts, registry
from sightline.core.params.data_params import DataParams
from sightline.core.params.loader import Params
from sightline.data import images
from sightline.data.intake import usable
from sightline.data.shards import Items, ShardWriter

PER_SPLIT = 500  # items that are looked at
NOISE = 256  # side of a picture that stands for one to fetch
REMOTE = "image_remote"  # why a picture is refused that nothing was fetched for


@dataclass(frozen=True)
class Sample:
    """A built sample. taken: its items by split; items: those of the whole data, reckoned; remote: pictures
    of the whole to fetch; bytes_per_item: of the shards; seconds_per_item: processor time to build one."""

    taken: Mapping[str, int]
    items: Mapping[str, int]
    remote: int
    bytes_per_item: float
    seconds_per_item: float


def take(params: Params, folder: Path) -> Sample:
    """Build a sample in `folder`/data/raw. Raises ValueError, as the stage would, for unusable data."""
    source = registry.load("data/sources", params.data.source)
    limit = min(PER_SPLIT, params.data.max_items or PER_SPLIT)
    data = params.data.replaced(max_items=limit)
    first = folder / "first"
    began = time.process_time()
    built = source.build(data, params.seed, first, online=False)
    seconds = time.process_time() - began
    config = {"source": params.data.source, "image_side": params.data.image_side, **built}
    remote = built["rejected"].get(REMOTE, 0)
    raw = folder / "data" / "raw"
    with artifacts.create(raw, "raw", config) as out:
        _copy(first, out, data)
        config["rejected"] = {name: n for name, n in built["rejected"].items() if name != REMOTE}
        usable.require(config, out, data)
    accepted = sum(built["items"].values())
    items = _whole(built, limit, data)
    scale = sum(items.values()) / max(accepted, 1)
    stored = sum(path.stat().st_size for path in raw.iterdir())
    return Sample(built["items"], items, round(remote * scale), stored / accepted, seconds / accepted)


def _whole(built: dict, limit: int, data: DataParams) -> dict[str, int]:
    """Items of each split in the whole data: a split below the limit is complete; the unused rows are
    those of the full ones, in which train has what val and test leave."""
    items, rows = built["items"], built["rows"]
    unused = rows["unused"] * sum(items.values()) / max(rows["accepted"], 1)
    if data.max_items and limit < PER_SPLIT:
        return dict(items)
    shares = {"val": data.val_share, "test": data.val_share, "train": 1 - 2 * data.val_share}
    full = {name: shares.get(name, data.val_share) for name, n in items.items() if n >= limit}
    total = sum(limit for _ in full) + unused
    sizes = {name: round(total * share / sum(full.values())) for name, share in full.items()}
    return {name: max(n, sizes.get(name, 0)) for name, n in items.items()}


def _copy(built: Path, out: Path, data: DataParams) -> None:
    """Copy the items; those whose picture would be fetched get noise, which no two share."""
    items, remote, draw = Items(built), set(), np.random.default_rng(0)
    with ShardWriter(out, data.shard_mb << 20) as writer:
        with open(built / "rejected.jsonl", encoding="utf-8") as file:
            for record in map(json.loads, file):
                if record["reason"] == REMOTE:
                    remote.add(record["id"])
                else:
                    writer.reject(record["id"], record["reason"], record["detail"])
        for number in range(len(items)):
            item = items[number]
            picture = items.image_bytes(item) if item["image"] else None
            if picture is None and item["id"] in remote:
                coarse = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                picture = images.encode(coarse.repeat(NOISE // 8, 0).repeat(NOISE // 8, 1))[0]
            writer.add(item, picture)
