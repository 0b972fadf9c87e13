"""Tables read row by row: CSV and TSV (encoding and delimiter are told), JSON lines, parquet, arrow.

Memory does not grow with the rows. The kind is told by the content, not by the name.
"""

import csv
import json
import threading
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sightline.data.intake.columns import Cells
from sightline.data.intake.rows import Refusal
from sightline.data.intake.text_encoding import encoding_of

MAX_FIELD = 1 << 26  # characters; a longer field means a quote that is never closed
DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 50  # records that a delimiter is told by
FOREIGN = 0.2  # of the first characters: more of those that no text has, and the file is none
SWALLOWED = 3  # lines of one field that look like rows: a quote is open; fewer may be a text
BATCH = 64  # rows of a parquet file that are decoded at once
TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".arrow")
Picture = Callable[[int, str], bytes]


@dataclass(frozen=True)
class Record:
    """A row as it stands in a file; number: its place, from 0."""

    where: str
    number: int
    cells: Cells


@dataclass(frozen=True)
class TableFile:
    """A table: its columns, how it was read, and its records, which may be gone through again.
    picture(number, column): the bytes of a picture that stands in the table. labels: of a column that holds
    class numbers, their names."""

    path: Path
    columns: list[str]
    form: str
    records: Callable[[], Iterator[Record | Refusal]]
    picture: Picture
    labels: dict[str, list[str]]


def open_table(path: Path) -> TableFile:
    """The table behind a path. Raises ValueError for what is none, naming file, line and cure."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file; expected a table: CSV, TSV, JSON lines or parquet")
    with open(path, "rb") as file:
        start = file.read(8)
    if start[:4] == b"PAR1" or start[:6] == b"ARROW1" or path.suffix.lower() == ".arrow":
        return _arrow_table(path)
    if start[:4] == b"PK\x03\x04" or start[:4] == b"\xd0\xcf\x11\xe0":
        raise ValueError(f"{path} is a spreadsheet or an archive; save the table as CSV")
    if start[:2] == b"\x1f\x8b" or start[:4] == b"%PDF":
        found = "a PDF" if start[:1] == b"%" else "compressed"
        raise ValueError(f"{path} is {found}; expected CSV, TSV, JSON lines or parquet, not compressed")
    encoding = encoding_of(path)
    with open(path, encoding=encoding, errors="replace") as text:
        head = text.read(4096).lstrip()
    if head.startswith("["):
        raise ValueError(f"{path} is a JSON array; expected JSON lines: one object a line, without brackets")
    foreign = sum(unicodedata.category(char) == "Cc" and char not in "\t\r\n\f" for char in head)
    if foreign + head.count("\ufffd") > len(head) * FOREIGN:
        raise ValueError(f"{path} is no text; expected a table: CSV, TSV, JSON lines or parquet")
    if head.startswith("{") or path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(path, encoding)
    return _delimited(path, encoding)


def _no_picture(number: int, column: str) -> bytes:
    raise ValueError("a text file holds no pictures")


def _delimited(path: Path, encoding: str) -> TableFile:
    csv.field_size_limit(MAX_FIELD)
    delimiter = _delimiter(path, encoding)
    header = next(_fields(path, encoding, delimiter), (1, []))[1]
    columns = [name.strip() for name in header]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if not any(columns) or twice:
        found = f"{', '.join(twice)} twice" if twice else "nothing"
        raise ValueError(f"{path}: expected a first line that names the columns, found {found}; correct it")

    def records() -> Iterator[Record | Refusal]:
        for number, (line, fields) in enumerate(islice(_fields(path, encoding, delimiter), 1, None)):
            where = f"{path.name}, line {line}"
            if len(fields) != len(columns):
                yield Refusal(
                    f"line {line}", "wrong_columns",
                    f"{where}: {len(fields)} fields, the first line has {len(columns)}",
                )  # fmt: skip
            else:
                yield Record(where, number, dict(zip(columns, fields, strict=True)))

    shown = {"\t": "tabs"}.get(delimiter, repr(delimiter))
    return TableFile(path, columns, f"{encoding}, {shown} between fields", records, _no_picture, {})


def _fields(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each non-empty record; undecodable bytes become lone surrogates."""
    with open(path, encoding=encoding, errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            for fields in reader:
                if fields:
                    _refuse_swallowed(path, reader.line_num, fields, delimiter)
                    yield reader.line_num, fields
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}; is a quote left open?") from error
        except UnicodeError as error:
            raise ValueError(f"{path}: not {encoding} throughout ({error}); save it as UTF-8") from error


