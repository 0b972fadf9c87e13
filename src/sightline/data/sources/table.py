"""A table of your own: CSV, TSV, JSON lines or parquet, with a row for each item or for each caption.

Which column holds what is told from the usual names, or given in `data.columns`. Rows of the same id are one
item; where there is no id, or the rows are questions, rows of the same picture are. They must agree in
picture and split, and their captions and questions are joined. A picture is a path below
`data.pictures`, an address on the public internet, which is fetched once, or stands in the table. An item
without a readable picture keeps its text, and the picture's fault is recorded.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath

from sightline.core import runtime
from sightline.core.params.data_params import DataParams
from sightline.data.http_connection import split_url
from sightline.data.intake import columns as column_names
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.columns import Columns, digest_of, to_row
from sightline.data.intake.pictures import PictureFolder
from sightline.data.intake.rows import Location, Refusal, Row
from sightline.data.intake.table_files import Record, TableFile, open_table


def build(params: DataParams, seed: int, out: Path, online: bool = True, allow: Collection[str] = ()) -> dict:
    """Fills `out` with shards and items; returns counts of rows and of items per split.

    Nothing depends on `seed`. `allow` are networks that pictures may come from although they are not public.
    Raises ValueError for an unusable table.
    """
    table = open_table(Path(params.path))
    columns = column_names.resolve(params.columns, table.columns, table.path.name)
    runtime.log(f"{table.path.name} ({table.form}): {columns.sentence()}")
    folder = PictureFolder(Path(params.pictures), params.timeout_s, allow, online)

    def read(location: Location) -> bytes:
        if isinstance(location, str):
            return folder.read(location)
        number, column = location
        return table.picture(int(number), str(column))

    rows = _rows(table, columns, folder, params.has_pictures)
    joining = Joining(by_picture=not columns.id or bool(columns.question), needs_picture=False)
    return build_items(rows, read, params, out, joining)


def _rows(
    table: TableFile, columns: Columns, folder: PictureFolder, has_pictures: bool
) -> Iterator[Row | Refusal]:
    for record in table.records():
        if isinstance(record, Refusal):
            yield record
            continue
        located = _locate(record, columns.image, folder, table.path.parent) if columns.image else ("", "")
        row = to_row(record.where, record.cells, columns, located)
        if isinstance(row, Row) and isinstance(row.picture, str) and row.picture and not has_pictures:
            _require_address(row, table.path)
        yield row


def _locate(record: Record, column: str, folder: PictureFolder, beside: Path) -> tuple[Location, str]:
    """Where the picture of a row is, and its digest where it stands in the table itself."""
    cell = record.cells.get(column)
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        return (record.number, column), digest_of(data)
    location = column_names.first(cell.get("path") if isinstance(cell, dict) else cell)
    return _named(location, folder, beside) if location else "", ""


def _named(location: str, folder: PictureFolder, beside: Path) -> str:
    """A path in the folder of the pictures, also where it was written as seen from the table's folder
    `beside` (`images/1.jpg`, and data.pictures is that folder images). An address stays as it is."""
    seen = folder.name(os.path.normpath(beside.absolute() / location))
    # os.path: a name that no file can have is none, where `Path.is_file` raises
    leads = not PurePath(seen).is_absolute() and not os.path.isfile(folder.folder / location)
    return seen if leads and ":" not in location else folder.name(location)


def _require_address(row: Row, table: Path) -> None:
    if split_url(str(row.picture)).scheme not in ("http", "https"):
        here = table.parent if os.path.isfile(table.parent / str(row.picture)) else "FOLDER"
        raise ValueError(
            f"{row.where}: the picture {str(row.picture)[:200]} is a file, and data.pictures names no folder "
            f"that it lies in; give it: -S data.pictures={here}"
        )
