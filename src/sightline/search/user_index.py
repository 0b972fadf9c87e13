"""A search index of a user's own items: encoded once, then added to and deleted from, always whole on disk.

The folder is an artifact of kind `index`: an item index, and the rows of the last table that were refused. A
change copies what is kept, encodes new items only, is written beside the folder and renamed over it: a search
reads the old index or the new one. E embedding width.
"""

import json
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
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
from sightline.search.index_writer import Block, IndexWriter
from sightline.search.item_index import ItemIndex
from sightline.search.vector_index import AUTO, SearchIndexError

log = logging.getLogger("sightline.search")
KIND, REFUSED = "index", "rejected.jsonl"
SIDE = 512  # pixels of a picture's longer side, many times what the image tower sees
TOLD = ColumnParams(id="", image="", captions=(), split="", question="", answer="")  # from the names
THUMBNAIL = 256  # pixels of the longer side of the pictures in results, which re-ranking reads again
VAL_SHARE = 0.1  # an index has no splits, but the table's reader wants a share
SWAP_S = 5.0  # a replaced folder is back under its name long before
COPIED = 4096  # items copied at a time


@dataclass(frozen=True)
class Table:
    """A user's table as it was read: its items, and how many rows or pictures were refused, by reason; which
    ones is in the file `refused`."""

    items: Items
    rejected: dict[str, int] = field(default_factory=dict)

    @property
    def refused(self) -> Path:
        return self.items.folder / REFUSED


@contextmanager
def read_table(table: Path, pictures: Path | None, max_pixels: int, fetch: bool) -> Iterator[Table]:
    """The usable rows of a table, whose pictures lie in `pictures` or beside it. Pictures on other machines
    are fetched only with `fetch`. Raises ValueError for an unusable table."""
    params = DataParams(
        source="table", path=str(table), pictures=str(pictures or table.parent), columns=TOLD, base_url="",
        checksums={}, max_items=0, sizes={}, image_side=SIDE, shard_mb=64, max_pixels=max_pixels,
        timeout_s=30.0, val_share=VAL_SHARE,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        counts = table_source.build(params, 0, Path(scratch) / "raw", online=fetch)
        items = Items(Path(scratch) / "raw")
        if not len(items):
            raise SearchIndexError(f"{table}: no row can be used ({counts['rejected']}); nothing changed")
        yield Table(items, counts["rejected"])


def make(
    folder: Path, session: Session, kept: ItemIndex | None, table: Table | None, gone: Collection[str] = ()
) -> ItemIndex:
    """Write an index folder of what an index held, without the ids `gone`, and of a table, whose items
    replace those of the same id; returns it open.

    Raises SearchIndexError for an id that is to go and is not there; then nothing changes.
    """
    parts, refused = [], None
    if kept is not None:
        new = (table.items[line]["id"] for line in range(len(table.items))) if table is not None else ()
        parts.append(kept_blocks(kept, gone, new))
        refused = kept.folder / REFUSED
    if table is not None:
        lines = np.arange(len(table.items))
        parts.append(encode(session, table.items, lines, whole_text, SIDE**2, THUMBNAIL))
        refused = table.refused
    width = session.engine.config["embed_dim"]
    return write(folder, session.search_digest(), width, chain.from_iterable(parts), refused)


def write(folder: Path, digest: str, width: int, blocks: Iterable[Block], refused: Path | None) -> ItemIndex:
    """Write an index folder, or leave what is there; returns it open. `digest`, `width`: of the model that
    made the vectors; `refused`: the list that is kept beside them."""
    with artifacts.create(folder, KIND, {"model": digest}) as filling:
        with IndexWriter(filling, width) as writer:
            for block in blocks:
                writer.add(block)
            writer.finish(AUTO, digest, "")
        if refused is not None and refused.is_file():
            shutil.copyfile(refused, filling / REFUSED)
    return open_user_index(folder, digest)


def kept_blocks(index: ItemIndex, gone: Collection[str], replaced: Iterable[str] = ()) -> Iterator[Block]:
    """The items of an index without the ids `gone`, each of which must be there, and those `replaced`.

    Raises SearchIndexError, before the first block, for an id that is to go and is not there.
    """
    found = {id: index.find(id) for id in gone}
    unknown = sorted(id for id, number in found.items() if number is None)
    if unknown:
        raise SearchIndexError(
            f"the index has no item {unknown[0]!r} ({len(unknown)} unknown); nothing changed"
        )
    return _copied(index, {*found.values(), *map(index.find, replaced)})


def refused_rows(folder: Path) -> list[dict[str, str]]:
    """The rows and pictures of an index's last table that were refused: id, reason code and a sentence."""
    path = folder / REFUSED
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def whole_text(item: dict) -> str:
    """The text of a table's item that is embedded: its title and its description."""
    return ". ".join(item["captions"])


def _copied(index: ItemIndex, left_out: Collection[int | None]) -> Iterator[Block]:
    """The items of an index, block by block, without some."""
    done = {"image": 0, "text": 0}
    for start in range(0, len(index), COPIED):
        numbers = range(start, min(start + COPIED, len(index)))
        entries = [index.entry(number) for number in numbers]
        keep = [number not in left_out for number in numbers]
        vectors = {}
        for kind in done:
            having = [getattr(entry, kind) for entry in entries]
            stop = done[kind] + sum(having)
            rows_BE = index.vectors(kind).vectors(done[kind], stop)
            vectors[kind] = rows_BE[[keeps for keeps, has in zip(keep, having, strict=True) if has]]
            done[kind] = stop
        yield Block(
            [entry for entry, keeps in zip(entries, keep, strict=True) if keeps],
            vectors["image"], vectors["text"],
            [index.thumbnail(number) or b"" for number, keeps in zip(numbers, keep, strict=True) if keeps],
        )  # fmt: skip


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
        self.digest, self._item_index = digest, ItemIndex(folder, digest)

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
                except (OSError, ValueError) as error:
                    log.warning("the new index is not used, the one before it goes on: %s", error)
                self._last_stamp = stamp
            return self._item_index


def open_user_index(folder: Path, digest: str) -> ItemIndex:
    """The searchable form of an index folder, whatever replaces it meanwhile.

    Raises ValueError for a damaged one and for another model's."""
    return _read(folder, digest)[1]


def _read(folder: Path, digest: str) -> tuple[artifacts.Artifact, ItemIndex]:
    """The verified folder and its item index, both from before or both from after a replacement."""

    def read() -> tuple[artifacts.Artifact, ItemIndex]:
        artifact = artifacts.load(folder, KIND)
        return artifact, ItemIndex(folder, digest)

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
