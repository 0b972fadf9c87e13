"""The searchable items of a bundle or of a table: an index of their pictures, one of their texts, one of
both, and what is displayed of them.

A query vector, of words or of a picture, may be searched in any of the three. An open index is a few memory
maps (`core/checked_files.py`): a search reads the vectors that it compares and the entries that it returns.

    index.json         what the index holds, and the model that made its vectors
    entries.jsonl      an entry a line; entries.offsets: where each begins
    image.faiss, ...   the vectors of a kind; image.rows, ...: the entry of each of them
    image.vectors, ... the vectors themselves, where a very large index holds codes of them
    ids.hashes         hashes of the ids, sorted; ids.rows: the entry of each
    thumbnails.bin     small JPEGs, one behind the other; thumbnails.offsets: where each begins

B queries, E embedding width, N items.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sightline.core import checked_files, typed_json
from sightline.core.artifacts import read_json
from sightline.core.params.bundle_params import ALL_SPLITS
from sightline.core.params.checks import Count, CountOrNone
from sightline.search.vector_index import SearchIndexError, VectorIndex

KINDS = ("image", "text", "fused")
HEADER, ENTRIES, THUMBNAILS, IDS = "index.json", "entries", "thumbnails", "ids"
FORMAT = 2  # 1: the whole index was read at every start
# A cosine above it is the same picture: embeddings of equal pixels differ by float32 rounding, 1e-6; the most
# alike of 1,000 different rendered scenes have 0.998.
SAME = 0.9999
CURE = "make it again: `dvc repro index`, or `sightline index TABLE -o FOLDER`"


class Kind(typed_json.Described):
    """Of the vectors of a kind: how many, FAISS's name of their index, its bytes that opening it reads."""

    count: CountOrNone
    factory: str
    head: CountOrNone


class Kinds(typed_json.Described):
    image: Kind
    text: Kind
    fused: Kind


class Header(typed_json.Described):
    """index.json. model: sha256 of the graphs; split: what the items are of; width: of the vectors."""

    items: CountOrNone
    kinds: Kinds
    model: str
    split: str
    width: Count


class Hit(NamedTuple):
    """One result: item id, cosine, the item's title or first caption, where its picture came from (empty:
    unknown), the number of its entry."""

    id: str
    score: float
    text: str
    source: str
    entry: int


@dataclass(frozen=True)
class Entry:
    """An indexed item; `image` and `text` say which vectors it has, `source` where its picture came from."""

    id: str
    title: str
    captions: list[str]
    image: bool
    text: bool
    source: str = ""

    @property
    def heading(self) -> str:
        return self.title or next(iter(self.captions), "")

    @property
    def description(self) -> str:
        """Title and description of a table's item, the first caption of another."""
        return ". ".join(self.captions) if self.title else next(iter(self.captions), "")


