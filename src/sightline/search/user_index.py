"""A search index of a user's own items: encoded once, then added to and deleted from, always whole on disk.

The folder is an artifact of kind `index`: the item index (image, text, fused) and its vectors, so that a
change encodes only new items. A change is written beside the folder and renamed over it: a search reads the
old index or the new one. N items, E embedding width.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.core.folder_lock import folder_lock
from sightline.core.params.data_params import ColumnParams, DataParams
from sightline.core.replace_folder import check, replacing, target
from sightline.data.shards import Items
from sightline.data.sources import table as table_source
from sightline.inference.session import Session
from sightline.search.bundle import encode
from sightline.search.item_index import Entry, ItemIndex, assemble
from sightline.search.vector_index import AUTO, SearchIndexError

log = logging.getLogger("sightline.search")
KIND, VECTORS = "index", "vectors.safetensors"
Vectors = dict[str, np.ndarray]  # id -> unit vector [E]
SIDE = 512  # pixels of a picture's longer side, many times what the image tower sees
TOLD = ColumnParams(id="", image="", captions=(), split="", question="", answer="")  # from the names
VAL_SHARE = 0.1  # an index has no splits, but the table's reader wants a share
SWAP_S = 5.0  # a replaced folder is back under its name long before


class UserIndex:
    """Entries with their image and text vectors."""

    def __init__(self, entries: list[Entry], pictures: Vectors, texts: Vectors, width: int) -> None:
        self.entries, self.pictures, self.texts, self.width = entries, pictures, texts, width

    def __len__(self) -> int:
        return len(self.entries)

    def merged(self, new: "UserIndex") -> "UserIndex":
        """This index with the entries of another, which replace those of the same id."""
        kept = self.without({entry.id for entry in new.entries} & {entry.id for entry in self.entries})
        return UserIndex(
            [*kept.entries, *new.entries], kept.pictures | new.pictures, kept.texts | new.texts, self.width
        )

    def without(self, ids: Iterable[str]) -> "UserIndex":
        """This index without some ids. Raises SearchIndexError for an id that it does not hold."""
        gone = set(ids)
        unknown = sorted(gone - {entry.id for entry in self.entries})
        if unknown:
            raise SearchIndexError(
                f"the index has no item {unknown[0]!r} ({len(unknown)} unknown); nothing changed"
            )
        return UserIndex(
            [entry for entry in self.entries if entry.id not in gone],
            {name: row for name, row in self.pictures.items() if name not in gone},
            {name: row for name, row in self.texts.items() if name not in gone},
            self.width,
        )

    def item_index(self) -> ItemIndex:
        """The searchable form; `vector_index.choose` gives its factory."""
        return assemble(self.entries, self.pictures, self.texts, self.width, AUTO)

    def save(self, folder: Path, digest: str) -> ItemIndex:
        """Write the index of the model with `digest`, or leave what is there; returns its searchable form."""
        with artifacts.create(folder, KIND, {"items": len(self), "model": digest}) as filling:
            item_index = self.item_index()
            item_index.save(filling, digest)
            rows = {
                "image": _stacked(self.entries, self.pictures, self.width),
                "text": _stacked(self.entries, self.texts, self.width),
            }
            artifacts.save_weights(filling / VECTORS, rows)
        return item_index

    @classmethod
    def load(cls, folder: Path, digest: str) -> "UserIndex":
        """Read an index for a change. Raises ValueError for a damaged one and for another model's."""
        artifact, item_index = _read(folder, digest)
        rows, entries = artifacts.load_weights(artifact.path / VECTORS), list(item_index.entries.values())
        ids_of = {"image": [e.id for e in entries if e.image], "text": [e.id for e in entries if e.text]}
        vectors = {kind: dict(zip(ids, rows[kind], strict=True)) for kind, ids in ids_of.items()}
        width = item_index.indexes["fused"].width
        return cls(entries, vectors["image"], vectors["text"], width)


