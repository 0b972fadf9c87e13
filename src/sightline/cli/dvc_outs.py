"""The outputs that dvc.lock records, read without DVC: DVC trusts times and modes, and takes a file whose
time was kept for unchanged, in the workspace and in its cache.
"""

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

CACHE = Path(".dvc/cache/files/md5")


@dataclass(frozen=True)
class Out:
    """An output of a stage. `files`: md5 by path below the checkout; None where the cache has no list."""

    stage: str
    path: str
    files: dict[str, str] | None


def read(here: Path) -> list[Out]:
    """Every output that dvc.lock records; none where dvc.lock cannot be read, which `dvc status` reports."""
    try:
        return [_out(here, stage, out) for stage, entry in _lock(here).items() for out in entry["outs"]]
    except (OSError, YAMLError, TypeError, KeyError):
        return []


def outdated(here: Path, path: str) -> list[str]:
    """Stages that dvc.lock says read another version of the output `path` than the one it records."""
    stages = _lock(here)
    made = {out["path"]: out["md5"] for entry in stages.values() for out in entry.get("outs", [])}
    return [
        stage
        for stage, entry in stages.items()
        for dep in entry.get("deps", [])
        if dep["path"] == path and dep.get("md5") != made.get(path)
    ]


def differing(here: Path, out: Out) -> list[str]:
    """Files of an output that are absent or not what dvc.lock records."""
    return [name for name, md5 in (out.files or {}).items() if _md5(here / name) != md5]


def cure(here: Path, out: Out) -> str:
    """The command that makes an output what dvc.lock records: from the cache where that is whole, else from
    its stage, once damaged objects are out of the cache."""
    quoted = shlex.quote(out.path)
    objects = {md5: _object(md5) for md5 in (out.files or {}).values()}
    damaged = [path for md5, path in objects.items() if (here / path).exists() and _md5(here / path) != md5]
    absent = [path for path in objects.values() if not (here / path).exists()]
    if out.files is not None and not damaged and not absent:
        return f"rm -rf {quoted}; dvc checkout {quoted}"
    removed = " ".join([quoted, *(path.as_posix() for path in sorted(damaged))])
    return f"rm -rf {removed}; dvc repro {out.stage}"


def _lock(here: Path) -> dict:
    """The stages of dvc.lock."""
    return YAML(typ="safe", pure=True).load((here / "dvc.lock").read_text(encoding="utf-8"))["stages"]


def _out(here: Path, stage: str, entry: dict[str, str]) -> Out:
    path, md5 = entry["path"], entry["md5"]
    if not md5.endswith(".dir"):
        return Out(stage, path, {path: md5})
    try:
        listed = json.loads((here / _object(md5)).read_bytes())
        return Out(stage, path, {f"{path}/{row['relpath']}": row["md5"] for row in listed})
    except (OSError, ValueError, TypeError, KeyError):
        return Out(stage, path, None)


def _object(md5: str) -> Path:
    return CACHE / md5[:2] / md5[2:]


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError:
        return ""
