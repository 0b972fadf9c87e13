"""Schema of the section `data`: which pictures and captions, and how they are stored."""

import re
from dataclasses import dataclass

from sightline.core.params.checks import above, at_least, between, plugin, require

PIN = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
SPLIT = re.compile(r"[a-z][a-z0-9_]*")
NEEDS = {"scenes": "sizes", "csv": "path", "flickr8k": "base_url"}


@dataclass(frozen=True)
class DataParams:
    """Parameters of the download stage; sides in pixels, times in seconds, shards in MiB."""

    source: str
    path: str
    base_url: str
    pins: dict[str, str]
    max_items: int
    sizes: dict[str, int]
    image_side: int
    shard_mb: int
    max_pixels: int
    timeout_s: float
    val_share: float

    def __post_init__(self) -> None:
        plugin("data.source", self.source, "data/sources")
        at_least("data", self, 0, ["max_items"])
        at_least("data", self, 1, ["shard_mb", "max_pixels"])
        between("data", self, 16, 4096, ["image_side"])
        between("data", self, 0.001, 0.4, ["val_share"])
        above("data", self, 0, ["timeout_s"])
        need = NEEDS.get(self.source)
        filled = not need or bool(getattr(self, need))
        require(filled, f"data.{need}", "", f"a value: the source {self.source} needs it")
        known = not self.base_url or self.base_url.startswith(("https://", "http://", "file://"))
        require(known, "data.base_url", self.base_url, "an address that starts with https:// or file://")
        for archive, pin in self.pins.items():
            require(bool(PIN.fullmatch(pin)), f"data.pins.{archive}", pin, "md5:<32 hex> or sha256:<64 hex>")
        for split, size in self.sizes.items():
            require(bool(SPLIT.fullmatch(split)), f"data.sizes.{split}", split, "a split name in lower case")
            require(size >= 1, f"data.sizes.{split}", size, "a number of images >= 1")
