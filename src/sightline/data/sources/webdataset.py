"""webdataset shards: tars whose files of the same name are one sample
(https://github.com/webdataset/webdataset).

`data.path` is a shard, a folder of shards or a pattern of them. A sample holds a picture (jpg, png, webp,
...) and its texts: `txt` (a caption a line) and `json`, whose fields are recognised like the columns of a
table; `cls` is a caption only where there is nothing else. The split is that of the field, else the one in
the shard's name. What img2dataset writes is read so (https://github.com/rom1504/img2dataset): its
`txt` repeats the caption of its `json` and counts once.
"""

import glob
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sightline.core import runtime
from sightline.core.params.data_params import ColumnParams, DataParams
from sightline.data.intake import columns as column_names
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.columns import Columns, digest_of, to_row
from sightline.data.intake.pictures import MAX_PICTURE_BYTES, is_picture
from sightline.data.intake.rows import Location, PictureError, Refusal, Row
from sightline.data.intake.splits import split_in
from sightline.data.intake.tar_files import Place, read_place, samples

MAX_TEXT_BYTES = 1 << 22  # of the txt, json and cls of a sample
TEXTS = ("txt", "json", "cls")
PICTURE = "the picture"  # the column that a sample's picture is in


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of samples (rows) and of items per split.

    Nothing depends on `seed`. Raises ValueError where there is no shard, and for a damaged or hostile one.
    """
    shards = _shards(params.path)

    def read(location: Location) -> bytes:
        shard, offset, size = (int(part) for part in location)
        if size > MAX_PICTURE_BYTES:
            raise PictureError("too_large", f"{shards[shard].name}: a picture of {size} bytes")
        return read_place(shards[shard], (offset, size))

    return build_items(_rows(shards, params.columns), read, params, out, Joining(False, needs_picture=False))


def _shards(pattern: str) -> list[Path]:
    path = Path(pattern)
    found = sorted(path.rglob("*.tar")) if path.is_dir() else sorted(map(Path, glob.glob(pattern)))
    shards = [shard for shard in found if shard.is_file()]
    if not shards:
        raise ValueError(
            f"data.path: {pattern} is no shard, no folder of shards and no pattern of them (*.tar)"
        )
    return shards


def _rows(shards: list[Path], given: ColumnParams) -> Iterator[Row | Refusal]:
    columns: Columns | None = None
    for number, shard in enumerate(shards):
        for key, members in samples(shard):
            where = f"{shard.name}, sample {key}"
            try:
                cells = _cells(shard, members)
            except ValueError as error:
                yield Refusal(key, "bad_json", f"{where}: {error}")
                continue
            if columns is None:
                columns = column_names.resolve(given.replaced(image=PICTURE), [*cells, PICTURE], shard.name)
                runtime.log(f"{len(shards)} shards, the first is {shard.name}: {columns.sentence()}")
            place = next((members[name] for name in members if is_picture(f"a.{name}")), None)
            located: tuple[Location, str] = ("", "")
            if place:
                located = (number, *place), digest_of(f"{key} {shard.name}".encode())
            if columns.id:
                cells.setdefault(columns.id, key)
            row = to_row(where, cells, columns, located)
            if isinstance(row, Row):
                row = replace(row, id=row.id or key, split=row.split or split_in(shard.name))
            yield row


def _cells(shard: Path, members: dict[str, Place]) -> dict[str, Any]:
    """The texts of a sample: the fields of its JSON, and its txt and cls."""
    cells: dict[str, Any] = {}
    for name in TEXTS:
        if name not in members:
            continue
        if members[name][1] > MAX_TEXT_BYTES:
            raise ValueError(f"{name} has {members[name][1]} bytes, at most {MAX_TEXT_BYTES} are read")
        text = read_place(shard, members[name]).decode("utf-8-sig", "surrogateescape")
        if name == "json":
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError("json is no JSON") from None
            cells |= value if isinstance(value, dict) else {"caption": value}
            if cells.get("txt") and "\n".join(cells["txt"]) in map(_one_line_end, cells.values()):
                cells["txt"] = []
        else:
            cells[name] = text.splitlines() if name == "txt" else text
    return cells


def _one_line_end(value: Any) -> str:
    """A text with the line ends that a `txt` is joined with; '' for another value."""
    return "\n".join(value.splitlines()) if isinstance(value, str) else ""
