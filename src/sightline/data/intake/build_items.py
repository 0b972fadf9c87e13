"""Rows of any source to items in shards: checked, joined, given a split; their pictures read and decoded.

Rows lie in a scratch database meanwhile, pictures are read a few ahead, so memory grows neither with the rows
nor with the pictures.
"""

import html
import json
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sightline.core import progress, runtime
from sightline.core.params.data_params import DataParams
from sightline.data import images
from sightline.data.http_connection import FetchError
from sightline.data.intake.columns import EMPTY, digest_of
from sightline.data.intake.prepared_pictures import with_pictures
from sightline.data.intake.rows import PictureError, Read, Refusal, Row
from sightline.data.intake.splits import hash_share
from sightline.data.shards import ShardWriter

MAX_TEXT = 10_000  # characters of a caption, a question or an answer
MAX_ID = 500
MAX_TEXTS = 1000  # captions or questions of a row
CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")  # the category Cc of Unicode
SURROGATE = re.compile("[\\ud800-\\udfff]")  # what undecodable bytes are read as
SCRATCH = "rows.sqlite"
TABLES = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
CREATE TABLE items (number INTEGER PRIMARY KEY, key TEXT UNIQUE, id TEXT UNIQUE, picture TEXT, split TEXT,
                    share REAL);