class ItemIndex:
    """An open index. Several threads may search it."""

    def __init__(self, folder: Path, model_digest: str) -> None:
        """Open an index folder that the model with `model_digest` made (OnnxEngine.search_digest).

        Raises SearchIndexError for another model's and another version's, ArtifactError for an incomplete
        one. What is read later is checked then.
        """
        self.folder = folder
        self._header = _header(folder, model_digest)
        self._files = checked_files.open_all(folder)
        missing = [name for name in file_names() if name not in self._files]
        if missing:
            raise SearchIndexError(f"{folder}: lacks {missing[0]}; {CURE}")
        self._indexes: dict[str, VectorIndex] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._header.items

    @property
    def counts(self) -> dict[str, int]:
        """How many items have a vector of each kind."""
        return {kind: getattr(self._header.kinds, kind).count for kind in KINDS}

    @property
    def what(self) -> str:
        """What is searched, for people: "200 items of all splits"."""
        split = self._header.split
        named = {"": "", ALL_SPLITS: " of all splits"}.get(split, f" of the split {split}")
        return f"{len(self):,} item{'s' if len(self) != 1 else ''}{named}"

    @property
    def has_thumbnails(self) -> bool:
        return self._files[f"{THUMBNAILS}.bin"].size > 0

    def vectors(self, kind: str) -> VectorIndex:
        """The vectors of a kind, opened once. Raises SearchIndexError for an unknown kind."""
        if kind not in KINDS:
            raise SearchIndexError(f"search: kind is {kind!r}; choose one of {', '.join(KINDS)}")
        with self._lock:
            if kind not in self._indexes:
                row = getattr(self._header.kinds, kind)
                self._indexes[kind] = VectorIndex.open(
                    self._files[f"{kind}.faiss"], row.head, row.factory, row.count, self._header.width,
                    self._files.get(vectors_name(kind)),
                )  # fmt: skip
            return self._indexes[kind]

    def search(self, queries_BE: np.ndarray, k: int, kind: str = "image") -> list[list[Hit]]:
        """The `k` nearest items of every query, best first. Raises SearchIndexError for an unknown kind."""
        results = []
        for positions_K, scores_K in self.vectors(kind).search(queries_BE, k):
            hits = []
            for position, score in zip(positions_K, scores_K, strict=True):
                number = self._entry_of(kind, int(position))
                entry = self.entry(number)
                hits.append(Hit(entry.id, float(score), entry.heading, entry.source, number))
            results.append(hits)
        return results

    def similar_pictures(self, images_BE: np.ndarray, k: int) -> list[list[Hit]]:
        """The `k` nearest pictures of every picture, best first, with their descriptions. The picture itself
        and items without a caption are left out."""
        index, results = self.vectors("image"), []
        for image_E in images_BE:
            count = k + 1
            hits: list[Hit] = []
            while k:
                hits = []
                for position, score in zip(*index.search(image_E[None], count)[0], strict=True):
                    number = self._entry_of("image", int(position))
                    entry = self.entry(number)
                    if score < SAME and entry.description:
                        hits.append(Hit(entry.id, float(score), entry.description, entry.source, number))
                if len(hits) >= k or count >= len(index):
                    break
                count *= 2
            results.append(hits[:k])
        return results

    def entry(self, number: int) -> Entry:
        """The entry of a number, 0 <= number < N."""
        start, stop = self._files[f"{ENTRIES}.offsets"].numbers(number, number + 2)
        file = self._files[f"{ENTRIES}.jsonl"]
        try:
            row = json.loads(file.read(int(start), int(stop)))
            row["source"] = row.pop("from", "")
            entry = Entry(**row)
        except (AttributeError, RecursionError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise SearchIndexError(f"{file.path}: no entry at byte {start} ({error}); {CURE}") from error
        texts = (
            [entry.id, entry.title, entry.source, *entry.captions]
            if isinstance(entry.captions, list)
            else [None]
        )
        if not all(isinstance(text, str) for text in texts):
            raise SearchIndexError(f"{file.path}: the entry at byte {start} holds other than texts; {CURE}")
        return entry

    def entries(self) -> Iterator[Entry]:
        """All entries, one at a time."""
        return map(self.entry, range(len(self)))

    def find(self, id: str) -> int | None:
        """The number of the entry with an id; None where there is none."""
        hashes_N = self._files[f"{IDS}.hashes"].numbers()
        wanted = id_hash(id)
        for place in range(int(np.searchsorted(hashes_N, wanted)), len(hashes_N)):
            if hashes_N[place] != wanted:
                break
            number = int(self._files[f"{IDS}.rows"].numbers(place, place + 1)[0])
            if self.entry(number).id == id:
                return number
        return None

    def vector(self, number: int, kind: str) -> np.ndarray | None:
        """The unit vector of an entry, [E]; None where it has none of this kind."""
        index, rows_N = self.vectors(kind), self._files[f"{kind}.rows"].numbers()
        position = int(np.searchsorted(rows_N, number))
        found = position < len(rows_N) and rows_N[position] == number
        return index.vector(position) if found else None

    def thumbnail(self, number: int) -> bytes | None:
        """The small JPEG of an entry; None where the index holds none."""
        if not self.has_thumbnails:
            return None
        start, stop = self._files[f"{THUMBNAILS}.offsets"].numbers(number, number + 2)
        return self._files[f"{THUMBNAILS}.bin"].read(int(start), int(stop)) or None

    def _entry_of(self, kind: str, position: int) -> int:
        return int(self._files[f"{kind}.rows"].numbers(position, position + 1)[0])


def vectors_name(kind: str) -> str:
    """The file of a kind's vectors, where its index holds codes of them."""
    return f"{kind}.vectors"


def file_names() -> list[str]:
    """The files of an index folder that are checked where they are read."""
    kinds = [f"{kind}.{ending}" for kind in KINDS for ending in ("faiss", "rows")]
    pairs = [f"{ENTRIES}.jsonl", f"{ENTRIES}.offsets", f"{IDS}.hashes", f"{IDS}.rows"]
    return [*kinds, *pairs, f"{THUMBNAILS}.bin", f"{THUMBNAILS}.offsets"]


def id_hash(id: str) -> int:
    """63 bits of an id's sha256."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "little") >> 1


def _header(folder: Path, model_digest: str) -> Header:
    path = folder / HEADER
    if not path.is_file():
        raise SearchIndexError(f"{path}: no such file: no index, or one of an earlier version; {CURE}")
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SearchIndexError(f"{path}: expected an index of format {FORMAT}, found another; {CURE}")
    header = typed_json.check(path, document, Header, CURE)
    if header.model != model_digest:
        raise SearchIndexError(
            f"{folder}: this index was built with the model {header.model[:12]}, but the loaded model is "
            f"{model_digest[:12]}; their embeddings cannot be compared. {CURE[0].upper()}{CURE[1:]}"
        )
    return header
