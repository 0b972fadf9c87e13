"""Which test questions are explained: the same ones for every model, one type after the other, a picture
each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.data.questions.question_types import is_short
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items

DISPLAY_SIDE = 640  # pixels of the longer side of a picture on a page
_ORDER = ("describe", "color", "existence", "relation", "count", "attribute", "size", "what", "who", "where")


@dataclass(frozen=True)
class Item:
    """One explained question about the picture `rgb`; `displayed` is the same for people, in its own pixels.
    `boxes`: true boxes (x0, y0, x1, y1, half-open px of `rgb`) of the objects it names, by kind."""

    name: str
    rgb: np.ndarray
    displayed: np.ndarray
    type: str
    question: str
    truth: str
    boxes: list[tuple[str, tuple[int, int, int, int]]]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of `rgb`: the units of `boxes` and of maps."""
        height, width = self.rgb.shape[:2]
        return height, width


def choose(raw: Path, vqa: Path, split: str, count: int) -> list[Item]:
    """`count` items: types in a fixed order, then other short ones, again and again, each time the type's
    next question on a new picture."""
    items, triples = Items(raw), Triples(vqa, split)
    objects = artifacts.read_json(vqa / "config.json")["objects"]
    queues: dict[str, list[dict]] = {}
    for triple in (triples[index] for index in range(len(triples))):
        queues.setdefault(triple["type"], []).append(triple)
    others = [kind for kind in sorted(queues) if kind not in _ORDER and is_short(kind)]
    turns = [kind for kind in _ORDER if kind in queues] + others
    chosen: list[Item] = []
    used: set[int] = set()
    while turns and len(chosen) < count:
        for kind in list(turns):
            unused = next((triple for triple in queues[kind] if triple["item"] not in used), None)
            if unused is None:
                turns.remove(kind)
            elif len(chosen) < count:
                used.add(unused["item"])
                chosen.append(_item(items, unused, objects, len(chosen)))
    return chosen


def _item(items: Items, triple: dict, objects: dict[str, list[str]], number: int) -> Item:
    item = items[triple["item"]]
    text = triple["question"] if triple["type"] != "describe" else triple["answer"]
    boxes = [(part["kind"], tuple(part["box"])) for part in item.get("scene", {}).get("objects", [])
             if names(text, part["kind"], objects)]  # fmt: skip
    return Item(
        f"item{number:02d}_{triple['type'].replace('/', '_')}",
        items.image(item),
        items.displayed(item, DISPLAY_SIDE),
        triple["type"],
        triple["question"],
        triple["answer"],
        boxes,
    )


def names(text: str, kind: str, objects: dict[str, list[str]]) -> bool:
    """Whether `text` holds a surface form of `kind`, singular or with a plural s."""
    padded = f" {''.join(char if char.isalnum() else ' ' for char in text.lower())} ".replace("  ", " ")
    return any(
        f" {form}{end} " in padded for form in {kind, *objects.get(kind, [])} for end in ("", "s", "es")
    )
