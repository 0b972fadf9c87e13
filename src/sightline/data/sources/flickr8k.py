"""Flickr8k: 8,091 photos with five captions each and official splits.

M. Hodosh, P. Young, J. Hockenmaier: Framing image description as a ranking task (JAIR 47, 2013).
Read in place from the two archives of the public release, for research use. A row is one caption.
"""

from collections import Counter
from pathlib import Path, PurePosixPath

from sightline.core import progress
from sightline.core.params.data_params import DataParams
from sightline.data import fetch, images, shards
from sightline.data.archives import Archive, ArchiveError

PHOTOS, TEXTS = "Flickr8k_Dataset.zip", "Flickr8k_text.zip"
CAPTIONS = "Flickr8k.token.txt"
SPLITS = {"train": "train", "val": "dev", "test": "test"}
MAX_ARCHIVE_BYTES = 4 << 30
MAX_TEXT_BYTES = 64 << 20
MAX_PHOTO_BYTES = 64 << 20
MAX_ENTRIES = 100_000


def build(params: DataParams, seed: int, out: Path) -> dict:
    """Fills `out` with shards and items; returns counts of captions (rows) and of items per split.

    The splits are the official ones (dev is val) in their own order, so `seed` has no effect. Captions of
    unlisted photos, and of those beyond `max_items`, are counted as unused; captions without a readable photo
    are rejected.
    """
    with (
        _open(params, TEXTS) as texts,
        _open(params, PHOTOS) as photos,
        shards.ShardWriter(out, params.shard_mb << 20) as writer,
    ):
        members = {PurePosixPath(name).name: name for name in photos.names if name.endswith(".jpg")}
        captions, rows = _captions(texts, writer)
        missing = _reject_missing(captions, members, writer)
        rows["rejected"] += missing
        listings = {split: f"Flickr_8k.{part}Images.txt" for split, part in SPLITS.items()}
        listed = {split: _lines(texts, listing) for split, listing in listings.items()}
        for split, names in listed.items():
            for name in progress.track(names[: params.max_items or None], f"photos of {split}"):
                photo_captions = captions.pop(name, None)
                if photo_captions is None:
                    writer.reject(
                        name, "no_captions", f"{listings[split]} lists it, but no captions are left"
                    )
                    continue
                accepted = _add(writer, params, photos, members[name], split, photo_captions)
                rows["accepted" if accepted else "rejected"] += len(photo_captions)
        rows["unused"] = sum(len(photo_captions) for photo_captions in captions.values())
    assert rows["in"] == rows["accepted"] + rows["rejected"] + rows["unused"]
    unlisted = len(members.keys() - set().union(*listed.values()))
    return {
        "rows": dict(rows),
        "items": dict(writer.accepted),
        "rejected": dict(writer.rejected),
        "unlisted_photos": unlisted,
    }


def _open(params: DataParams, name: str) -> Archive:
    url = f"{params.base_url}/{name}"
    path = fetch.cached(url, params.checksums.get(name), params.timeout_s, MAX_ARCHIVE_BYTES)
    return Archive(path, MAX_ARCHIVE_BYTES, MAX_ENTRIES)


def _captions(texts: Archive, writer: shards.ShardWriter) -> tuple[dict[str, list[str]], Counter[str]]:
    """Photo name -> its captions in the order of their numbers; counts of rows."""
    numbered: dict[str, list[tuple[str, str]]] = {}
    rows = Counter({"in": 0, "accepted": 0, "rejected": 0, "unused": 0})
    for line_number, line in enumerate(_lines(texts, CAPTIONS), start=1):
        rows["in"] += 1
        key, tab, caption = line.partition("\t")
        name, hash_mark, number = key.rpartition("#")
        caption = " ".join(caption.split())
        if not (tab and hash_mark and name and number.isdigit() and caption):
            writer.reject(
                f"line {line_number}", "bad_row", f"{CAPTIONS}: expected <photo>#<number>, tab, caption"
            )
            rows["rejected"] += 1
            continue
        numbered.setdefault(name, []).append((number, caption))
    return {name: [caption for _, caption in sorted(pairs)] for name, pairs in numbered.items()}, rows


def _reject_missing(
    captions: dict[str, list[str]], members: dict[str, str], writer: shards.ShardWriter
) -> int:
    """Takes out the captions whose photo is not in the archive; returns their number."""
    missing = [name for name in captions if name not in members]
    for name in missing:
        writer.reject(name, "no_image", f"{len(captions[name])} captions, but {PHOTOS} has no such photo")
    return sum(len(captions.pop(name)) for name in missing)


def _add(
    writer: shards.ShardWriter,
    params: DataParams,
    photos: Archive,
    member: str,
    split: str,
    captions: list[str],
) -> bool:
    name = PurePosixPath(member)
    try:
        data = photos.read(member, MAX_PHOTO_BYTES)
        image, ext = images.prepare(data, params.max_pixels, params.image_side, name.name)
    except images.ImageError as error:
        writer.reject(name.name, f"image_{error.reason}", str(error))
        return False
    writer.add({"id": name.stem, "split": split, "captions": captions}, image, ext)
    return True


def _lines(texts: Archive, file_name: str) -> list[str]:
    members = [name for name in texts.names if PurePosixPath(name).name == file_name]
    if not members:
        raise ArchiveError(f"{texts.path} has no {file_name}; its files are {texts.names}")
    try:
        text = texts.read(members[0], MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{texts.path}: {file_name} is not UTF-8 ({error})") from error
    return [line.strip("\r ") for line in text.split("\n") if line.strip()]
