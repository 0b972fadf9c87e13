"""Pictures from the command line: files, folders, zip archives, and https addresses where allowed."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from sightline.cli.app import MAX_PIXELS

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MAX_BYTES = 64 << 20  # of a picture that is fetched
FETCH_S = 30.0  # until all of it has come


class PictureError(ValueError):
    """An argument that should be a picture and is none."""


def names_picture(text: str) -> bool:
    """Whether `text` is meant as a picture: it exists, is an address, or ends like a file of one."""
    from sightline.data import image_folder

    if ADDRESS.match(text) or os.path.exists(text):  # False also for what is too long to be a path
        return True
    return not re.search(r"\s", text) and PurePath(text).suffix.lower() in image_folder.ENDINGS


def read(source: str, fetch: bool) -> np.ndarray:
    """The pixels, uint8 [Y, X, 3], of one picture. Raises ValueError or OSError for what is none."""
    from sightline.data.image_workers import ImageWorkers

    with ImageWorkers() as workers:
        return workers.decode(_bytes(source, fetch), MAX_PIXELS, source)


def _bytes(source: str, fetch: bool) -> bytes:
    if ADDRESS.match(source):
        return _fetched(source, fetch)
    if not os.path.isfile(source):
        kind = "is a folder, expected one picture" if os.path.isdir(source) else "no such picture"
        raise PictureError(f"{source}: {kind}")
    return Path(source).read_bytes()


def displayed(source: str, rgb: np.ndarray, side: int) -> np.ndarray:
    """What a page shows of a picture that was read: an example that ships with a model in its sharper form,
    any other as it is, [Y, X, 3] with no side above `side`."""
    from sightline.data import images
    from sightline.search import examples

    file = examples.displayed(Path(source))
    if file != Path(source):
        rgb = read(str(file), fetch=False)
    return images.shrink(rgb, side)


def read_all(sources: Sequence[str], fetch: bool, refused: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Every picture of the sources with its name, one at a time; why others cannot be read goes to
    `refused`. Raises ValueError before the first for an address without `fetch`."""
    from sightline.data import image_folder
    from sightline.data.image_workers import ImageWorkers

    for source in sources:
        if ADDRESS.match(source):
            _check_address(source, fetch)
    with ImageWorkers() as workers:
        for source in sources:
            try:
                if os.path.isdir(source) or source.lower().endswith(".zip"):
                    yield from image_folder.read(Path(source), MAX_PIXELS, refused)
                else:
                    yield source, workers.decode(_bytes(source, fetch), MAX_PIXELS, source)
            except (ValueError, OSError) as error:
                refused.append(str(error))


def _check_address(address: str, fetch: bool) -> None:
    if not address.lower().startswith("https://"):
        raise PictureError(f"{address}: expected a file, a folder or an https:// address")
    if not fetch:
        raise PictureError(f"{address}: pictures are fetched from the internet only with --fetch")


def _fetched(address: str, fetch: bool) -> bytes:
    from sightline.data.http_connection import FetchError
    from sightline.serve.image_input import download

    _check_address(address, fetch)
    try:
        return download(address, MAX_BYTES, time.monotonic() + FETCH_S)
    except FetchError as error:
        raise FetchError(error.reason, f"{address}: the picture cannot be fetched: {error}") from error
