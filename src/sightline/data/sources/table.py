"""A table of your own: CSV (UTF-8) with the columns title, description, image_url, id.

`image_url` may be empty, a path below the table's folder, or an http(s) address on the public internet. An
item without a readable picture keeps its text, and the picture's fault is recorded. A row is one record.
"""

import csv
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from sightline.core import progress, runtime
from sightline.core.params.data_params import DataParams
from sightline.data import fetch, images, shards
from sightline.data.http_connection import FetchError, split_url
from sightline.data.http_transfer import Transfer

COLUMNS = ("title", "description", "image_url", "id")
MAX_TEXT = 10_000  # characters of a title or a description
MAX_ID = 500
MAX_FIELD = 1 << 26  # a longer field means a quote that is never closed
MAX_PICTURE_BYTES = 32 << 20
CONNECTIONS = 8
FETCH_TRIES = 3
EMPTY = ("", "nan", "NaN", "NAN")  # as other programs write a missing value
Row = dict[str, str]


class PictureError(ValueError):
    """A picture that could not be read. `reason` is a stable code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def build(params: DataParams, seed: int, out: Path, allow: Collection[str] = (), online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of rows and of items per split.

    A hash of the id alone decides the split: `val_share` of the items each for val and test, whatever the
    order and the seed. `allow` are networks that pictures may come from although they are not public; not
    `online`, no picture is fetched. Rows beyond `max_items` of a split, in the table's order, are unused.
    Raises ValueError for an unusable table.
    """
    path = Path(params.path)
    base = Path(params.pictures) if params.has_pictures else path.parent
    if not path.is_file():
        raise ValueError(f"data.path: {path} is not a file; expected a CSV with columns {', '.join(COLUMNS)}")
    rows = Counter({"in": 0, "accepted": 0, "rejected": 0, "unused": 0})
    pictures = Counter({"none": 0, "kept": 0, "refused": 0})
    with (
        ThreadPoolExecutor(CONNECTIONS) as pool,
        shards.ShardWriter(out, params.shard_mb << 20) as writer,
        progress.step("rows of the table") as bar,
    ):
        accepted = _accepted(path, params, rows, writer)
        while batch := list(islice(accepted, 4 * CONNECTIONS)):
            fetched = [pool.submit(_picture, row["image_url"], base, params, allow, online) for row in batch]
            for row, future in zip(batch, fetched, strict=True):
                image, ext = None, ""
                try:
                    if picture := future.result():
                        data = picture.read_bytes()
                        image, ext = images.prepare(data, params.max_pixels, params.image_side, row["id"])
                except (PictureError, FetchError, images.ImageError) as error:
                    writer.reject(row["id"], f"image_{error.reason}", str(error))
                    pictures["refused"] += 1
                else:
                    pictures["none" if image is None else "kept"] += 1
                texts = [text for text in (row["title"], row["description"]) if text]
                item = {"id": row["id"], "split": row["split"], "title": row["title"]}
                writer.add(item | {"captions": list(dict.fromkeys(texts))}, image, ext)
                rows["accepted"] += 1
                bar.advance()
    assert rows["in"] == rows["accepted"] + rows["rejected"] + rows["unused"]
    return {
        "rows": dict(rows),
        "items": dict(writer.accepted),
        "rejected": dict(writer.rejected),
        "pictures": dict(pictures),
    }


def split_of(id: str, val_share: float) -> str:
    """The split of an item, from a hash of its id."""
    share = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8]) / 2**64
    return "val" if share < val_share else "test" if share < 2 * val_share else "train"


def _accepted(
    path: Path, params: DataParams, rows: Counter[str], writer: shards.ShardWriter
) -> Iterator[Row]:
    """The good rows, cleaned, with their split; the others are recorded."""
    ids: set[str] = set()
    taken: Counter[str] = Counter()
    for line, record in _records(path):
        rows["in"] += 1
        fault = _fault(record, ids)
        if fault:
            id = _clean(record.get("id", "")) or f"line {line}"
            writer.reject(id[:MAX_ID], fault[0], f"{path.name}, line {line}: {fault[1]}")
            rows["rejected"] += 1
            continue
        row = {name: _clean(record[name]) for name in COLUMNS}
        ids.add(row["id"])
        row["split"] = split_of(row["id"], params.val_share)
        if params.max_items and taken[row["split"]] == params.max_items:
            rows["unused"] += 1
            continue
        taken[row["split"]] += 1
        yield row


def _records(path: Path) -> Iterator[tuple[int, Row]]:
    """(line number, record) of each non-empty row; undecodable bytes become lone surrogates."""
    csv.field_size_limit(MAX_FIELD)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
            missing = [name for name in COLUMNS if header.count(name) != 1]
            if missing:
                raise ValueError(
                    f"{path}: expected the columns {', '.join(COLUMNS)} once each, found "
                    f"{', '.join(header)[:500] or 'nothing'}; correct {', '.join(missing)} in the first line"
                )
            for fields in reader:
                if fields:
                    record = dict(zip(header, fields, strict=False))
                    yield (
                        reader.line_num,
                        record if len(fields) == len(header) else {"id": record.get("id", "")},
                    )
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}; is a quote left open?") from error


def _fault(record: Row, ids: set[str]) -> tuple[str, str] | None:
    """(reason code, sentence) if the row must be rejected."""
    text = "".join(record.values())
    if len(record) < len(COLUMNS):
        return "wrong_columns", "more or fewer fields than the first line"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "bad_utf8", "bytes that are not UTF-8"
    if "\0" in text:
        return "nul", "a NUL character"
    id = _clean(record["id"])
    if id in EMPTY:
        return "empty_id", "no id"
    if len(id) > MAX_ID:
        return "long_id", f"an id of {len(id)} characters, at most {MAX_ID} are allowed"
    if id in ids:
        return "duplicate_id", f"the id {id!r} was used before"
    longest = max(len(record["title"]), len(record["description"]))
    if longest > MAX_TEXT:
        return "long_text", f"a text of {longest} characters, at most {MAX_TEXT} are allowed"
    if not _clean(record["title"]) and not _clean(record["description"]):
        return "empty_text", "neither title nor description"
    return None


def _clean(text: str) -> str:
    """One line, NFC, without control characters; a missing value becomes empty."""
    spaced = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)
    line = " ".join(unicodedata.normalize("NFC", spaced).split())
    return "" if line in EMPTY else line


def _picture(url: str, folder: Path, params: DataParams, allow: Collection[str], online: bool) -> Path | None:
    """The file behind an image_url, fetched if need be; None if there is no image_url."""
    if not url:
        return None
    parts = split_url(url)
    if parts.scheme in ("http", "https"):
        if not online:
            raise PictureError("remote", f"{url} is not on this disk, and nothing is fetched here")
        name = hashlib.sha256(url.encode()).hexdigest()
        target = runtime.resume_dir("downloads", name) / "picture"
        limits = Transfer(params.timeout_s, MAX_PICTURE_BYTES, True, allow, FETCH_TRIES)
        fetch.fetch(url, target, None, limits)
        return target
    if parts.scheme not in ("", "file"):
        raise PictureError("scheme", f"{url}: expected a path, http:// or https://")
    path = (folder / (unquote(parts.path) if parts.scheme else url)).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise PictureError("outside", f"{url} leads out of {folder}")
    if not path.is_file():
        raise PictureError("missing", f"{url} is not a file in {folder}")
    if path.stat().st_size > MAX_PICTURE_BYTES:
        raise PictureError(
            "too_large", f"{url} has {path.stat().st_size} bytes, not {MAX_PICTURE_BYTES} at most"
        )
    return path
