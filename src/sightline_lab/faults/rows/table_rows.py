"""Row 7: every row of a table is accepted or refused for the right reason, whatever order they come in."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.core.params.checks import NO_INPUT
from sightline.core.params.data_params import DataParams
from sightline.data.intake.build_items import MAX_ID, MAX_TEXT
from sightline.data.shards import Items
from sightline.data.sources import table
from sightline_lab.faults.battery import Broken, Case, Promise

ROWS = 100  # of a table
COLUMNS = ["id", "title", "description", "image", "split"]
Cells = list[str]


def _with(column: str, value: str) -> Callable[[Cells], Cells]:
    def changed(cells: Cells) -> Cells:
        at = COLUMNS.index(column)
        return [*cells[:at], value, *cells[at + 1 :]]

    return changed


def _textless(cells: Cells) -> Cells:
    return _with("description", "  ")(_with("title", "NaN")(cells))


# What is done to a row, and the reason that it must be refused for; '' accepts it.
DEFECTS: dict[str, tuple[str, Callable[[Cells], Cells]]] = {
    "good": ("", lambda cells: cells),
    "no title": ("", _with("title", "")),
    "formula": ("", _with("description", "=HYPERLINK(0)")),
    "markup": ("", _with("description", "<script>alert(1)</script>")),
    "line break": ("", _with("description", "two\nlines")),
    "quotes": ("", _with("description", 'a "quoted" word')),
    "control character": ("", _with("description", "a\x07bell")),
    "no picture": ("", _with("image", "")),
    "emoji": ("", _with("title", "👟 shoe")),
    "empty text": ("empty_text", _textless),
    "no id": ("empty_id", _with("id", "")),
    "missing id": ("empty_id", _with("id", "NULL")),
    "long id": ("long_id", lambda cells: _with("id", cells[0] + "x" * MAX_ID)(cells)),
    "long text": ("long_text", _with("description", "w" * (MAX_TEXT + 1))),
    "bad split": ("bad_split", _with("split", "my split!")),
    "misspelled split": ("bad_split", _with("split", "trian")),
    "few fields": ("wrong_columns", lambda cells: cells[:3]),
    "many fields": ("wrong_columns", lambda cells: [*cells, "more", "yet more"]),
    "missing picture": ("image_", _with("image", "absent.jpg")),
    "broken picture": ("image_", _with("image", "broken.jpg")),
    "other format": ("image_", _with("image", "text.jpg")),
}
BYTES = {"bad utf-8": ("bad_utf8", b"\xff\xfe\x80"), "nul": ("nul", b"\x00")}
PHOTO = "good.jpg"


def prepare(scratch: Path) -> Path:
    """The folder of the pictures."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(out, "JPEG")
    (scratch / PHOTO).write_bytes(out.getvalue())
    (scratch / "broken.jpg").write_bytes(out.getvalue()[:200])
    (scratch / "text.jpg").write_bytes(b"no picture at all")
    return scratch


def case(case: Case) -> int:
    """A table of ROWS rows, twice: the second time in another order."""
    rng = case.rng
    names = [*DEFECTS, *BYTES]
    chosen = [str(name) for name in rng.choice(names, ROWS, p=_shares(names))]
    rows = [_row(f"item{number}", name) for number, name in enumerate(chosen)]
    if rng.random() < 0.5:  # an id that comes again with another picture
        rows[-1], chosen[-1] = _encoded(["item0", "again", "again", "other.jpg", "train"]), "duplicate"
        rows[0], chosen[0] = _row("item0", "good"), "good"
    outcomes = []
    for number, order in enumerate((np.arange(ROWS), np.r_[0, 1 + rng.permutation(ROWS - 2), ROWS - 1])):
        folder = case.scratch / str(number)
        folder.mkdir()
        head = ("\ufeff" if number else "") + ",".join(COLUMNS) + "\r\n"
        (folder / "items.csv").write_bytes(head.encode() + b"".join(rows[at] for at in order))
        outcomes.append(_built(folder, case.prepared))
        _judge(outcomes[-1], chosen)
    if outcomes[0][1] != outcomes[1][1]:
        raise Broken("the split of an item depends on the order of the rows")
    return ROWS


def _shares(names: list[str]) -> np.ndarray:
    """Half of the rows are good."""
    share_N = np.full(len(names), 0.5 / (len(names) - 1))
    share_N[names.index("good")] = 0.5
    return share_N


def _row(id: str, defect: str) -> bytes:
    cells = [id, f"Título {id}", f"Text of {id}.", PHOTO, ""]
    if defect in BYTES:
        mark = "@@"
        return _encoded(_with("description", f"a {mark} b")(cells)).replace(b"@@", BYTES[defect][1])
    return _encoded(DEFECTS[defect][1](cells))


def _encoded(cells: Cells) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().encode()


def _built(folder: Path, pictures: Path) -> tuple[dict, dict[str, str], list[dict]]:
    """(what build returned, split of each item, refusals)."""
    params = DataParams(
        source="table", path=str(folder / "items.csv"), pictures=str(pictures),
        columns=dict.fromkeys(("id", "image", "split", "question", "answer"), "") | {"captions": []},
        base_url="", checksums={}, max_items=0, sizes={}, image_side=64, shard_mb=1, max_pixels=1_000_000,
        timeout_s=2.0, val_share=0.2,
    )  # fmt: skip
    assert params.pictures != NO_INPUT
    config = table.build(params, 7, folder / "out", online=False)
    items = Items(folder / "out")
    lines = (folder / "out" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    splits = {items[at]["id"]: items[at]["split"] for at in range(len(items))}
    return config, splits, [json.loads(line) for line in lines]


def _judge(outcome: tuple[dict, dict[str, str], list[dict]], chosen: list[str]) -> None:
    config, splits, refused = outcome
    rows = config["rows"]
    if rows["in"] != ROWS or rows["in"] != rows["accepted"] + rows["rejected"] + rows["unused"]:
        raise Broken(f"{ROWS} rows went in, the counts are {rows}")
    wanted = [_reason(name) for name in chosen]
    refusals = Counter(it["reason"] for it in refused if not it["reason"].startswith("image_"))
    expected = Counter(reason for reason in wanted if reason and reason != "image_")
    if refusals != expected:
        raise Broken(f"not refused: {dict(expected - refusals)}; refused: {dict(refusals - expected)}")
    pictureless = sum(it["reason"].startswith("image_") for it in refused)
    if pictureless != wanted.count("image_"):
        raise Broken(f"{pictureless} pictures refused, {wanted.count('image_')} were planted")
    kept = {f"item{number}" for number, reason in enumerate(wanted) if reason in ("", "image_")}
    if set(splits) != kept:
        raise Broken(f"items that differ from the good rows: {sorted(set(splits) ^ kept)[:5]}")


def _reason(defect: str) -> str:
    if defect == "duplicate":
        return "duplicate_id"
    return BYTES[defect][0] if defect in BYTES else DEFECTS[defect][0]


PROMISE = Promise(
    7, "Rows of a table", "Rows in are rows accepted and rows refused, each refused one with the reason of "
    "its fault; splits do not depend on the order of the rows.", "rows", 20, 1000, case, prepare,
)  # fmt: skip
