"""Images and captions on disk: deterministic webdataset shards, and JSON lines read in place.

A folder holds `images-00000.tar`, ... (USTAR, every time stamp and owner 0): webdataset shards, a sample of
`<key>.jpg` or `.png` and `<key>.json` (id, split, title, captions) for each item with a picture. Items
without one are samples of `texts-00000.tar`, .... `items.jsonl` holds every accepted item, one a line, and
`rejected.jsonl` every refused row with its reason. An item's picture is found by (shard, offset, size), so
reading one never scans a tar.
"""

import hashlib
import json
import mmap
import re
import tarfile
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sightline.data import images
from sightline.data.scenes.render import SIDE, ZOOMS, render

MAX_PIXELS = 2**25  # of a stored picture: what the download stage keeps is smaller by far
CURE = "run `sightline doctor --repair`"
BLOCK = 512  # bytes of a tar header, and the unit members are padded to
SCAN_BYTES = 1 << 20
IMAGES, TEXTS = "images", "texts"  # names of the shards
SAFE_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")  # a dot would end the key


def shard_name(shard: int) -> str:
    """File name of the shard of pictures with this number."""
    return f"{IMAGES}-{shard:05d}.tar"


def sample_key(id: str) -> str:
    """The id, or a hash in place of one that is no plain file name without a dot."""
    return id if SAFE_KEY.fullmatch(id) else "id-" + hashlib.sha256(id.encode()).hexdigest()[:32]


class _Tar:
    """A row of shards `<name>-00000.tar`, ...; a sample is never divided between two."""

    def __init__(self, folder: Path, name: str, shard_bytes: int) -> None:
        self._folder, self._name, self._shard_bytes = folder, name, shard_bytes
        self._file: BinaryIO | None = None
        self.shard = -1

    def add(self, members: dict[str, bytes]) -> int:
        """Append the files of a sample; returns the offset of the first one's bytes."""
        room = sum(BLOCK + len(data) + -len(data) % BLOCK for data in members.values())
        if self._file is None or (self._file.tell() and self._file.tell() + room > self._shard_bytes):
            self.close()
            self.shard += 1
            self._file = open(self._folder / f"{self._name}-{self.shard:05d}.tar", "xb")
        start = self._file.tell() + BLOCK
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            self._file.write(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % BLOCK))
        return start

    def close(self) -> None:
        """End the current shard."""
        if self._file is not None:
            end = self._file.tell() + 2 * BLOCK
            self._file.write(bytes(2 * BLOCK + -end % tarfile.RECORDSIZE))
            self._file.close()
            self._file = None


class ShardWriter:
    """Streams items, pictures and refused rows into `folder`; memory does not grow with their number.

    A new tar starts when the next sample would take the current one over `shard_bytes`. `accepted` counts
    items per split, `rejected` refused rows per reason. Use it as a context manager, or call `close`.
    """

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder = Path(folder)
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._items = open(self.folder / "items.jsonl", "x", encoding="utf-8", newline="\n")
        # A refused row may hold anything, lone surrogates included; its record must not fail to be written.
        self._rejects = open(
            self.folder / "rejected.jsonl", "x", encoding="utf-8", newline="\n", errors="backslashreplace"
        )
        self._images = _Tar(self.folder, IMAGES, shard_bytes)
        self._texts = _Tar(self.folder, TEXTS, shard_bytes)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add(self, item: dict, image: bytes | None, ext: str = "png") -> None:
        """Appends an item; sets item["image"] to the location of `image` (encoded bytes, or None)."""
        key = sample_key(item["id"])
        about = {"id": item["id"], "split": item["split"], "title": item.get("title", "")}
        text = json.dumps(about | {"captions": item["captions"]}, ensure_ascii=False).encode()
        if image is None:
            self._texts.add({f"{key}.json": text})
            item["image"] = None
        else:
            offset = self._images.add({f"{key}.{ext}": image, f"{key}.json": text})
            item["image"] = {"shard": self._images.shard, "offset": offset, "size": len(image)}
        print(json.dumps(item, sort_keys=True, ensure_ascii=False, allow_nan=False), file=self._items)
        self.accepted[item["split"]] += 1

    def reject(self, id: str, reason_code: str, detail: str) -> None:
        """Records a refused row: which one, a stable reason code, and a sentence for people."""
        record = {"id": id, "reason": reason_code, "detail": detail}
        print(json.dumps(record, sort_keys=True, ensure_ascii=False), file=self._rejects)
        self.rejected[reason_code] += 1

    def close(self) -> None:
        """Ends the current tars and closes all files."""
        self._images.close()
        self._texts.close()
        self._items.close()
        self._rejects.close()