def encode_table(
    session: Session, table: Path, max_pixels: int, fetch: bool
) -> tuple[UserIndex, dict[str, int]]:
    """The items of a CSV (title, description, image_url, id), encoded, and how many rows or pictures were
    refused, by reason. Pictures on other machines are fetched only with `fetch`.

    The text of an item is its title and its description. Raises ValueError for an unusable table.
    """
    params = DataParams(
        source="table", path=str(table), pictures=str(table.parent), columns=TOLD, base_url="", checksums={},
        max_items=0, sizes={}, image_side=SIDE, shard_mb=64, max_pixels=max_pixels, timeout_s=30.0,
        val_share=VAL_SHARE,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        counts = table_source.build(params, 0, Path(scratch) / "raw", online=fetch)
        items = Items(Path(scratch) / "raw")
        if not len(items):
            raise SearchIndexError(f"{table}: no row can be used ({counts['rejected']}); nothing changed")
        lines: np.ndarray = np.arange(len(items))
        descriptions = {item["id"]: ". ".join(item["captions"]) for item in (items[line] for line in lines)}
        entries, pictures, texts = encode(session, items, lines, descriptions, max_pixels)
    return UserIndex(entries, pictures, texts, session.engine.config["embed_dim"]), counts["rejected"]


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """One change at a time: the second writer waits for the first. Raises ArtifactError for a folder that
    holds anything but an index."""
    check(folder, KIND)
    parent = target(folder).parent
    parent.mkdir(parents=True, exist_ok=True)
    with folder_lock(parent):
        yield


class BundleIndex:
    """A bundle's own index, which never changes under it, searched as a `ReloadingIndex` one is."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.digest, self._item_index = digest, ItemIndex.load(folder, digest)

    def item_index(self) -> ItemIndex:
        return self._item_index


class ReloadingIndex:
    """The item index of a folder, read again when the folder was replaced. A search uses one whole index."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.digest, self._folder = digest, folder
        self._lock = threading.Lock()
        self._last_stamp, self._item_index = _stamp(folder), _read(folder, digest)[1]

    def item_index(self) -> ItemIndex:
        """The newest index; the one before it where the newest cannot be read."""
        with self._lock:
            stamp = _stamp(self._folder)
            if stamp is not None and stamp != self._last_stamp:
                try:
                    self._item_index = _read(self._folder, self.digest)[1]
                except ValueError as error:
                    log.warning("the new index is not used, the one before it goes on: %s", error)
                self._last_stamp = stamp
            return self._item_index


def open_user_index(folder: Path, digest: str) -> ItemIndex:
    """The searchable form of an index folder, whatever replaces it meanwhile.

    Raises ValueError as UserIndex.load."""
    return _read(folder, digest)[1]


def _read(folder: Path, digest: str) -> tuple[artifacts.Artifact, ItemIndex]:
    """The verified folder and its item index, both from before or both from after a replacement."""

    def read() -> tuple[artifacts.Artifact, ItemIndex]:
        artifact = artifacts.load(folder, KIND)
        return artifact, ItemIndex.load(folder, digest)

    return _unless_replaced(folder, read)


def _unless_replaced(folder: Path, read: Callable[[], tuple]) -> tuple:
    """What `read` returns with no replacement in between: it is read again when the folder was."""
    end = time.monotonic() + SWAP_S
    while True:
        before = _stamp(folder)
        try:
            result, failed = read(), None
        except (OSError, ValueError) as error:
            result, failed = (), error
        if before == _stamp(folder) and (
            before is not None or time.monotonic() > end or not replacing(folder)
        ):
            if failed:
                raise failed
            return result
        time.sleep(0.01)


def _stamp(folder: Path) -> tuple[int, int] | None:
    try:
        status = (folder / artifacts.MANIFEST).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _stacked(entries: list[Entry], vectors: Vectors, width: int) -> np.ndarray:
    rows = [vectors[entry.id] for entry in entries if entry.id in vectors]
    return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)
