"""The outputs that dvc.lock records, and their copies in DVC's cache, read without DVC: it trusts times and
modes, and takes a file whose time was kept for unchanged, in the workspace and in its cache.
"""

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.core import dvc_lock

OBJECT = re.compile(
    r"[0-9a-f]{30}(\.dir)?"
)  # the name of a cache object below the folder of its first two digits


@dataclass(frozen=True)
class Cache:
    """DVC's cache: an object lies under its md5; that of a folder is a list of its files."""

    folder: Path

    @classmethod
    def of(cls, here: Path) -> "Cache":
        """The cache of a checkout, which may lie elsewhere; the default place where no DVC can tell."""
        if importlib.util.find_spec("dvc") is None or not (here / ".dvc").is_dir():
            return cls(here / ".dvc/cache/files/md5")
        command = [sys.executable, "-m", "dvc", "cache", "dir"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"`dvc cache dir` failed: {' '.join(done.stderr.split())}")
        return cls(here / done.stdout.strip().splitlines()[-1] / "files/md5")

    def path(self, name: str) -> Path:
        return self.folder / name[:2] / name[2:]

    def names(self) -> list[str]:
        """Every object that is there; not what a stopped DVC left half-written."""
        objects = (path for path in self.folder.glob("??/*") if OBJECT.fullmatch(path.name))
        return sorted(path.parent.name + path.name for path in objects)

    def is_damaged(self, name: str) -> bool:
        """Whether an object is there and is not what its name says."""
        path = self.path(name)
        return path.is_file() and md5(path) != name.removesuffix(".dir")

    def is_whole(self, name: str) -> bool:
        return self.path(name).is_file() and not self.is_damaged(name)

    def listed(self, name: str) -> dict[str, str] | None:
        """The md5 by path of a folder's files; None where its list is absent or damaged."""
        if not self.is_whole(name):
            return None
        rows = {row["relpath"]: row["md5"] for row in json.loads(self.path(name).read_bytes())}
        return rows if all(map(_is_below, rows)) else None


@dataclass(frozen=True)
class Out:
    """An output of a stage of the checkout `here`, as dvc.lock records it. Files are named by their path in
    the checkout."""

    here: Path
    stage: str
    path: str
    md5: str

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(".dir")

    @property
    def exists(self) -> bool:
        return (self.here / self.path).exists()

    @cached_property
    def present(self) -> dict[str, str]:
        """The md5 of every file that is there, but of those that DVC ignores."""
        root = self.here / self.path
        if not root.is_dir():
            return {self.path: md5(root)} if root.exists() else {}
        ignored = _ignored(self.here)
        found = {}
        for path in sorted(root.rglob("*")):
            parts = path.relative_to(root).parts
            if path.is_file() and not any(fnmatch(part, name) for part in parts for name in ignored):
                found[f"{self.path}/{'/'.join(parts)}"] = md5(path)
        return found

    @cached_property
    def is_as_recorded(self) -> bool:
        """Whether what is there has the recorded md5, which of a folder is that of the list of its files."""
        if not self.is_folder:
            return self.present.get(self.path) == self.md5
        return hashlib.md5(self.listing(self.present)).hexdigest() == self.md5.removesuffix(".dir")

    def recorded(self, cache: Cache) -> dict[str, str] | None:
        """The recorded md5 of every file; None of a changed folder of which the cache has no list."""
        if self.is_as_recorded:
            return self.present
        if not self.is_folder:
            return {self.path: self.md5}
        listed = cache.listed(self.md5)
        return None if listed is None else {f"{self.path}/{name}": value for name, value in listed.items()}

    def listing(self, files: dict[str, str]) -> bytes:
        """The object by which DVC keeps a folder of such files."""
        names = {name.removeprefix(f"{self.path}/"): value for name, value in files.items()}
        rows = [{"md5": names[name], "relpath": name} for name in sorted(names)]
        return json.dumps(rows, sort_keys=True).encode()


def read(here: Path) -> list[Out]:
    """Every output in the checkout that dvc.lock records; none where there is no dvc.lock. Raises LockError
    for a damaged one."""
    return [
        Out(here, stage, out["path"], out["md5"])
        for stage, entry in _stages(here).items()
        for out in entry.get("outs") or ()
        if "md5" in out and _is_below(out["path"])
    ]


def outdated(here: Path, path: str) -> list[str]:
    """Stages that dvc.lock says read another version of the output `path` than the one it records."""
    stages = _stages(here)
    made = {out["path"]: out["md5"] for entry in stages.values() for out in entry.get("outs", [])}
    return [
        stage
        for stage, entry in stages.items()
        for dep in entry.get("deps", [])
        if dep["path"] == path and dep.get("md5") != made.get(path)
    ]


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _stages(here: Path) -> dict[str, Any]:
    lock = here / dvc_lock.LOCK
    try:
        return dvc_lock.stages(lock.read_bytes()) if lock.is_file() else {}
    except dvc_lock.LockError as error:
        raise dvc_lock.LockError(f"{lock} {error}; run `sightline doctor --repair {lock.name}`") from error


def _is_below(path: str) -> bool:
    """Whether a recorded path stays below its folder, whoever wrote it."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _ignored(here: Path) -> list[str]:
    file = here / ".dvcignore"
    return file.read_text(encoding="utf-8").split() if file.is_file() else []