def _map(path: Path) -> mmap.mmap | bytes:
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {CURE}, or `dvc repro` to build it again") from None


def _line_ends(path: Path, data: mmap.mmap | bytes) -> np.ndarray:
    ends = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(data), SCAN_BYTES):
        chunk = np.frombuffer(data[start : start + SCAN_BYTES], dtype=np.uint8)
        ends.append(np.flatnonzero(chunk == ord("\n")) + start)
    ends_N = np.concatenate(ends)
    if len(data) and (not len(ends_N) or ends_N[-1] != len(data) - 1):
        raise ValueError(f"{path}, line {len(ends_N) + 1}: cut off, the file has no line end there; {CURE}")
    return ends_N


class Items:
    """Read-only view of a folder a ShardWriter filled. Lines are parsed on demand and pictures read in place.

    `items[i]` is the dict of line i. Raises ValueError naming file and line for anything damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / "items.jsonl"
        self._data = _map(self.path)
        self._ends_N = _line_ends(self.path, self._data)
        self._shards: dict[int, mmap.mmap | bytes] = {}

    def __len__(self) -> int:
        return len(self._ends_N)

    def __getitem__(self, index: int) -> dict:
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} items, no item {index}")
        start = 0 if index == 0 else int(self._ends_N[index - 1]) + 1
        try:
            item = json.loads(self._data[start : int(self._ends_N[index])])
        except ValueError as error:
            raise ValueError(
                f"{self.path}, line {index + 1}: not readable as JSON ({error}); {CURE}"
            ) from error
        if not isinstance(item, dict) or not {"id", "split", "captions", "image"} <= item.keys():
            raise ValueError(
                f"{self.path}, line {index + 1}: expected an object with id, split, captions, image; {CURE}"
            )
        return item

    @cached_property
    def splits(self) -> dict[str, np.ndarray]:
        """Split name -> line numbers (int64, ascending) of its items."""
        lines: dict[str, list[int]] = {}
        for index in range(len(self)):
            lines.setdefault(self[index]["split"], []).append(index)
        return {name: np.array(numbers, dtype=np.int64) for name, numbers in sorted(lines.items())}

    def split(self, name: str) -> np.ndarray:
        """Line numbers (int64, ascending) of the items of a split; empty if there are none."""
        return self.splits.get(name, np.zeros(0, dtype=np.int64))

    def image(self, item: dict) -> np.ndarray:
        """The picture of an item as it is stored and models read it, [Y, X, 3] uint8."""
        return images.decode(self.image_bytes(item), MAX_PIXELS, item["id"])

    def displayed(self, item: dict, side: int, stored: np.ndarray | None = None) -> np.ndarray:
        """The picture of an item for people, [Y, X, 3] uint8 with no side above `side`: a rendered scene is
        drawn again from its description, as finely as that takes. Models are trained and measured on `image`;
        re-ranking in a search reads what an index keeps of this. stored: what `image` gives, where that was
        read already."""
        if "scene" not in item:
            return images.shrink(self.image(item) if stored is None else stored, side)
        zoom = next((zoom for zoom in ZOOMS if zoom * SIDE >= side), ZOOMS[-1])
        return images.shrink(render(item["scene"], zoom), side)

    def image_bytes(self, item: dict) -> bytes:
        """The encoded picture of an item."""
        location, label = item["image"], f"{self.path}, item {item['id']!r}"
        if location is None:
            raise ValueError(f"{label} has no picture")
        shard, offset, size = location["shard"], location["offset"], location["size"]
        path = self.folder / shard_name(shard)
        if shard not in self._shards:
            self._shards[shard] = _map(path)
        data = self._shards[shard]
        if offset < BLOCK or size < 0 or offset + size > len(data):
            raise ValueError(f"{label}: {path} ends at {len(data)}, before {offset}+{size}; {CURE}")
        header = data[offset - BLOCK : offset]
        if header[257:262] != b"ustar" or int(header[124:135], 8) != size:
            raise ValueError(f"{label}: {path} has no picture of {size} bytes at {offset}; {CURE}")
        return data[offset : offset + size]