CREATE TABLE rows (item INTEGER, data TEXT);
CREATE INDEX of_item ON rows (item);
"""


@dataclass(frozen=True)
class Joining:
    """Which rows are one item: by_picture: those of the same picture, else those of the same id.
    needs_picture: an item whose picture cannot be read is refused; otherwise it keeps its text."""

    by_picture: bool
    needs_picture: bool


def build_items(
    rows: Iterable[Row | Refusal], read: Read, params: DataParams, out: Path, joining: Joining
) -> dict:
    """Fills `out` with shards and items, in the order of each item's first row; returns counts.

    Rows of one item must agree in picture and split; their captions and questions are joined. A split that
    the rows do not name (val, test) is drawn from train by a hash of the ids, `val_share` of the items each;
    where that leaves it without a picture, the item of the smallest hash goes there. Rows beyond `max_items`
    of a split are unused.
    """
    with ShardWriter(out, params.shard_mb << 20) as writer:
        scratch = out / SCRATCH
        with closing(_Collected(scratch, writer, joining.by_picture)) as collected:
            with progress.step("rows") as bar:
                for row in rows:
                    collected.add(row)
                    bar.advance()
            collected.give_splits(params.val_share)
            counts, pictures = collected.counts, Counter({"none": 0, "kept": 0, "refused": 0})
            items = collected.items(params.max_items)
            for item, size, picture in with_pictures(items, read, params):
                if isinstance(picture, PictureError | FetchError | images.ImageError):
                    writer.reject(item["id"], f"image_{picture.reason}", str(picture))
                    pictures["refused"] += 1
                    if joining.needs_picture:
                        counts["rejected"] += size
                        continue
                    item.pop("from", None)
                    image, ext = None, ""
                else:
                    image, ext = picture or (None, "")
                    pictures["kept" if picture else "none"] += 1
                writer.add(item, image, ext)
                counts["accepted"] += size
        scratch.unlink()
    for name in sorted(set(writer.accepted) - {"train", "val", "test"}):
        runtime.log(
            f"{writer.accepted[name]} items are of the split {name}: neither trained on nor chosen by; "
            "evaluate.splits may name it"
        )
    assert counts["in"] == counts["accepted"] + counts["rejected"] + counts["unused"]
    return {
        "rows": dict(counts),
        "items": dict(writer.accepted),
        "rejected": dict(writer.rejected),
        "pictures": dict(pictures),
    }


class _Collected:
    """The good rows of a source, by item, in a database on disk."""

    def __init__(self, path: Path, writer: ShardWriter, by_picture: bool) -> None:
        self.counts = Counter({"in": 0, "accepted": 0, "rejected": 0, "unused": 0})
        self._writer, self._by_picture = writer, by_picture
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(TABLES)
        self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()

    def add(self, row: Row | Refusal) -> None:
        """Keep a row, or record why not."""
        self.counts["in"] += 1
        refusal = row if isinstance(row, Refusal) else self._put(row)
        if refusal:
            self._writer.reject(refusal.id[:MAX_ID], refusal.reason, refusal.detail)
            self.counts["rejected"] += 1

    def _put(self, row: Row) -> Refusal | None:
        id = _clean(row.id)
        fault = _fault(row, id)
        if fault:
            return Refusal(id or row.where, fault[0], f"{row.where}: {fault[1]}")
        texts = [text for text in map(_clean, row.texts) if text]
        name = row.picture if isinstance(row.picture, str) else row.digest
        id = id or (name if len(name) <= MAX_ID else "") or digest_of(repr(texts).encode())
        key = f"picture {name}" if self._by_picture and name else f"id {id}"
        picture = json.dumps(row.picture) if row.picture else ""
        known = self._db.execute(
            "SELECT number, id, picture, split FROM items WHERE key = ?", (key,)
        ).fetchone()
        if known and not self._by_picture and known[2] != picture:
            return Refusal(
                id, "duplicate_id", f"{row.where}: the id {id!r} was used before, with another picture"
            )
        if known and known[3] != row.split:
            return Refusal(
                id, "two_splits", f"{row.where}: the item is in the split {known[3] or 'train'} already"
            )
        if known is None:
            if self._db.execute("SELECT 1 FROM items WHERE id = ?", (id,)).fetchone():
                return Refusal(id, "duplicate_id", f"{row.where}: the id {id!r} was used before")
            head = (key, id, picture, row.split, hash_share(id))
            cursor = self._db.execute(
                "INSERT INTO items (key, id, picture, split, share) VALUES (?, ?, ?, ?, ?)", head
            )
            known = (cursor.lastrowid,)
        asked = [[_clean(it.question), list(map(_clean, it.answers)), it.kind] for it in row.questions]
        data = json.dumps([_clean(row.title), texts, asked], ensure_ascii=False)
        self._db.execute("INSERT INTO rows VALUES (?, ?)", (known[0], data))
        return None

    def give_splits(self, val_share: float) -> None:
        """Draw the splits that the rows do not name from those that are train or have none."""
        execute = self._db.execute
        given = {split for (split,) in execute("SELECT DISTINCT split FROM items")} - {""}
        execute("UPDATE items SET split = 'train' WHERE split = ''")
        start = 0.0
        for name in ("val", "test"):
            if name in given:
                continue
            execute(
                "UPDATE items SET split = ? WHERE split = 'train' AND share >= ? AND share < ?",
                (name, start, start + val_share),
            )
            start += val_share
            shown = "picture != '' AND split"
            left = execute(
                f"SELECT number FROM items WHERE {shown} = 'train' ORDER BY share LIMIT 2"
            ).fetchall()
            if not execute(f"SELECT 1 FROM items WHERE {shown} = ?", (name,)).fetchone() and len(left) == 2:
                execute("UPDATE items SET split = ? WHERE number = ?", (name, left[0][0]))
            if given:
                count = execute("SELECT COUNT(*) FROM items WHERE split = ?", (name,)).fetchone()[0]
                runtime.log(
                    f"the data has no split {name}: {count} items of train are, by a hash of their ids"
                )
        execute("COMMIT")

    def items(self, max_items: int) -> Iterator[tuple[dict, int, Any]]:
        """(item, number of its rows, location of its picture or '')."""
        taken: Counter[str] = Counter()
        found = self._db.execute(
            "SELECT number, id, picture, split, data FROM items JOIN rows ON item = number ORDER BY number, "
            "rows.rowid"
        )
        for (_, id, picture, split), group in groupby(found, key=lambda row: row[:4]):
            datas = [json.loads(row[4]) for row in group]
            if max_items and taken[split] == max_items:
                self.counts["unused"] += len(datas)
                continue
            taken[split] += 1
            questions = _questions(datas)
            captions = list(dict.fromkeys(text for _, texts, _ in datas for text in texts))
            # Without a caption the questions with their answers are what is known of the picture.
            captions = captions or [f"{it['question']} {it['answers'][0]}" for it in questions]
            item: dict[str, Any] = {"id": id, "split": split, "captions": captions}
            if title := next((title for title, _, _ in datas if title), ""):
                item["title"] = title
            if questions:
                item["questions"] = questions
            location = json.loads(picture) if picture else ""
            if isinstance(location, str) and location:
                item["from"] = location
            yield item, len(datas), location if isinstance(location, str) else tuple(location)


def _questions(datas: list[list]) -> list[dict]:
    """The questions of an item, each once with all its answers."""
    merged: dict[tuple[str, str], list[str]] = {}
    for _, _, asked in datas:
        for question, answers, kind in asked:
            merged.setdefault((question, kind), []).extend(answers)
    return [
        {"question": question, "answers": answers} | ({"type": kind} if kind else {})
        for (question, kind), answers in merged.items()
    ]


def _fault(row: Row, id: str) -> tuple[str, str] | None:
    """(reason code, sentence) if the row must be refused."""
    asked = [text for it in row.questions for text in (it.question, *it.answers)]
    texts = [*row.texts, row.title, *asked]
    everything = "".join([row.id, row.picture if isinstance(row.picture, str) else "", *texts])
    if SURROGATE.search(everything):
        return "bad_utf8", "bytes that are not UTF-8"
    if "\0" in everything:
        return "nul", "a NUL character"
    if len(id) > MAX_ID:
        return "long_id", f"an id of {len(id)} characters, at most {MAX_ID} are allowed"
    longest = max(map(len, texts), default=0)
    if longest > MAX_TEXT:
        return "long_text", f"a text of {longest} characters, at most {MAX_TEXT} are allowed"
    if len(texts) > MAX_TEXTS:
        return "many_texts", f"{len(texts)} texts, at most {MAX_TEXTS} are allowed"
    if not row.questions and not any(map(_clean, row.texts)):
        return "empty_text", "no caption and no question"
    return None


def _clean(text: str) -> str:
    """One line, NFC, without control characters and HTML's entities; a missing value becomes empty."""
    text = html.unescape(text) if "&" in text else text
    line = " ".join(unicodedata.normalize("NFC", CONTROL.sub(" ", text)).split())
    return "" if line in EMPTY else line
