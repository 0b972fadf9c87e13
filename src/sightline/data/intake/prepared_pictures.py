"""The pictures of items, read and made what shards keep: read by threads of this process, a few ahead, and
decoded by a process for each core, or on the cores of a Ray cluster (`engine: ray`), which gets their bytes.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from typing import Any

from sightline.core import progress
from sightline.core.params.data_params import DataParams
from sightline.core.shard_map import map_shards, usable_cores
from sightline.data.http_connection import FetchError
from sightline.data.image_workers import ImageWorkers
from sightline.data.images import ImageError
from sightline.data.intake.rows import PictureError, Read

CONNECTIONS = 8
READ_AHEAD = 48  # pictures
CHUNK, CHUNK_BYTES = 16, 4 << 20  # pictures that are decoded in one go: so many, or fewer large ones

# Of an item: its encoded picture and the extension, why it is refused, or None where it has none.
Picture = tuple[bytes, str] | PictureError | FetchError | ImageError | None
Found = bytes | PictureError | FetchError | None


def with_pictures(
    items: Iterator[tuple[dict, int, Any]], read: Read, params: DataParams
) -> Iterator[tuple[dict, int, Picture]]:
    """Items with their picture, in their order. items: with the number of their rows and the location of
    their picture, or ''."""
    sent: deque[list[tuple[dict, int, Found]]] = deque()  # chunks that are decoded

    def chunks() -> Iterator[list[tuple[bytes, str]]]:
        chunk: list[tuple[dict, int, Found]] = []
        for entry in _read(progress.track(items, "items"), read, readers):
            chunk.append(entry)
            if len(chunk) == CHUNK or sum(len(data) for _, data in _pictures(chunk)) >= CHUNK_BYTES:
                sent.append(chunk)
                yield _pictures(chunk)
                chunk = []
        if chunk:
            sent.append(chunk)
            yield _pictures(chunk)

    readers, workers = ThreadPoolExecutor(CONNECTIONS), _workers()
    prepared = map_shards(partial(prepare, params.max_pixels, params.image_side), chunks(), waits=True)
    try:
        for pictures in prepared:
            kept = iter(pictures)
            for item, rows, found in sent.popleft():
                yield item, rows, next(kept) if isinstance(found, bytes) else found
    finally:
        workers.close()  # first: threads may wait for them
        _workers.cache_clear()
        prepared.close()
        readers.shutdown(cancel_futures=True)


def prepare(
    max_pixels: int, side: int, pictures: list[tuple[bytes, str]]
) -> list[tuple[bytes, str] | ImageError]:
    """`images.prepare` of pictures (bytes, name), by processes of this one."""
    return _workers().prepare(pictures, max_pixels, side)


@lru_cache(maxsize=1)
def _workers() -> ImageWorkers:
    """Those of this process: on a Ray cluster a task follows the other, and starts none anew."""
    return ImageWorkers(usable_cores())


def _read(
    items: Iterator[tuple[dict, int, Any]], read: Read, readers: ThreadPoolExecutor
) -> Iterator[tuple[dict, int, Found]]:
    """Items with the bytes of their picture, in their order."""
    ahead: deque[tuple[dict, int, Future[bytes] | None]] = deque()
    while True:
        for item, rows, location in islice(items, READ_AHEAD - len(ahead)):
            ahead.append((item, rows, readers.submit(read, location) if location else None))
        if not ahead:
            return
        item, rows, reading = ahead.popleft()
        yield item, rows, _bytes(reading)


def _pictures(chunk: list[tuple[dict, int, Found]]) -> list[tuple[bytes, str]]:
    return [(found, item["id"]) for item, _, found in chunk if isinstance(found, bytes)]


def _bytes(reading: Future[bytes] | None) -> Found:
    """What was read, or why not; None where an item has no picture. Names and servers of a table are foreign:
    whatever one makes of a read, the other rows go on, and the refusal says it."""
    try:
        return reading.result() if reading else None
    except (PictureError, FetchError) as error:
        return error
    except MemoryError:
        raise
    except Exception as error:
        return PictureError("unreadable", f"{type(error).__name__}: {error}")
