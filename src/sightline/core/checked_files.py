"""Large files that are read where they are needed and checked where they are read.

A folder of an artifact may hold `chunks.json`, which lists such files with their sizes and the sha256 of each
of their chunks (1 MiB). Loading the artifact verifies the list and the sizes, which costs nothing; a chunk is
compared with its hash before its first use, so that damage is noticed by whoever would be misled by it. The
manifest holds the hash of each whole file, too: `artifacts.load(..., everything=True)` reads them all.
"""

import hashlib
import json
import mmap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sightline.core.atomic_io import ArtifactError, write_bytes

CHUNKS = "chunks.json"
CHUNK = 1 << 20  # bytes; hashing one takes under a millisecond


class CheckedFile:
    """A file through a read-only memory map; the map outlives the replacement of its folder."""

    def __init__(self, path: Path, size: int, digests: list[str]) -> None:
        """Raises ArtifactError for a file that is absent or of another size."""
        self.path, self.size, self._digests = path, size, digests
        try:
            with open(path, "rb") as file:
                found = file.seek(0, 2)
                if found != size:
                    raise ArtifactError(f"{path}: expected {size} bytes, found {found}; {_cure(path)}")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except FileNotFoundError as error:
            raise ArtifactError(f"{path}: found no such file; {_cure(path)}") from error
        self.bytes_N = np.frombuffer(self._map, dtype=np.uint8)  # unchecked: call `check` before it is read
        self._seen = bytearray(len(digests))

    def check(self, start: int = 0, stop: int | None = None) -> None:
        """Compare the chunks that hold the bytes [start, stop) with their hashes, each of them once.

        Raises ArtifactError for a changed one and for a range outside the file."""
        stop = self.size if stop is None else stop
        if not 0 <= start <= stop <= self.size:
            raise ArtifactError(
                f"{self.path}: has {self.size} bytes, asked for {start} to {stop}; {_cure(self.path)}"
            )
        for chunk in range(start // CHUNK, -(-stop // CHUNK)):
            if not self._seen[chunk]:
                digest = hashlib.sha256(
                    memoryview(self._map)[chunk * CHUNK : (chunk + 1) * CHUNK]
                ).hexdigest()
                if digest != self._digests[chunk]:
                    raise ArtifactError(
                        f"{self.path}: expected sha256 {self._digests[chunk]} of the bytes from "
                        f"{chunk * CHUNK}, found {digest}; {_cure(self.path)}"
                    )
                self._seen[chunk] = 1

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop), checked."""
        self.check(start, stop)
        return self.bytes_N[start:stop].tobytes()

    def numbers(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The int64 numbers [start, stop) of a file that holds nothing else, checked."""
        stop = self.size // 8 if stop is None else stop
        self.check(8 * start, 8 * stop)
        return np.frombuffer(self._map, dtype="<i8", count=stop - start, offset=8 * start)


def record(folder: Path, names: Iterable[str]) -> None:
    """Write `chunks.json` for some files of a folder."""
    rows = {}
    for name in names:
        digests, size = [], 0
        with open(folder / name, "rb") as file:
            while chunk := file.read(CHUNK):
                digests.append(hashlib.sha256(chunk).hexdigest())
                size += len(chunk)
        rows[name] = {"size": size, "sha256": digests}
    write_bytes(folder / CHUNKS, json.dumps(rows, sort_keys=True, indent=1).encode())


def open_all(folder: Path) -> dict[str, CheckedFile]:
    """The files that a folder's `chunks.json` lists, open."""
    return {name: CheckedFile(folder / name, size, digests) for name, size, digests in listed(folder)}


def listed(folder: Path) -> list[tuple[str, int, list[str]]]:
    """(name, size, hash of each chunk) of the files in a folder's `chunks.json`. Raises ArtifactError for
    another form."""
    path = folder / CHUNKS
    try:
        document = json.loads(path.read_bytes())
        rows = [(str(name), int(row["size"]), list(row["sha256"])) for name, row in document.items()]
    except (
        OSError,
        AttributeError,
        ArithmeticError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ArtifactError(f"{path}: expected sizes and hashes of files ({error}); {_cure(path)}") from error
    for name, size, digests in rows:
        if len(digests) != -(-size // CHUNK) or Path(name).name != name:
            raise ArtifactError(f"{path}: no sizes and hashes of {name!r}; {_cure(path)}")
    return rows


def _cure(path: Path) -> str:
    return (
        f"restore {path.parent} (`sightline doctor --repair`, or from where it came), or rerun what writes it"
    )