def _refuse_swallowed(path: Path, line: int, fields: list[str], delimiter: str) -> None:
    """Raises ValueError for a field that holds whole rows: an open quote has swallowed them."""
    for field in fields:
        lines = field.splitlines()
        rows = [text for text in lines[1:] if text.count(delimiter) >= max(1, len(fields) - 1)]
        if len(rows) >= SWALLOWED and 2 * len(rows) >= len(lines):
            raise ValueError(
                f"{path}, line {line - len(lines) + 1}: a quote is opened there and takes {len(rows)} more "
                'rows into one field; close it, or double it ("") inside a quoted field'
            )


def _delimiter(path: Path, encoding: str) -> str:
    """The one that gives most of the first records as many fields as the header, and the header the most."""
    best, score = ",", (0, 0)
    for delimiter in DELIMITERS:
        try:
            records = [fields for _, fields in islice(_fields(path, encoding, delimiter), SNIFFED)]
        except ValueError:
            continue
        if records and len(records[0]) > 1:
            width = len(records[0])
            new = (sum(len(fields) == width for fields in records), width)
            best, score = (delimiter, new) if new > score else (best, score)
    return best


def _json_lines(path: Path, encoding: str) -> TableFile:
    def lines() -> Iterator[tuple[int, Any]]:
        with open(path, encoding=encoding, errors="surrogateescape") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_FIELD), ""), 1):
                if len(line) >= MAX_FIELD:
                    raise ValueError(f"{path}, line {number}: over {MAX_FIELD} characters; is it JSON lines?")
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except (ValueError, RecursionError):
                        yield number, None

    columns: dict[str, None] = {}
    for _, value in islice(lines(), 1000):
        columns |= dict.fromkeys(value) if isinstance(value, dict) else {}
    if not columns:
        raise ValueError(f"{path}: expected JSON lines, an object a line; found none")

    def records() -> Iterator[Record | Refusal]:
        for number, value in lines():
            where = f"{path.name}, line {number}"
            if isinstance(value, dict):
                yield Record(where, number, value)
            else:
                yield Refusal(f"line {number}", "bad_json", f"{where}: no JSON object")

    return TableFile(path, list(columns), f"{encoding}, JSON lines", records, _no_picture, {})


def _arrow_table(path: Path) -> TableFile:
    try:
        import pyarrow
    except ImportError as error:
        raise ValueError(f"{path}: parquet needs the package pyarrow: pip install pyarrow") from error
    try:
        reader = _ArrowReader(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as parquet or arrow: {error}") from error

    def records() -> Iterator[Record | Refusal]:
        for number, cells in enumerate(reader.rows()):
            yield Record(f"{path.name}, row {number + 1}", number, cells)

    return TableFile(path, reader.columns, reader.form, records, reader.picture, reader.labels)


class _ArrowReader:
    """Parquet and both forms of arrow: rows in order, and a cell by its row. Arrow is mapped, not loaded; of
    parquet the row group that was read last is kept."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self._lock, self._kept = threading.Lock(), (-1, "", None)
        with open(path, "rb") as file:
            start = file.read(6)
        self._parquet, self._batches = None, []
        if start[:4] == b"PAR1":
            self.form = "parquet"
            self._parquet = pyarrow.parquet.ParquetFile(path, memory_map=True)
            schema = self._parquet.schema_arrow
            groups = self._parquet.metadata
            sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        else:
            self.form = "arrow"
            mapped = pyarrow.memory_map(str(path))
            if start == b"ARROW1":
                opened = pyarrow.ipc.open_file(mapped)
                self._batches = [opened.get_batch(number) for number in range(opened.num_record_batches)]
            else:
                opened = pyarrow.ipc.open_stream(mapped)
                self._batches = list(opened)
            schema, sizes = opened.schema, [len(batch) for batch in self._batches]
        self._starts = [0]
        for size in sizes:
            self._starts.append(self._starts[-1] + size)
        self.columns = list(schema.names)
        self.labels = _labels(schema.metadata or {})

    def rows(self) -> Iterator[Cells]:
        batches = self._batches or self._parquet.iter_batches(BATCH) if self._parquet else self._batches
        for batch in batches:
            for start in range(0, len(batch), BATCH):
                yield from batch.slice(start, BATCH).to_pylist()

    def picture(self, number: int, column: str) -> bytes:
        """The bytes of a picture: a cell of bytes, or Hugging Face's struct of bytes and path."""
        group = bisect_right(self._starts, number) - 1
        with self._lock:
            if self._parquet is None:
                values = self._batches[group].column(column)
            else:
                if self._kept[:2] != (group, column):
                    self._kept = (
                        group,
                        column,
                        self._parquet.read_row_group(group, columns=[column])[column],
                    )
                values = self._kept[2]
            cell = values[number - self._starts[group]].as_py()
        return cell["bytes"] if isinstance(cell, dict) else cell


def _labels(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names of class numbers, as Hugging Face writes them into the schema."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, AttributeError, KeyError, TypeError):
        return {}
