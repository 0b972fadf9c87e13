"""A catalogue on disk, item after item: memory does not grow with it.

items.csv: what a shop would export. truth.jsonl: what the pictures show and which are true copies, for
measuring. images/: JPEG, a thousand to a folder. README.txt: that nothing of it is real.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from sightline_lab.catalogue import prose, render
from sightline_lab.catalogue.english import English
from sightline_lab.catalogue.german import German
from sightline_lab.catalogue.products import Product, generator, product
from sightline_lab.catalogue.vocabulary import CATEGORIES_DE, KINDS

COLUMNS = ("id", "title", "description", "image", "price", "category", "split")
LANGUAGES = {"en": English(), "de": German()}
MISSING = 0.05  # share of prices and of categories that nobody filled in
LABEL = (
    "A rendered product catalogue: pictures and texts were drawn and written by `sightline lab catalogue`.\n"
    "No product, brand or shop in it exists. truth.jsonl says what each picture shows and which pictures\n"
    "are true copies of another; it is for measuring, not for training.\n"
)


def write(out: Path, items: int, seed: int, language: str, copies: float, side: int) -> Iterator[int]:
    """Writes the catalogue into a new folder; yields how many items are done.

    The same arguments write the same bytes (with the same Pillow). Raises FileExistsError.
    """
    out.mkdir(parents=True)
    (out / "README.txt").write_text(LABEL, encoding="utf-8")
    table_path, truth_path = out / "items.csv", out / "truth.jsonl"
    with (
        open(table_path, "w", encoding="utf-8", newline="") as table,
        open(truth_path, "w", encoding="utf-8") as truth,
    ):
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        for number in range(items):
            thing = product(seed, number, copies)
            text = prose.text(thing, LANGUAGES[language], generator(seed, number, 4))
            image = f"images/{number // 1000:03d}/{number:06d}.jpg" if thing.has_picture else ""
            if image:
                (out / image).parent.mkdir(parents=True, exist_ok=True)
                (out / image).write_bytes(render.picture(seed, thing, side))
            price, category = _price_and_category(seed, thing, language)
            rows.writerow((item_id(number), text.title, text.description, image, price, category, ""))
            truth.write(json.dumps(_truth(thing, text, image), ensure_ascii=False) + "\n")
            yield number + 1


def item_id(number: int) -> str:
    """The id of an item."""
    return f"P{number:06d}"


def _price_and_category(seed: int, thing: Product, language: str) -> tuple[str, str]:
    rng = generator(seed, thing.number, 5)
    cents = int(rng.integers(5, 200)) * 100 + int(rng.choice((0, 90, 95, 99)))
    category = KINDS[thing.kind].category
    if language == "de":
        category = CATEGORIES_DE[category]
    price = f"{cents / 100:.2f}"
    return ("" if rng.random() < MISSING else price), ("" if rng.random() < MISSING else category)


def _truth(thing: Product, text: prose.Text, image: str) -> dict:
    """A line of truth.jsonl."""
    parts = {
        name: {"count": part.count, "color": part.shade.base if part.shade else None}
        for name, part in thing.parts.items()
    }
    return {
        "id": item_id(thing.number),
        "image": image,
        "kind": thing.kind,
        "color": thing.shade.base,
        "shade": thing.shade.en,
        "second_color": thing.second.base if thing.second else None,
        "pattern": thing.pattern,
        "material": thing.material,
        "parts": parts,
        "absent_parts": thing.absent,
        "audience": thing.audience,
        "design": item_id(thing.design),
        "copy_of": None if thing.copy_of is None else item_id(thing.copy_of),
        "change": thing.change,
        "claims": list(text.claims),
        "not_shown": list(text.not_shown),
    }
