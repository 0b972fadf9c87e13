"""What the options of `sightline init` name: checked before anything is created, and turned into leaves of
params.yaml and of the profile."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.cli.new_repository import picture_folder
from sightline.cli.new_repository.own_repository import InitError, Plan
from sightline.core import registry
from sightline.core.params.data_params import ColumnParams
from sightline.data.intake import columns as table_columns
from sightline.data.intake import table_files
from sightline.data.intake.columns import Columns
from sightline.data.questions import caption_language

OPTIONS = {
    "image": "--image", "captions": "--caption", "id": "--id", "split": "--split", "question": "--question",
    "answer": "--answer",
}  # fmt: skip  # leaf of data.columns -> what sets it
WITHOUT = {
    "id": "made from what the rows hold",
    "split": "train, val and test are drawn by a hash of the id",
    "question": "questions come from the captions",
}


@dataclass(frozen=True)
class Table:
    """A table and what the options say of it. `columns`: the leaves of data.columns that were given;
    `language`: of its captions, '' where it is to be told."""

    path: Path
    columns: ColumnParams
    pictures: Path | None
    language: str = ""


def plan_layout(source: str, path: str, target: Path) -> tuple[Plan, list[str]]:
    """The plan for a source that is a folder of its own layout, or a dataset of the hub; and lines on what
    was understood."""
    if source == "hf" and not Path(path).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+(@\w*)?", path):
        return _plan_hub(path)
    _there(Path(path), f"--{source}")
    if not Path(path).is_dir():
        raise InitError(f"--{source}: {path} is a file, expected a folder; nothing was created")
    _apart(target, Path(path), f"--{source}")
    local = {"data.path": shown(Path(path), target)}
    plan = Plan(Path(path).resolve().name, local, {"data.source": source})
    return plan, [f"{source}: {local['data.path']}"]


def _plan_hub(name: str) -> tuple[Plan, list[str]]:
    """A dataset of the hub, which is pinned by its commit."""
    if not re.fullmatch(r".+@[0-9a-f]{40}", name):
        raise InitError(
            f"--hf: {name} is no folder here, and a dataset of the hub is named with its commit: "
            "owner/name@<40 hexadecimal digits>; nothing was created"
        )
    leaves = {"data.source": "hf", "data.base_url": f"hf://datasets/{name}"}
    return Plan(name, {}, leaves), [f"hf: {leaves['data.base_url']}, which is fetched"]


def plan_table(table: Table, target: Path) -> tuple[Plan, list[str]]:
    """The plan for a table, and lines on what was understood: a line for each column, with its option."""
    _there(table.path, "--table")
    opened = table_files.open_table(table.path)
    columns = _resolved(table, opened.columns)
    records = [record for record in opened.records() if isinstance(record, table_files.Record)]
    lines = [
        f"table: {table.path} ({opened.form}): {len(records)} rows; columns: {', '.join(opened.columns)}"
    ]
    leaves: dict[str, Any] = {"data.source": "table"}
    for leaf, option in OPTIONS.items():
        value = getattr(columns, leaf)
        lines.append(f"{leaf}: {_named(value, WITHOUT.get(leaf, ''))} ({option})")
        if value:
            leaves[f"data.columns.{leaf}"] = list(value) if isinstance(value, tuple) else value
    language, told = _language(table, columns, records)
    lines.append(f"language: {told} (--language)")
    if language:
        leaves["convert.language"] = language
    local = {"data.path": shown(table.path, target)}
    pictures = _pictures(table, [record.cells.get(columns.image) for record in records])
    if pictures is not None:
        _apart(target, pictures, "the folder of the pictures")
        local["data.pictures"] = shown(pictures, target)
        lines.append(f"pictures: {local['data.pictures']} (--pictures)")
    return Plan(table.path.name, local, leaves), lines


def split_names(text: str, path: Path) -> tuple[str, ...]:
    """Names of columns, divided by commas; a column of the table whose name has commas is one name."""
    return (
        (text,)
        if text in table_files.open_table(path).columns
        else tuple(name.strip() for name in text.split(",") if name.strip())
    )


def _resolved(table: Table, header: Sequence[str]) -> Columns:
    """The columns by the options, else by their usual names; a picture and a text are needed."""
    columns = table_columns.resolve(table.columns, header, table.path.name)
    if not columns.image:
        raise InitError(
            f"{table.path}: none of its columns is known to hold pictures: {', '.join(header)[:500]}; "
            "nothing was created: --image names it"
        )
    return columns


def shown(path: Path, target: Path) -> str:
    """The path as params.yaml gets it: relative where it lies inside the new repository or beside it."""
    whole, home = Path(os.path.abspath(path)), Path(os.path.abspath(target))  # a link keeps its name
    return os.path.relpath(whole, home) if whole.is_relative_to(home.parent) else str(whole)


def _pictures(table: Table, cells: Sequence[Any]) -> Path | None:
    """The folder of the local pictures; None where all are addresses or stand in the table."""
    if any(isinstance(cell, bytes) or (isinstance(cell, dict) and cell.get("bytes")) for cell in cells):
        return None
    values = [table_columns.first(cell) for cell in cells]
    if not any(values):
        raise InitError(
            f"{table.path}: no row names a picture; nothing was created: --image names the column"
        )
    paths = picture_folder.local(values)
    if not paths:
        return None
    if table.pictures is None:
        pictures = picture_folder.find(table.path, paths)
    else:
        _there(table.pictures, "--pictures")
        pictures = table.pictures if picture_folder.serves(table.pictures, table.path, paths) else None
    if pictures is None:
        where = table.pictures or f"{table.path.parent} and the folders in it"
        raise InitError(
            f"{table.path}: its pictures, such as {paths[0]!r}, are not in {where}; nothing was created: "
            "--pictures names their folder"
        )
    return pictures


def _language(table: Table, columns: Columns, records: Sequence[table_files.Record]) -> tuple[str, str]:
    """The code of the captions' language, '' where it is not known; and words on it."""
    if table.language:
        return table.language, table.language
    texts = [
        text for record in records for name in columns.captions if (text := str(record.cells.get(name) or ""))
    ]
    language = caption_language.tell(texts)
    if language or not texts:
        return language, language or "no captions"
    codes = ", ".join(registry.names(caption_language.LANGUAGES))
    return "", f"none of {codes}, in which questions are made from captions"


def _named(columns: str | Sequence[str], without: str) -> str:
    names = [columns] if isinstance(columns, str) else columns
    listed = ", ".join(f"`{name}`" for name in names if name)
    if not listed:
        return f"no column; {without}" if without else "no column"
    return f"column{'s' if len(names) > 1 else ''} {listed}"


def _there(path: Path, option: str) -> None:
    if not path.exists():
        raise InitError(f"{option}: {path} is not there; nothing was created")


def _apart(target: Path, data: Path, what: str) -> None:
    """Refuse a repository inside its own data: DVC would take what a build writes for new data."""
    if data.is_dir() and target.resolve().is_relative_to(data.resolve()):
        raise InitError(
            f"{target} would lie in {data}, {what}, and every build would change it; nothing was created: "
            "give another folder"
        )
