"""Flickr8k: 8,091 photos with five captions each and official splits.

M. Hodosh, P. Young, J. Hockenmaier: Framing image description as a ranking task (JAIR 47, 2013). Read in
place from the two archives of the public release, for research use; or from a folder of yours, as Kaggle
has it (`captions.txt`, `Images/`), as the archives unpack, or with A. Karpathy's dataset_flickr8k.json. A
row is one caption.
"""

import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sightline.core.params.data_params import DataParams
from sightline.data import fetch
from sightline.data.archives import Archive, ArchiveError
from sightline.data.intake import captions_files
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.photo_files import PhotoFiles
from sightline.data.intake.pictures import PictureFolder
from sightline.data.intake.rows import Location, Refusal, Row

PHOTOS, TEXTS = "Flickr8k_Dataset.zip", "Flickr8k_text.zip"
CAPTIONS = "Flickr8k.token.txt"
SPLITS = {"train": "train", "val": "dev", "test": "test"}
MAX_ARCHIVE_BYTES = 4 << 30
MAX_TEXT_BYTES = 64 << 20
MAX_PHOTO_BYTES = 64 << 20
MAX_ENTRIES = 100_000


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of captions (rows) and of items per split.

    Of the archives the splits are the official ones (dev is val) in their own order, and photos that are on
    none of their lists are left out. Nothing depends on `seed`.
    """
    joining = Joining(by_picture=True, needs_picture=True)
    if params.has_path:
        folder = PictureFolder(Path(params.path), params.timeout_s, online=online)
        return build_items(captions_files.flickr(folder), folder.read, params, out, joining)
    with _open(params, TEXTS) as texts, _open(params, PHOTOS) as photos:
        lock = threading.Lock()

        def read(location: Location) -> bytes:
            with lock:  # the archive is one file
                return photos.read(str(location), MAX_PHOTO_BYTES)

        return build_items(_rows(texts, photos), read, params, out, joining)


def _open(params: DataParams, name: str) -> Archive:
    url = f"{params.base_url}/{name}"
    path = fetch.cached(url, params.checksums.get(name), params.timeout_s, MAX_ARCHIVE_BYTES)
    return Archive(path, MAX_ARCHIVE_BYTES, MAX_ENTRIES)


def _rows(texts: Archive, photos: Archive) -> Iterator[Row | Refusal]:
    """Every listed photo's captions by their numbers, in the order of the lists."""
    listings = {split: f"Flickr_8k.{part}Images.txt" for split, part in SPLITS.items()}
    listed = {split: _lines(texts, listing) for split, listing in listings.items()}
    split_of = captions_files.listed_split(dict(reversed(listed.items())))
    found: dict[str, list[Row]] = {}
    for row in captions_files.token_file(
        _lines(texts, CAPTIONS), CAPTIONS, PhotoFiles(photos.names).find, split_of
    ):
        if isinstance(row, Row):
            found.setdefault(row.id, []).append(row)
        else:
            yield row
    for split, names in listed.items():
        for name in names:
            rows = found.pop(PurePosixPath(name).stem, [])
            yield from rows
            if not rows:
                yield Refusal(name, "no_captions", f"{listings[split]} lists it, but no captions are left")


def _lines(texts: Archive, file_name: str) -> list[str]:
    members = [name for name in texts.names if PurePosixPath(name).name == file_name]
    if not members:
        raise ArchiveError(f"{texts.path} has no {file_name}; its files are {texts.names}")
    try:
        text = texts.read(members[0], MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{texts.path}: {file_name} is not UTF-8 ({error})") from error
    return [line.strip("\r ") for line in text.split("\n") if line.strip()]
