"""COCO captions 2017: 118,287 + 5,000 photos with about five captions each.

X. Chen et al.: Microsoft COCO captions (arXiv 1504.00325). val2017 is the test split; a share of train2017,
chosen by a hash of the photo's number, is val. Read in place from the three archives or from unpacked
folders. The caption files are parsed whole (92 MB of JSON for train2017, under 1 GiB in memory). A row is one
caption.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sightline.core import progress
from sightline.core.params.data_params import DataParams
from sightline.data import fetch, images, shards
from sightline.data.archives import Archive, ArchiveError

YEAR_SETS = {"val2017": "zips/val2017.zip", "train2017": "zips/train2017.zip"}
ANNOTATIONS = "annotations/annotations_trainval2017.zip"
MAX_ARCHIVE_BYTES = 64 << 30
MAX_JSON_BYTES = 2 << 30
MAX_PHOTO_BYTES = 64 << 20
MAX_ENTRIES = 1_000_000
Reader = Callable[[str, int], bytes | None]


def build(params: DataParams, seed: int, out: Path) -> dict:
    """Fills `out` with shards and items; returns counts of captions (rows) and of items per split.

    With `path`, archives or unpacked folders are taken from there, otherwise archives from `base_url`. With
    `max_items` the photos with the smallest hashes are kept; nothing depends on `seed` or the files' order.
    """
    if not params.has_path and not params.base_url:
        raise ValueError("data.path and data.base_url are both empty; coco needs one of them")
    rows = Counter({"in": 0, "accepted": 0, "rejected": 0, "unused": 0})
    with ExitStack() as stack, shards.ShardWriter(out, params.shard_mb << 20) as writer:
        annotations = _reader(params, ANNOTATIONS, stack)
        for year_set, archive in YEAR_SETS.items():
            photos = _load(annotations, f"annotations/captions_{year_set}.json", rows, writer)
            chosen = _choose(photos, year_set, params.val_share, params.max_items)
            read = _reader(params, archive, stack)
            for number, split in progress.track(chosen, f"photos of {year_set}"):
                file_name, captions = photos.pop(number)
                photo = Photo(f"{year_set}/{file_name}", number, split, captions)
                accepted = _add(writer, params, read, photo)
                rows["accepted" if accepted else "rejected"] += len(captions)
            rows["unused"] += sum(len(captions) for _, captions in photos.values())
    assert rows["in"] == rows["accepted"] + rows["rejected"] + rows["unused"]
    return {"rows": dict(rows), "items": dict(writer.accepted), "rejected": dict(writer.rejected)}


def hash_share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone: splits by it do not depend on order."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _reader(params: DataParams, archive: str, stack: ExitStack) -> Reader:
    """A function (member path, most bytes) -> bytes, or None if there is no such member."""
    name = archive.rsplit("/", 1)[-1]
    if params.has_path:
        folder = Path(params.path)
        local = next((path for path in (folder / archive, folder / name) if path.is_file()), None)
        if local is None:
            return lambda member, most: _read_file(folder, member, most)
        url = local.resolve().as_uri()
    else:
        url = f"{params.base_url}/{archive}"
    path = fetch.cached(url, params.checksums.get(name), params.timeout_s, MAX_ARCHIVE_BYTES)
    opened = stack.enter_context(Archive(path, MAX_ARCHIVE_BYTES, MAX_ENTRIES))
    members = set(opened.names)
    return lambda member, most: opened.read(member, most) if member in members else None


def _read_file(folder: Path, member: str, most: int) -> bytes | None:
    path = (folder / member).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    if path.stat().st_size > most:
        raise ArchiveError(f"{path} has {path.stat().st_size} bytes, {most} are allowed")
    return path.read_bytes()


def _load(
    read: Reader, member: str, rows: Counter[str], writer: shards.ShardWriter
) -> dict[int, tuple[str, list[str]]]:
    """Photo number -> (file name, captions in the order of their numbers)."""
    data = read(member, MAX_JSON_BYTES)
    if data is None:
        raise ValueError(f"{member} was not found; coco needs {ANNOTATIONS.rsplit('/')[-1]} or its folder")
    try:
        parsed = json.loads(data)
        photos: dict[int, tuple[str, list[str]]] = {
            int(image["id"]): (str(image["file_name"]), []) for image in parsed["images"]
        }
        annotations = sorted(parsed["annotations"], key=lambda annotation: annotation["id"])
        for annotation in annotations:
            rows["in"] += 1
            caption = " ".join(annotation["caption"].split())
            photo = photos.get(annotation["image_id"])
            if photo is None or not caption:
                reason = "no_image" if photo is None else "empty_text"
                writer.reject(str(annotation["id"]), reason, f"caption of photo {annotation['image_id']}")
                rows["rejected"] += 1
            else:
                photo[1].append(caption)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{member} is not a COCO caption file: {type(error).__name__} {error}") from error
    return photos


def _choose(photos: dict, year_set: str, val_share: float, max_items: int) -> list[tuple[int, str]]:
    """(photo number, split) of the photos to use, by number."""
    ranked: dict[str, list[tuple[float, int]]] = {}
    for number, (_, captions) in photos.items():
        share = hash_share(str(number))
        split = "test" if year_set == "val2017" else "val" if share < val_share else "train"
        if captions:
            ranked.setdefault(split, []).append((share, number))
    return sorted(
        (number, split)
        for split, candidates in ranked.items()
        for _, number in sorted(candidates)[: max_items or None]
    )


@dataclass(frozen=True)
class Photo:
    """A photo of an archive: the name of its member, its number, its split and its captions."""

    member: str
    number: int
    split: str
    captions: list[str]


def _add(writer: shards.ShardWriter, params: DataParams, read: Reader, photo: Photo) -> bool:
    data = read(photo.member, MAX_PHOTO_BYTES)
    if data is None:
        missing = f"{len(photo.captions)} captions, but there is no {photo.member}"
        writer.reject(str(photo.number), "no_image", missing)
        return False
    try:
        image, ext = images.prepare(data, params.max_pixels, params.image_side, photo.member)
    except images.ImageError as error:
        writer.reject(str(photo.number), f"image_{error.reason}", str(error))
        return False
    writer.add({"id": str(photo.number), "split": photo.split, "captions": photo.captions}, image, ext)
    return True
