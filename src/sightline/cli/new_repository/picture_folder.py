"""Where the local pictures of a table lie: told from some of its paths, before anything is created."""

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

SAMPLED = 200  # paths that are looked for
MAX_FOLDERS = 200  # beside a table, in which its pictures are looked for


def local(values: Iterable[str]) -> list[str]:
    """The values that are paths and no addresses, as paths."""
    parts = [(value, urlsplit(value)) for value in values if value]
    return [unquote(split.path) if split.scheme == "file" else value for value, split in parts
            if split.scheme not in ("http", "https")]  # fmt: skip


def find(table: Path, paths: Sequence[str]) -> Path | None:
    """The folder that holds most of `paths`, which are absolute or relative to the table's folder, to a
    folder beside the table, or to one in it. None where none of them is found."""
    beside = Path(os.path.abspath(table)).parent
    folders = [path for path in sorted(beside.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    candidates = [beside, *islice(folders, MAX_FOLDERS)]
    sample = paths[:SAMPLED]
    best = max(candidates, key=lambda folder: held(folder, sample))
    if not held(best, sample):
        return None
    return _narrowed(best, paths) if best == beside else best


def serves(folder: Path, table: Path, paths: Sequence[str]) -> bool:
    """Whether some of the paths are files of the folder, seen from it or from the table's folder."""
    seen = [base / path for base in (folder, table.parent) for path in paths[:SAMPLED]]
    return any(path.is_file() and path.resolve().is_relative_to(folder.resolve()) for path in seen)


def held(folder: Path, paths: Sequence[str]) -> int:
    """How many of the paths are files, seen from `folder`."""
    return sum((folder / path).is_file() for path in paths)


def _narrowed(folder: Path, paths: Sequence[str]) -> Path:
    """The folder in `folder` that all the paths lead into, or `folder`: DVC looks at every file of it, and
    the new repository must not lie inside."""
    firsts = {Path(path).parts[0] for path in paths}
    first = firsts.pop()
    if firsts or first.startswith(".") or not (folder / first).is_dir():
        return folder
    absolute = first == "/"
    return Path(os.path.commonpath([os.path.dirname(path) for path in paths])) if absolute else folder / first
