"""Writes an index folder as its items come: memory holds a block of them and 50 bytes for each one before.

Vectors go to scratch files first; a kind's FAISS index is made of them at the end, one kind at a time.
"""

import array
import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from sightline.core import checked_files
from sightline.core.artifacts import write_json
from sightline.search.item_index import (
    ENTRIES,
    FORMAT,
    HEADER,
    IDS,
    KINDS,
    THUMBNAILS,
    Entry,
    file_names,
    vectors_name,
)
from sightline.search.item_index import id_hash as hashed
from sightline.search.vector_index import SearchIndexError, build, fuse

SCRATCH = "scratch"


@dataclass(frozen=True)
class Block:
    """Some items: image vectors of those whose entry says `image`, [rows, E], text vectors of those with
    `text`, and a small JPEG of each item (empty: none)."""

    entries: Sequence[Entry]
    image_BE: np.ndarray
    text_BE: np.ndarray
    thumbnails: Sequence[bytes]


class IndexWriter:
    """A context manager; `finish` inside it completes the index. E: `width` of the vectors."""

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = folder, width
        (folder / SCRATCH).mkdir(parents=True)
        self._open = ExitStack()
        self._vectors = {kind: self._file(f"{SCRATCH}/{kind}") for kind in KINDS}
        self._entries, self._thumbnails = self._file(f"{ENTRIES}.jsonl"), self._file(f"{THUMBNAILS}.bin")
        self._rows = {kind: array.array("q") for kind in KINDS}
        self._hashes = array.array("q")
        self._offsets = {name: array.array("q", [0]) for name in (ENTRIES, THUMBNAILS)}

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _file(self, name: str):
        return self._open.enter_context(open(self.folder / name, "xb"))

    def add(self, block: Block) -> None:
        """Append some items. An item's fused vector is the unit mean of its two, or the one there is."""
        first = len(self._hashes)
        image, text = iter(block.image_BE), iter(block.text_BE)
        fused: list[np.ndarray] = []
        for number, entry in enumerate(block.entries, first):
            own = {"image": next(image) if entry.image else None, "text": next(text) if entry.text else None}
            there = [row for row in own.values() if row is not None]
            for kind in [kind for kind, row in own.items() if row is not None] + ["fused"] * bool(there):
                self._rows[kind].append(number)
            if there:
                fused.append(fuse(*there) if len(there) == 2 else there[0])
            self._hashes.append(hashed(entry.id))
        rows: dict[str, Sequence[np.ndarray] | np.ndarray]
        rows = {"image": block.image_BE, "text": block.text_BE, "fused": fused}
        for kind, vectors in rows.items():
            if len(vectors):
                self._vectors[kind].write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        self._append(ENTRIES, self._entries, [_line(entry) for entry in block.entries])
        self._append(THUMBNAILS, self._thumbnails, block.thumbnails)

    def _append(self, name: str, file, parts: Sequence[bytes]) -> None:
        for part in parts:
            file.write(part)
            self._offsets[name].append(self._offsets[name][-1] + len(part))

    def finish(self, factory: str, model_digest: str, split: str) -> None:
        """Complete the index. `factory`: of `vector_index.build`; `split`: what the items are of, empty where
        they have no splits. Raises SearchIndexError for an id that came twice and what `build` refuses."""
        self._open.close()
        for name, offsets in self._offsets.items():
            self._numbers(f"{name}.offsets", np.asarray(offsets))
        hashes_N = np.asarray(self._hashes)
        order_N = np.argsort(hashes_N, kind="stable")
        self._numbers(f"{IDS}.hashes", hashes_N[order_N])
        self._numbers(f"{IDS}.rows", order_N)
        self._check_ids(hashes_N[order_N], order_N)
        kinds = {}
        beside: list[str] = []
        for kind in KINDS:
            rows_N = np.asarray(self._rows[kind])
            self._numbers(f"{kind}.rows", rows_N)
            index = build(self._scratch(kind, len(rows_N)), factory)
            head = index.save(self.folder / f"{kind}.faiss")
            kinds[kind] = {"count": len(rows_N), "factory": index.factory, "head": head}
            if index.has_codes:
                beside.append(vectors_name(kind))
                (self.folder / SCRATCH / kind).replace(self.folder / beside[-1])
            del index  # before the next one is made
        shutil.rmtree(self.folder / SCRATCH)
        header = {"format": FORMAT, "items": len(hashes_N), "kinds": kinds, "model": model_digest}
        write_json(self.folder / HEADER, header | {"split": split, "width": self.width})
        checked_files.record(self.folder, [*file_names(), *beside])

    def _scratch(self, kind: str, count: int) -> np.ndarray:
        if not count:
            return np.zeros((0, self.width), dtype=np.float32)
        return np.memmap(self.folder / SCRATCH / kind, dtype="<f4", mode="r", shape=(count, self.width))

    def _numbers(self, name: str, values_N: np.ndarray) -> None:
        with open(self.folder / name, "xb") as file:
            file.write(values_N.astype("<i8", copy=False).tobytes())

    def _check_ids(self, hashes_N: np.ndarray, order_N: np.ndarray) -> None:
        """Raises SearchIndexError for equal ids; equal hashes alone are no fault."""
        starts = self._offsets[ENTRIES]
        for place in np.flatnonzero(hashes_N[1:] == hashes_N[:-1]):
            ids = []
            with open(self.folder / f"{ENTRIES}.jsonl", "rb") as file:
                for number in order_N[place : place + 2]:
                    file.seek(starts[number])
                    ids.append(json.loads(file.readline())["id"])
            if ids[0] == ids[1]:
                raise SearchIndexError(f"index: the id {ids[0]!r} appears more than once; ids must be unique")


def _line(entry: Entry) -> bytes:
    row = {name: value for name, value in vars(entry).items() if name != "source"}
    if entry.source:
        row["from"] = entry.source
    return (json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n").encode()
