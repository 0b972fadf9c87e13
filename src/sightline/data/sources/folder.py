"""A folder of pictures with their texts, as Hugging Face's imagefolder has it, or with a text file each.

The captions of a picture are, whichever is there: its row in `metadata.csv`, `.jsonl` or `.parquet` of its
folder or of one above (column `file_name`, relative to the metadata file); else `<name>.txt` (a caption a
line) or `<name>.json` (`caption`, `captions` or `text`) beside it; else, where no picture has any of these,
the name of its folder. Folders named train, validation or test, or like them, are splits.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sightline.core import runtime
from sightline.core.params.data_params import DataParams
from sightline.data.intake import columns as column_names
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.columns import to_row
from sightline.data.intake.pictures import PictureFolder, is_picture
from sightline.data.intake.rows import Refusal, Row
from sightline.data.intake.splits import NAMES
from sightline.data.intake.table_files import TABLE_ENDINGS, open_table
from sightline.data.intake.text_encoding import encoding_of

METADATA = "metadata"
FILE_NAME = "file_name"
MAX_SIDECAR_BYTES = 1 << 20


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of rows and of items per split.

    An id is the path of a picture in the folder, without its ending. Nothing depends on `seed`. Raises
    ValueError for a folder without pictures.
    """
    root = Path(params.path)
    if not root.is_dir():
        raise ValueError(f"data.path: {root} is not a folder; expected one with pictures")
    folder = PictureFolder(root, params.timeout_s, online=online)
    files = list(folder.files())
    pictures = [name for name in files if is_picture(name)]
    if not pictures:
        raise ValueError(f"data.path: {root} has no pictures; expected files that end in .jpg, .png or .webp")
    tables = [name for name in files if PurePosixPath(name).stem == METADATA and name.endswith(TABLE_ENDINGS)]
    if tables:
        rows = _listed(params, root, tables)
    else:
        sidecars = {name for name in files if name.endswith((".txt", ".json"))}
        rows = _beside(root, pictures, sidecars)
    return build_items(rows, folder.read, params, out, Joining(by_picture=True, needs_picture=True))


def _listed(params: DataParams, root: Path, tables: list[str]) -> Iterator[Row | Refusal]:
    """The rows of the metadata files."""
    for name in tables:
        table = open_table(root / name)
        given = params.columns
        if not given.image and FILE_NAME in table.columns:
            given = given.replaced(image=FILE_NAME)
        columns = column_names.resolve(given, table.columns, name)
        runtime.log(f"{name} ({table.form}): {columns.sentence()}")
        for record in table.records():
            if isinstance(record, Refusal):
                yield record
                continue
            place = PurePosixPath(name).parent / column_names.first(record.cells.get(columns.image))
            yield _placed(to_row(record.where, record.cells, columns, ("", "")), place)


def _placed(row: Row | Refusal, path: PurePosixPath) -> Row | Refusal:
    """The row with the id and the split that its picture's path gives, where it has none of its own."""
    if isinstance(row, Refusal):
        return row
    split = row.split or next((NAMES[part.lower()] for part in path.parts[:-1] if part.lower() in NAMES), "")
    id = row.id or path.with_suffix("").as_posix()
    return replace(row, id=id, picture=path.as_posix(), split=split)


def _beside(root: Path, pictures: list[str], sidecars: set[str]) -> Iterator[Row | Refusal]:
    """A row for each picture, with the text beside it or, where none has any, the name of its folder."""
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in pictures]
    labels = not any(f"{stem}{ending}" in sidecars for stem in stems for ending in (".txt", ".json"))
    if labels:
        runtime.log("no picture has a text: the names of the folders are the captions")
    for name, stem in zip(pictures, stems, strict=True):
        path = PurePosixPath(name)
        texts: tuple[str, ...] = ()
        for ending in (".txt", ".json"):
            if f"{stem}{ending}" in sidecars:
                texts += tuple(_sidecar(root / f"{stem}{ending}"))
        if labels and path.parent.name and path.parent.name.lower() not in NAMES:
            texts = (path.parent.name.replace("_", " ").replace("-", " "),)
        if texts:
            yield _placed(Row(name, texts), path)
        else:
            yield Refusal(name, "no_captions", f"{name}: no text beside it")


def _sidecar(path: Path) -> list[str]:
    """The captions of a text or JSON file; none for one that cannot be read."""
    if path.stat().st_size > MAX_SIDECAR_BYTES:
        return []
    text = path.read_bytes().decode(encoding_of(path), "replace")
    if path.suffix == ".txt":
        return [line for line in text.splitlines() if line.strip()]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, dict):
        return column_names.texts(value)
    return [
        text for name in column_names.guess(list(value)).captions for text in column_names.texts(value[name])
    ]
