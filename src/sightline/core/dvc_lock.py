"""dvc.lock, which DVC writes in place: stopped while it writes, by a kill or a full disk, it leaves an empty
or a cut file. So every stage, when it starts, keeps a copy of a whole one.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from sightline.core.atomic_io import write_bytes

LOCK = Path("dvc.lock")
KEPT = Path(".dvc/tmp/sightline")  # DVC's own scratch folder, which git ignores
COPY = KEPT / LOCK
SCHEMA = "2.0"
HASHES = {"md5", "etag", "checksum"}  # what DVC records of a file, by where the file lies


class LockError(ValueError):
    """dvc.lock is not whole; the message says what is wrong with it."""


@lru_cache(maxsize=4)  # reading one takes a third of a second
def stages(data: bytes) -> dict[str, Any]:
    """The stages that a dvc.lock records. Raises LockError for one that is empty, cut or no dvc.lock."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not data.endswith(b"\n"):
        raise LockError("is empty" if not data else f"ends within a line, after {len(data)} bytes")
    try:
        document = YAML(typ="safe", pure=True).load(data.decode())
    except (ValueError, YAMLError) as error:
        raise LockError(f"is no YAML ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise LockError(f"is no dvc.lock of schema {SCHEMA}")
    recorded = document.get("stages", {})
    if not isinstance(recorded, dict):
        raise LockError("has no stages by their names")
    for name, stage in recorded.items():
        if not isinstance(stage, dict) or "cmd" not in stage or not all(map(_is_whole, _files(stage))):
            raise LockError(f"has a cut record of the stage {name}")
    return recorded


def keep(here: Path) -> None:
    """Copy the dvc.lock of a DVC repository aside, if it is whole and not the one that was copied last."""
    lock = here / LOCK
    if not (here / ".dvc").is_dir() or not lock.is_file():
        return
    data = lock.read_bytes()
    if data == _copied(here):
        return
    try:
        stages(data)
    except LockError:
        return  # the last whole one stays; DVC itself refuses to start with such a file
    (here / KEPT).mkdir(parents=True, exist_ok=True)
    write_bytes(here / COPY, data)


def fault(here: Path) -> str:
    """What is wrong with a dvc.lock; empty where it is whole, or where there is none.

    One that is the beginning of the last copy is cut, also where it still reads: later stages are forgotten.
    """
    if not (here / LOCK).is_file():
        return ""
    data, copied = (here / LOCK).read_bytes(), _copied(here)
    try:
        stages(data)
    except LockError as error:
        return str(error)
    if data != copied and copied.startswith(data):
        return f"is cut: {len(data)} bytes, of which a stage saw {len(copied)}"
    return ""


def _files(stage: dict[str, Any]) -> list[Any]:
    return [file for key in ("deps", "outs") for file in stage.get(key) or ()]


def _is_whole(file: Any) -> bool:
    return isinstance(file, dict) and "path" in file and not HASHES.isdisjoint(file)


def _copied(here: Path) -> bytes:
    copy = here / COPY
    return copy.read_bytes() if copy.is_file() else b""
