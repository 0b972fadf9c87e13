"""The explanation page: one self-contained offline HTML file. Nothing is fetched.

Shapes: [Y, X, 3] pictures, L decoder layers, H heads.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from sightline.core import templates
from sightline.core.atomic_io import check_output
from sightline.core.preprocessing import Seen
from sightline.data import images
from sightline.explain.explained_items import Item
from sightline.explain.heatmap import Explanation, Heatmap, resize
from sightline.explain.heatmap_figures import GLUE

MARK = b"<title>Sightline: "  # how every page begins
_MAP_SIDE = 224  # pixels of an inlined map at most; never more than the model's picture has
_SHADES = 64  # of a map: a palette of them is a fifth of the bytes of full colours


@dataclass(frozen=True)
class Card:
    """One picture and question. `views`: an explanation for each choice of the page's switch; `right`:
    whether each of their answers is (None: unknown)."""

    item: Item
    views: list[Explanation]
    right: list[bool | None]

    def verdicts(self) -> Iterator[tuple[Explanation, bool | None]]:
        return zip(self.views, self.right, strict=True)


@dataclass(frozen=True)
class Words:
    """The texts of the page: `switch` names the views, `unit` what a map shows, `certainty` the figure
    of an answer, `share_LH` how often SPIN silenced each head."""

    title: str
    lead: str | Markup
    switch: list[str]
    note: str | Markup
    unit: str = "attention"
    certainty: str = "confidence"
    label: str = "answer"
    share_LH: np.ndarray | None = None


def write(path: Path, cards: list[Card], words: Words, colormap: str) -> None:
    """Write the page. Raises ArtifactError where the user's own file is in its place."""
    check_output(path, MARK)
    text = templates.render(
        "sightline.explain", "heatmap.html", cards=cards, words=words, lut=colours(colormap).tolist(),
        first=most_interesting, glow=_glow, nothing=images.picture_url(np.zeros((1, 1, 4), np.uint8)),
        seen_box=_seen_box, shade=_shade, small=lambda rgb: max(rgb.shape) <= images.SMALL,
        url=images.picture_url, within=_within,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def colours(colormap: str) -> np.ndarray:
    """The colours of a map, [256, 3] uint8, dark first. Raises ValueError for an unknown name."""
    import matplotlib

    if colormap not in matplotlib.colormaps:
        raise ValueError(
            f"params.yaml: explain.colormap is {colormap!r}, which is no Matplotlib colormap; try magma"
        )
    rgba = np.asarray(matplotlib.colormaps[colormap](np.linspace(0.08, 1, 256)))
    return (rgba[:, :3] * 255).astype(np.uint8)


def _within(rgb: np.ndarray, box: tuple[float, float, float, float]) -> str:
    """The CSS that puts a part over a box (left, top, right, bottom in pixels) of the picture."""
    (height, width), (x0, y0, x1, y1) = rgb.shape[:2], box
    return (
        f"left:{100 * x0 / width:.2f}%;top:{100 * y0 / height:.2f}%;"
        f"width:{100 * (x1 - x0) / width:.2f}%;height:{100 * (y1 - y0) / height:.2f}%"
    )


def _seen_box(card: Card) -> str:
    """The CSS that puts the maps over what the model saw; the whole picture where it gave no word."""
    rgb = card.item.rgb
    height, width = rgb.shape[:2]
    whole = Seen(height, width, 0, 0, height, width)
    seen = next((heat.seen for view in card.views for heat in view.words), whole)
    return _within(rgb, (seen.left, seen.top, seen.left + seen.columns, seen.top + seen.rows))


def most_interesting(explanation: Explanation) -> int:
    """The number of the word that the page opens with."""
    return max(
        range(len(explanation.words)), default=0, key=lambda index: _interest(explanation.words[index])
    )


def _interest(heat: Heatmap) -> float:
    """What a reader wants to see first: a word read from the image, and from one place of it."""
    word = heat.provenance["word"]
    content = len(word) > 2 and word not in GLUE
    return (content + 1e-3) * float(heat.provenance["image_share"]) * (1.0 - float(heat.patch_map.mean()))


def _glow(heat: Heatmap, lut: list[list[int]]) -> str:
    """The map of what the model saw as a data address, more opaque where it is stronger."""
    seen = heat.seen
    values = resize(heat.pixel_map[seen.slices], min(seen.rows, _MAP_SIDE), min(seen.columns, _MAP_SIDE))
    image = Image.fromarray(np.rint(values * (_SHADES - 1)).astype(np.uint8))
    shade = np.linspace(0, 1, _SHADES)
    colours = np.array(lut, np.uint8)[np.rint(255 * shade).astype(np.intp)]
    alpha = np.rint(235 * shade**0.75).astype(np.uint8)
    image.putpalette(np.concatenate([colours, alpha[:, None]], axis=1).tobytes(), "RGBA")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return images.data_url(buffer.getvalue(), "png")


def _shade(share: float, lut: list[list[int]]) -> str:
    """The CSS of a cell of the table of heads."""
    red, green, blue = lut[round(255 * share)]
    ink = "#fff" if 0.299 * red + 0.587 * green + 0.114 * blue < 150 else "#14101f"
    return f"background:rgb({red},{green},{blue});color:{ink}"
