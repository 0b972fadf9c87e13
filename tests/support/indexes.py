"""Items with random unit vectors, and index folders of them, without a model."""

from dataclasses import dataclass

import numpy as np

from sightline.search.index_writer import Block, IndexWriter
from sightline.search.item_index import Entry, ItemIndex

DIGEST = "d" * 64


def unit(seed, rows, width=16):
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class Rows:
    """Entries, id -> image vector, id -> text vector, id -> JPEG."""

    entries: list[Entry]
    pictures: dict[str, np.ndarray]
    texts: dict[str, np.ndarray]
    thumbnails: dict[str, bytes]

    def blocks(self, size=4):
        """As `bundle.encode` would give them."""
        for start in range(0, len(self.entries), size):
            part = self.entries[start : start + size]
            width = len(next(iter(self.texts.values())))
            image, text = (
                np.float32([of[e.id] for e in part if e.id in of]).reshape(-1, width)
                for of in (self.pictures, self.texts)
            )
            yield Block(part, image, text, [self.thumbnails.get(e.id, b"") for e in part])

    def without(self, ids):
        kept = [entry for entry in self.entries if entry.id not in ids]
        return Rows(kept, *({k: v for k, v in of.items() if k not in ids}
                            for of in (self.pictures, self.texts, self.thumbnails)))  # fmt: skip


def made(names, seed=0, width=8):
    """Random vectors; every third item has no picture."""
    vectors = unit(seed, 2 * len(names), width)
    rows = Rows([], {}, {}, {})
    for number, name in enumerate(names):
        pictured = bool(number % 3)
        source = f"pictures/{name}.png" if pictured else ""
        rows.entries.append(Entry(name, f"title {name}", [f"title {name}"], pictured, True, source))
        rows.texts[name] = vectors[2 * number]
        if pictured:
            rows.pictures[name] = vectors[2 * number + 1]
            rows.thumbnails[name] = b"JPEG of " + name.encode()
    return rows


def opened(rows, folder, factory="Flat", split="test"):
    """A new index folder of some rows, open."""
    with IndexWriter(folder, len(next(iter(rows.texts.values())))) as writer:
        for block in rows.blocks():
            writer.add(block)
        writer.finish(factory, DIGEST, split)
    return ItemIndex(folder, DIGEST)
