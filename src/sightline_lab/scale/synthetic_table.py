"""A table of made-up products with small pictures, row after row: its memory does not grow."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sightline.core.runtime import derive_seed

COLORS = {"red": (200, 40, 40), "blue": (40, 70, 170), "green": (40, 130, 70), "yellow": (230, 200, 60),
          "black": (30, 30, 34), "purple": (110, 50, 140)}  # fmt: skip
KINDS = ("shirt", "bag", "mug", "lamp", "chair", "box")
PARTS = ("a collar", "a handle", "a label", "two buttons", "three stripes", "a lid")
IN_FOLDER = 1000


def write(folder: Path, rows: int, side: int, seed: int) -> Iterator[int]:
    """items.csv and pictures/ below a new folder; yields how many rows are written."""
    folder.mkdir(parents=True)
    with open(folder / "items.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "title", "description", "image_url"))
        for number in range(rows):
            rng = np.random.default_rng(derive_seed(seed, "scale", number))
            color, kind, part = (str(rng.choice(names)) for names in (list(COLORS), KINDS, PARTS))
            path = Path("pictures") / f"{number // IN_FOLDER:03d}" / f"{number:06d}.jpg"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(_picture(rng, COLORS[color], side))
            text = f"A {color} {kind} with {part}. Model {number}, made for every day."
            table.writerow((f"i{number}", f"{color.title()} {kind}", text, path.relative_to("pictures")))
            yield number + 1


def _picture(rng: np.random.Generator, color: tuple[int, int, int], side: int) -> bytes:
    """A thing of some corners before something blurred; JPEG. Few are alike: how long look-alikes on white
    take is measured elsewhere (docs/reports/duplicates.md)."""
    behind = Image.fromarray(rng.integers(90, 256, (5, 5, 3), dtype=np.uint8))
    picture = behind.resize((side, side), Image.Resampling.BICUBIC)
    corners = rng.uniform(0.1, 0.9, (int(rng.integers(3, 8)), 2)) * side
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in corners], fill=color)
    grain_YX1 = rng.integers(-8, 9, (side, side, 1))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(picture) + grain_YX1, 0, 255).astype(np.uint8)).save(out, "JPEG")
    return out.getvalue()
