"""Pictures for the page, as data addresses: nothing is kept on disk, nothing but pixels is kept at all.

Shapes: [Y, X, 3] pictures, [rows, cols] patch maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.core.preprocessing import Seen
from sightline.data import images
from sightline.data.image_workers import ImageWorkers
from sightline.data.shards import Items
from sightline.explain.heatmap import resize
from sightline.inference.session import Session
from sightline.search import examples as search_examples
from sightline.search.item_index import ItemIndex
from sightline.serve import image_input
from sightline.serve.deploy.deployment import Limits
from sightline.serve.image_input import Picture

VIEW_SIDE, THUMB_SIDE = 640, 256  # longest side of a picture shown, of a search result's
MAP_SIDE = 40  # of a map; the browser smooths it to the picture's size
# Dark to bright, as lightness alone also tells (matplotlib's inferno from 20 % on, six of its colours).
RAMP = np.array([[66, 10, 104], [130, 37, 103], [187, 55, 84], [229, 92, 48], [251, 155, 6], [252, 255, 164]])


@dataclass(frozen=True)
class DisplayedImage:
    """A chosen picture: the model's input, the part of it that the model sees, the data address that the page
    displays, and whether that is so small that it is enlarged pixel by pixel."""

    picture: Picture
    seen: Seen
    view: str
    small: bool

    @property
    def visible_part(self) -> str:
        """CSS for the part that the model sees."""
        height, width, top, left, rows, columns = self.seen
        return (
            f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
            f"width:{100 * columns / width:.2f}%;height:{100 * rows / height:.2f}%"
        )


def choose(
    url: str, session: Session, limits: Limits, workers: ImageWorkers, view: str | None = None
) -> DisplayedImage:
    """A picture given as a data URL, refused as by the API (ApiError). `view`: the data URL to display in its
    place."""
    rgb = image_input.decode(url, limits, False, workers)
    picture, seen = image_input.ready(rgb, session.pixels), session.preprocessing.seen(*rgb.shape[:2])
    if view is not None:
        return DisplayedImage(picture, seen, view, small=False)
    shrunk = images.shrink(rgb, VIEW_SIDE)
    return DisplayedImage(picture, seen, images.picture_url(shrunk), max(shrunk.shape[:2]) <= images.SMALL)


def glow(patch_map: np.ndarray) -> str:
    """A map in [0, 1] as colours, more opaque where it is stronger."""
    smooth = resize(patch_map, MAP_SIDE, MAP_SIDE)
    stops = np.linspace(0.0, 1.0, len(RAMP))
    colours = np.stack([np.interp(smooth, stops, RAMP[:, channel]) for channel in range(3)], axis=2)
    alpha = 235 * smooth**0.75
    return images.picture_url(np.rint(np.concatenate([colours, alpha[..., None]], axis=2)).astype(np.uint8))


@dataclass(frozen=True)
class Example:
    """A picture that ships with the model, the same for people, and questions that it can answer."""

    url: str
    view: str
    caption: str
    questions: Sequence[str]


def examples(bundle: Path) -> list[Example]:
    """The bundle's example pictures; none where it was trained on photographs, which belong to others."""
    rows = search_examples.read(bundle)
    return [Example(*_urls(path), row.caption, row.questions) for path, row in rows]


def _urls(picture: Path) -> tuple[str, str]:
    """Of an example: the picture for the model, the one for people."""
    own = images.data_url(picture.read_bytes(), "png")
    for_people = search_examples.displayed(picture)
    return own, own if for_people == picture else images.data_url(for_people.read_bytes(), "jpeg")


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

    def get(self, index: ItemIndex, id: str) -> str | None:
        """The picture of an item as a data address, None where there is none that can be read."""
        number = index.find(id)
        if number is not None and (small := index.thumbnail(number)):
            return images.data_url(small, "jpeg")
        items = self._items
        if items is None or (line := self._lines.get(id)) is None or (item := items[line])["image"] is None:
            return None
        try:
            return images.picture_url(items.displayed(item, THUMB_SIDE))
        except ValueError:
            return None
