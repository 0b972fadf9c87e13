"""Small pictures, params and readers shared by the tests of the sources."""

import io
import json

import numpy as np
from PIL import Image

from sightline.core.params.checks import NO_INPUT
from sightline.core.params.data_params import DataParams
from sightline.data.shards import Items

NO_COLUMNS = {"id": "", "image": "", "captions": [], "split": "", "question": "", "answer": ""}


def jpeg(seed=0, side=32, **options):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(
        out, "JPEG", **options
    )
    return out.getvalue()


def params(source, **changes):
    return DataParams(
        **{
            "source": source, "path": NO_INPUT, "pictures": NO_INPUT, "columns": NO_COLUMNS,
            "base_url": "", "checksums": {}, "max_items": 0,
            "sizes": {}, "image_side": 64, "shard_mb": 1, "max_pixels": 1_000_000, "timeout_s": 2.0,
            "val_share": 0.2, **changes,
        }
    )  # fmt: skip


def read(folder):
    """(items by id, rejected records)."""
    items = Items(folder)
    rejected = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    return {items[n]["id"]: items[n] for n in range(len(items))}, rejected


def balanced(config):
    rows = config["rows"]
    return rows["in"] == rows["accepted"] + rows["rejected"] + rows["unused"]
