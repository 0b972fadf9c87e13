"""The searchable items of a bundle: an index of their pictures, one of their texts, one of both, and what is
displayed of them.

A query vector, of words or of a picture, may be searched in any of the three. B queries, E embedding width.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sightline.search.vector_index import SearchIndexError, VectorIndex, build, fuse

KINDS = ("image", "text", "fused")
ENTRIES = "gallery.jsonl"
# A cosine above it is the same picture: embeddings of equal pixels differ by float32 rounding, 1e-6; the most
# alike of 1,000 different rendered scenes have 0.998.
SAME = 0.9999


class Hit(NamedTuple):
    """One result: item id, cosine, the item's title or first caption."""

    id: str
    score: float
    text: str


@dataclass(frozen=True)
class Entry:
    """An indexed item; `image` and `text` say which vectors it has."""

    id: str
    title: str
    captions: list[str]
    image: bool
    text: bool

    @property
    def heading(self) -> str:
        return self.title or next(iter(self.captions), "")

    @property
    def description(self) -> str:
        """Title and description of a table's item, the first caption of another."""
        return ". ".join(self.captions) if self.title else next(iter(self.captions), "")


class ItemIndex:
    """The three indexes and the entries behind them."""

    def __init__(self, indexes: dict[str, VectorIndex], entries: dict[str, Entry]):
        self.indexes, self.entries = indexes, entries

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def load(cls, folder: Path, model_digest: str) -> "ItemIndex":
        """Read a bundle's `index` folder, made by the model with `model_digest` (OnnxEngine.search_digest).

        Raises SearchIndexError for another model's, an incomplete or a damaged one.
        """
        indexes = {kind: VectorIndex.load(folder / kind, model_digest) for kind in KINDS}
        path = folder / ENTRIES
        if not path.is_file():
            raise SearchIndexError(f"{path}: no such file; rerun the index stage (`dvc repro index`)")
        try:
            rows = [Entry(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        except (ValueError, TypeError) as error:
            raise SearchIndexError(f"{path}: no readable gallery ({error}); rerun the index stage") from error
        entries = {entry.id: entry for entry in rows}
        unknown = sorted({name for index in indexes.values() for name in index.ids} - set(entries))
        if unknown:
            raise SearchIndexError(f"{path}: lacks {len(unknown)} indexed items, {unknown[0]!r} first")
        return cls(indexes, entries)

    def save(self, folder: Path, model_digest: str) -> None:
        for kind, index in self.indexes.items():
            index.save(folder / kind, model_digest)
        lines = [
            json.dumps(vars(entry), sort_keys=True, ensure_ascii=False) for entry in self.entries.values()
        ]
        (folder / ENTRIES).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")

    def search(self, queries_BE: np.ndarray, k: int, kind: str = "image") -> list[list[Hit]]:
        """The `k` nearest items of every query, best first. Raises SearchIndexError for an unknown kind."""
        if kind not in self.indexes:
            raise SearchIndexError(f"search: kind is {kind!r}; choose one of {', '.join(self.indexes)}")
        ids_BK, scores_BK = self.indexes[kind].search(queries_BE, k)
        return [
            [
                Hit(name, float(score), self.entries[name].heading)
                for name, score in zip(ids, scores, strict=False)
            ]
            for ids, scores in zip(ids_BK, scores_BK, strict=True)
        ]

    def similar_pictures(self, images_BE: np.ndarray, k: int) -> list[list[Hit]]:
        """The `k` nearest pictures of every picture, best first, with their descriptions. The picture itself
        and items without a caption are left out."""
        index, results = self.indexes["image"], []
        for image_E in images_BE:
            count, hits = k + 1, []
            while k:
                ids, scores = index.search(image_E[None], count)
                hits = [
                    Hit(name, float(score), self.entries[name].description)
                    for name, score in zip(ids[0], scores[0], strict=False)
                    if score < SAME and self.entries[name].description
                ]
                if len(hits) >= k or count >= len(index):
                    break
                count *= 2
            results.append(hits[:k])
        return results

    def vector(self, name: str, kind: str) -> np.ndarray | None:
        """The unit vector of an item, [E]; None where the item has none of this kind."""
        return self.indexes[kind].vector(name)


def assemble(
    entries: Sequence[Entry], image_embeds: dict[str, np.ndarray], text_embeds: dict[str, np.ndarray],
    width: int, factory: str,
) -> ItemIndex:  # fmt: skip
    """Indexes entries under their image vectors, their text vectors, and the unit mean of both (or the one
    there is)."""
    fused = {
        entry.id: fuse(image_embeds[entry.id], text_embeds[entry.id])
        if entry.image and entry.text
        else (image_embeds if entry.image else text_embeds)[entry.id]
        for entry in entries
        if entry.image or entry.text
    }
    indexes = {}
    for kind, embeds in zip(KINDS, (image_embeds, text_embeds, fused), strict=True):
        ids = [entry.id for entry in entries if entry.id in embeds]
        rows = np.stack([embeds[name] for name in ids]) if ids else np.zeros((0, width), dtype=np.float32)
        indexes[kind] = build(rows, ids, factory)
    return ItemIndex(indexes, {entry.id: entry for entry in entries})
