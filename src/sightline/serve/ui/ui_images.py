"""Pictures for the page, as data addresses: nothing is kept on disk, nothing but pixels is kept at all.

Shapes: [Y, X, 3] pictures, [rows, cols] patch maps.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.core.preprocessing import Seen
from sightline.data import images
from sightline.data.shards import Items
from sightline.explain.heatmap import resize
from sightline.inference.session import Session
from sightline.search.item_index import ItemIndex
from sightline.serve import image_input
from sightline.serve.image_input import Picture
from sightline.serve.limits import Limits

VIEW_SIDE, THUMB_SIDE = 640, 200  # longest side of a picture shown, of a search result's
MAP_SIDE = 40  # of a map; the browser smooths it to the picture's size
SMALL = 128  # pictures up to this side are enlarged pixel by pixel
# Dark to bright, as lightness alone also tells (matplotlib's inferno from 20 % on, six of its colours).
RAMP = np.array([[66, 10, 104], [130, 37, 103], [187, 55, 84], [229, 92, 48], [251, 155, 6], [252, 255, 164]])


@dataclass(frozen=True)
class DisplayedImage:
    """A chosen picture: the model's input, the part of it that the model sees, and the data address that the
    page displays."""

    picture: Picture
    seen: Seen
    view: str

    @property
    def small(self) -> bool:
        return max(self.picture.height, self.picture.width) <= SMALL

    @property
    def visible_part(self) -> str:
        """CSS for the part that the model sees."""
        height, width, top, left, rows, columns = self.seen
        return (
            f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
            f"width:{100 * columns / width:.2f}%;height:{100 * rows / height:.2f}%"
        )


def choose(url: str, session: Session, limits: Limits) -> DisplayedImage:
    """A picture given as a data URL, refused as by the API (ApiError)."""
    rgb = image_input.decode(url, limits, fetch=False)
    picture, seen = image_input.ready(rgb, session.pixels), session.preprocessing.seen(*rgb.shape[:2])
    return DisplayedImage(picture, seen, address(images.shrink(rgb, VIEW_SIDE)))


def address(pixels: np.ndarray) -> str:
    """Pixels [Y, X, 3 or 4] as a data address without metadata; large pictures as JPEG."""
    ext = "png" if pixels.shape[2] == 4 or max(pixels.shape[:2]) <= SMALL else "jpg"
    data, ext = images.encode(pixels, ext)
    return encoded(data, "jpeg" if ext == "jpg" else ext)


def encoded(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def glow(patch_map: np.ndarray) -> str:
    """A map in [0, 1] as colours, more opaque where it is stronger."""
    smooth = resize(patch_map, MAP_SIDE, MAP_SIDE)
    stops = np.linspace(0.0, 1.0, len(RAMP))
    colours = np.stack([np.interp(smooth, stops, RAMP[:, channel]) for channel in range(3)], axis=2)
    alpha = 235 * smooth**0.75
    return address(np.rint(np.concatenate([colours, alpha[..., None]], axis=2)).astype(np.uint8))


@dataclass(frozen=True)
class Example:
    """A picture that ships with the model, and questions that it can answer."""

    url: str
    caption: str
    questions: Sequence[str]


def examples(bundle: Path) -> list[Example]:
    """The bundle's example pictures; none where it was trained on photographs, which belong to others."""
    folder = bundle / "examples"
    if not (folder / "examples.json").is_file():
        return []
    return [
        Example(encoded((folder / row["file"]).read_bytes()), row["caption"], row["questions"])
        for row in artifacts.read_json(folder / "examples.json")
    ]


class Thumbs:
    """Pictures of search results: the index's own, else from the checkout's data/raw where it holds the data
    that the bundle was trained on, as photographs that belong to others are not copied into an index."""

    def __init__(self, bundle: Path, checkout: Path | None) -> None:
        raw = checkout / "data" / "raw" if checkout else None
        self._items = None
        if raw and (raw / "items.jsonl").is_file() and (raw / "config.json").is_file():
            same = artifacts.read_json(raw / "config.json").get("source") == artifacts.read_json(
                bundle / "config.json"
            ).get("source")
            self._items = Items(raw) if same else None

    def any(self, index: ItemIndex) -> bool:
        return index.has_thumbnails or self._items is not None

    @cached_property
    def _lines(self) -> dict[str, int]:
        items = self._items
        return {items[line]["id"]: line for line in range(len(items))} if items is not None else {}

    def get(self, index: ItemIndex, id: str, max_pixels: int) -> str | None:
        """The picture of an item as a data address, None where there is none that can be read."""
        number = index.find(id)
        if number is not None and (small := index.thumbnail(number)):
            return encoded(small, "jpeg")
        items = self._items
        if items is None or (line := self._lines.get(id)) is None or (item := items[line])["image"] is None:
            return None
        try:
            rgb = images.decode(items.image_bytes(item), max_pixels, id)
        except (images.ImageError, ValueError):
            return None
        return address(images.shrink(rgb, THUMB_SIDE))
