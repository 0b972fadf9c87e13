"""Pictures of a folder, or of a zip archive read in place."""

from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np

from sightline.data.archives import Archive
from sightline.data.image_workers import ImageWorkers
from sightline.data.images import ImageError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm")
MAX_ARCHIVE_BYTES, MAX_ENTRIES, MAX_PICTURE_BYTES = 64 << 30, 1_000_000, 64 << 20


def read(path: Path, max_pixels: int, refused: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Every picture below `path` with its name, in the order of the names, uint8 [Y, X, 3], one at a time;
    what cannot be read goes to `refused`, with its reason. Raises ValueError for a missing or hostile
    archive, or when none is left."""
    count = 0
    with ImageWorkers() as workers:
        for name, data in _folder(path) if path.is_dir() else _archive(path):
            try:
                rgb = workers.decode(data, max_pixels, name)
            except ImageError as error:
                refused.append(str(error))
                continue
            count += 1
            yield name, rgb
    if not count:
        raise ValueError(f"{path}: no readable picture; expected files that end in {', '.join(ENDINGS)}")


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and _named_like_one(file):
            yield str(file), file.read_bytes()


def _archive(path: Path) -> Iterator[tuple[str, bytes]]:
    with Archive(path, MAX_ARCHIVE_BYTES, MAX_ENTRIES) as archive:
        for name in sorted(archive.names):
            if _named_like_one(PurePath(name)):
                yield name, archive.read(name, MAX_PICTURE_BYTES)


def _named_like_one(path: PurePath) -> bool:
    return path.suffix.lower() in ENDINGS
