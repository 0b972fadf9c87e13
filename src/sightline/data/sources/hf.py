"""A Hugging Face dataset: saved on disk (`save_to_disk`), as parquet or arrow files, or on the hub.

`data.path` is the folder, or one file. From the hub, `data.base_url` is
`hf://datasets/<owner>/<name>@<commit>`, whose parquet files are kept once fetched. The split is that in the
path of a file. Columns are recognised as in a table; a column of class numbers is read by its names.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sightline.core import runtime
from sightline.core.params.data_params import DataParams
from sightline.data.intake import columns as column_names
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.columns import Columns, digest_of, to_row
from sightline.data.intake.pictures import PictureFolder
from sightline.data.intake.rows import Location, Refusal, Row
from sightline.data.intake.splits import split_in
from sightline.data.intake.table_files import Record, TableFile, open_table

HUB = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
ENDINGS = (".arrow", ".parquet")


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of rows and of items per split.

    Nothing depends on `seed`. Raises ValueError where no dataset is found.
    """
    root = Path(params.path) if params.has_path else _fetched(params.base_url)
    files = [root] if root.is_file() else sorted(it for it in root.rglob("*") if it.suffix in ENDINGS)
    if not files:
        raise ValueError(
            f"{root} holds no .parquet and no .arrow file; expected the folder that `save_to_disk` wrote, or "
            "a dataset of the hub that has parquet files (its branch refs/convert/parquet has them)"
        )
    tables = [open_table(path) for path in files]
    columns = column_names.resolve(params.columns, tables[0].columns, files[0].name)
    runtime.log(f"{len(files)} files, the first is {files[0].name}: {columns.sentence()}")
    folder = PictureFolder(Path(params.pictures), params.timeout_s, online=online)

    def read(location: Location) -> bytes:
        if isinstance(location, str):
            return folder.read(location)
        table, number, column = location
        return tables[int(table)].picture(int(number), str(column))

    places = ["" if root.is_file() else path.relative_to(root).as_posix() for path in files]
    rows = _rows(tables, [split_in(place or root.name) for place in places], columns)
    joining = Joining(by_picture=not columns.id or bool(columns.question), needs_picture=False)
    return build_items(rows, read, params, out, joining)


def _rows(tables: list[TableFile], splits: list[str], columns: Columns) -> Iterator[Row | Refusal]:
    for number, (table, split) in enumerate(zip(tables, splits, strict=True)):
        if missing := sorted({*columns.captions, columns.image} - {"", *table.columns}):
            raise ValueError(
                f"{table.path}: expected the columns of the first file, {missing[0]!r} is missing"
            )
        for record in table.records():
            if isinstance(record, Refusal):
                yield record
                continue
            for name, labels in table.labels.items():
                value = record.cells.get(name)
                record.cells[name] = (
                    labels[value] if isinstance(value, int) and value < len(labels) else value
                )
            row = to_row(record.where, record.cells, columns, _located(record, number, columns.image))
            if isinstance(row, Row) and not row.split:
                row = replace(row, split=split)
            yield row


def _located(record: Record, table: int, column: str) -> tuple[Location, str]:
    cell = record.cells.get(column) if column else None
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        return (table, record.number, column), digest_of(data)
    return column_names.first(cell.get("path") if isinstance(cell, dict) else cell), ""


def _fetched(address: str) -> Path:
    """The parquet files of a dataset of the hub, kept once fetched."""
    match = HUB.fullmatch(address)
    if not match:
        raise ValueError(
            "hf needs data.path, or data.base_url as hf://datasets/<owner>/<name>@<commit>, "
            f"with all 40 digits of the commit; got {address!r}"
        )
    from huggingface_hub import snapshot_download

    name, commit = match.groups()
    runtime.log(f"fetching the parquet files of {name} at {commit[:10]}")
    cache = runtime.resume_dir("downloads", "huggingface")
    return Path(
        snapshot_download(
            name, repo_type="dataset", revision=commit, cache_dir=cache, allow_patterns=["*.parquet"]
        )
    )
