"""One split: its pictures in order, their questions, captions and the objects that are present."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from sightline.core import artifacts
from sightline.core.params.quality_params import EvaluateParams
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.evaluate.metrics.chair import Lexicon

GALLERY = 1000
PRIOR_POOL = 2000  # training pictures among which those most like a text are looked for


@dataclass(frozen=True)
class Split:
    """`pictures` indexes `lines`; every triple has its picture in `picture_of`."""

    name: str
    raw: Path
    lines: list[int]
    triples: list[dict]
    picture_of: list[int]
    captions: list[list[str]]
    present: list[set[str]]
    true_objects: bool  # scene graphs, not captions, give the present objects

    def rgb(self) -> Iterator[np.ndarray]:
        """Decoded pictures [Y, X, 3] uint8, in order, one at a time."""
        items = Items(self.raw)
        for line in self.lines:
            yield items.image(items[line])

    def references(self, picture: int) -> list[str]:
        """The references of a description: every caption of a photo, the full description
        of a scene."""
        return self.captions[picture][:1] if self.true_objects else self.captions[picture]

    def gallery(self) -> tuple[list[str], np.ndarray, int]:
        """Texts, the picture each belongs to, and how many pictures take part: the references of the first
        `GALLERY` pictures."""
        size = min(len(self.lines), GALLERY)
        per_picture = [self.references(picture) for picture in range(size)]
        owners = [index for index, captions in enumerate(per_picture) for _ in captions]
        return [text for captions in per_picture for text in captions], np.array(owners, np.int64), size


class Pictures(Sequence[np.ndarray]):
    """Decoded pictures [Y, X, 3] uint8 of a split, at most `max_items` (see `chosen_lines`), each read when
    asked for."""

    def __init__(self, raw: Path, name: str, max_items: int) -> None:
        self._items = Items(raw)
        lines = [int(line) for line in self._items.split(name) if self._items[line]["image"] is not None]
        self._lines = chosen_lines(self._items, lines, max_items) if lines else []

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self._items.image(self._items[line]) for line in self._lines[index]]
        return self._items.image(self._items[self._lines[index]])


def prior_pictures(raw: Path, params: EvaluateParams) -> Sequence[np.ndarray]:
    """What a text's prior is taken from, at most PRIOR_POOL pictures; none where no prior needs them."""
    return Pictures(raw, "train", PRIOR_POOL) if params.prior_pictures else ()


def lexicon(vqa: Path) -> Lexicon:
    return Lexicon(artifacts.read_json(vqa / "config.json")["objects"])


def chosen_lines(items: Items, lines: list[int], max_items: int) -> list[int]:
    """At most `max_items` of the lines (0: all): scenes from the first, which are drawn at random, of other
    data those whose ids have the smallest digests. A table may be sorted, and a new row changes no other's
    place."""
    if not max_items or len(lines) <= max_items:
        return lines
    if "scene" in items[lines[0]]:
        return lines[:max_items]
    digests = {line: hashlib.sha256(items[line]["id"].encode()).digest() for line in lines}
    return sorted(sorted(lines, key=digests.__getitem__)[:max_items])


def read(raw: Path, vqa: Path, name: str, max_items: int) -> Split:
    """`max_items` pictures of a split (0: all) with all their questions: see `chosen_lines`."""
    items, triples, words = Items(raw), Triples(vqa, name), lexicon(vqa)
    lines = [int(line) for line in items.split(name) if items[line]["image"] is not None]
    if not lines:
        raise ValueError(
            f"evaluate: data/raw has no pictures in split {name!r}; set evaluate.splits to splits it has"
        )
    lines = chosen_lines(items, lines, max_items)
    position = {line: index for index, line in enumerate(lines)}
    questions = [triple for triple in (triples[i] for i in range(len(triples))) if triple["item"] in position]
    if not questions:
        raise ValueError(
            f"evaluate: {vqa}/{name}.jsonl has no question about {len(lines)} pictures of {name!r}"
        )
    chosen = [items[line] for line in lines]
    true_objects = all("scene" in item for item in chosen)
    present = [
        {part["kind"] for part in item["scene"]["objects"]}
        if true_objects
        else {kind for caption in item["captions"] for kind in words.mentions(caption)}
        for item in chosen
    ]
    return Split(
        name,
        raw,
        lines,
        questions,
        [position[triple["item"]] for triple in questions],
        [item["captions"] for item in chosen],
        present,
        true_objects,
    )
