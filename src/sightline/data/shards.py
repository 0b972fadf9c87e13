"""Images and captions on disk: deterministic tar shards, and JSON lines read in place.

A folder holds `images-00000.tar`, ... (USTAR, every time stamp and owner 0), `items.jsonl` (one accepted item
a line) and `rejected.jsonl` (one refused row a line, with its reason). An item's picture is found by
(shard, offset, size), so reading one never scans a tar.
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

MAX_PIXELS = 2**25  # of a stored picture: what the download stage keeps is smaller by far
BLOCK = 512  # bytes of a tar header, and the unit members are padded to
SCAN_BYTES = 1 << 20
SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")


def shard_name(shard: int) -> str:
    """File name of the shard with this number."""
    return f"images-{shard:05d}.tar"


def member_name(id: str, ext: str) -> str:
    """`<id>.<ext>`, or a hash in place of an id that is not a plain file name."""
    stem = id if SAFE_NAME.fullmatch(id) else "id-" + hashlib.sha256(id.encode()).hexdigest()[:32]
    return f"{stem}.{ext}"


class ShardWriter:
    """Streams items, pictures and refused rows into `folder`; memory does not grow with their number.

    A new tar starts when the next picture would take the current one over `shard_bytes`. `accepted` counts
    items per split, `rejected` refused rows per reason. Use it as a context manager, or call `close`.
    """

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder = Path(folder)
        self.shard_bytes = shard_bytes
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._items = open(self.folder / "items.jsonl", "x", encoding="utf-8", newline="\n")
        # A refused row may hold anything, lone surrogates included; its record must not fail to be written.
        self._rejects = open(
            self.folder / "rejected.jsonl", "x", encoding="utf-8", newline="\n", errors="backslashreplace"
        )
        self._tar: BinaryIO | None = None
        self._shard = -1

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add(self, item: dict, image: bytes | None, ext: str = "png") -> None:
        """Appends an item; sets item["image"] to the location of `image` (encoded bytes, or None)."""
        item["image"] = None if image is None else self._put(member_name(item["id"], ext), image)
        print(json.dumps(item, sort_keys=True, ensure_ascii=False, allow_nan=False), file=self._items)
        self.accepted[item["split"]] += 1

    def reject(self, id: str, reason_code: str, detail: str) -> None:
        """Records a refused row: which one, a stable reason code, and a sentence for people."""
        record = {"id": id, "reason": reason_code, "detail": detail}
        print(json.dumps(record, sort_keys=True, ensure_ascii=False), file=self._rejects)
        self.rejected[reason_code] += 1

    def close(self) -> None:
        """Ends the current tar and closes all files."""
        self._end_shard()
        self._items.close()
        self._rejects.close()

    def _put(self, name: str, image: bytes) -> dict[str, int]:
        room = BLOCK + len(image) + BLOCK
        if self._tar is None or (self._tar.tell() and self._tar.tell() + room > self.shard_bytes):
            self._end_shard()
            self._shard += 1
            self._tar = open(self.folder / shard_name(self._shard), "xb")
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(image), 0o644
        self._tar.write(info.tobuf(tarfile.USTAR_FORMAT))
        offset = self._tar.tell()
        self._tar.write(image)
        self._tar.write(bytes(-len(image) % BLOCK))
        return {"shard": self._shard, "offset": offset, "size": len(image)}

    def _end_shard(self) -> None:
        if self._tar is not None:
            end = self._tar.tell() + 2 * BLOCK
            self._tar.write(bytes(2 * BLOCK + -end % tarfile.RECORDSIZE))
            self._tar.close()
            self._tar = None


def _map(path: Path) -> mmap.mmap | bytes:
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; run `dvc checkout`, or `dvc repro` to build it again") from None


def _line_ends(path: Path, data: mmap.mmap | bytes) -> np.ndarray:
    ends = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(data), SCAN_BYTES):
        chunk = np.frombuffer(data[start : start + SCAN_BYTES], dtype=np.uint8)
        ends.append(np.flatnonzero(chunk == ord("\n")) + start)
    ends_N = np.concatenate(ends)
    if len(data) and (not len(ends_N) or ends_N[-1] != len(data) - 1):
        raise ValueError(
            f"{path}, line {len(ends_N) + 1}: cut off, the file has no line end there; run `dvc checkout`"
        )
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
                f"{self.path}, line {index + 1}: not readable as JSON ({error}); run `dvc checkout`"
            ) from error
        if not isinstance(item, dict) or not {"id", "split", "captions", "image"} <= item.keys():
            raise ValueError(
                f"{self.path}, line {index + 1}: expected an object with id, split, captions and image; "
                "run `dvc checkout`"
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
        """The picture of an item, [Y, X, 3] uint8."""
        return images.decode(self.image_bytes(item), MAX_PIXELS, item["id"])

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
            raise ValueError(
                f"{label}: {path} ends at {len(data)}, before {offset}+{size}; run `dvc checkout`"
            )
        header = data[offset - BLOCK : offset]
        if header[257:262] != b"ustar" or int(header[124:135], 8) != size:
            raise ValueError(
                f"{label}: {path} has no picture of {size} bytes at {offset}; run `dvc checkout`"
            )
        return data[offset : offset + size]
