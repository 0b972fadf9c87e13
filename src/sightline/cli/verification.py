"""What was built against dvc.lock, byte for byte and without DVC's own records, and its
repair. Nothing is deleted: what is damaged moves to a quarantine folder.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import psutil

from sightline.cli.dvc_outs import Cache, Out, md5, read
from sightline.core import dvc_lock, runtime
from sightline.core.atomic_io import write_bytes

QUARANTINE = dvc_lock.KEPT / "quarantine"
REPAIR = "sightline doctor --repair"
READ_ONLY = 0o444  # the mode of DVC's objects
MAX_LISTED = 5  # files named before "and so many more"


class VerifyError(ValueError):
    """Nothing can be verified or repaired now; the message says why and what to do."""


@dataclass
class Repaired:
    """What a repair did, a line each, and the stages that have to build the rest anew."""

    lines: list[str]
    stages: list[str] = field(default_factory=list)


class Quarantine:
    """A new folder for what one repair moves aside."""

    def __init__(self, here: Path):
        self.here = here
        numbers = [int(path.name) for path in (here / QUARANTINE).glob("*") if path.name.isdigit()]
        self.name = QUARANTINE / str(max(numbers, default=0) + 1)

    def take(self, path: Path, name: str) -> None:
        """Move a file or a folder aside, under `name`."""
        target = self.here / self.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)

    def line(self, what: str) -> str:
        return f"{what} in {self.name}: delete that when you need it no more"


class LockDamage:
    """A dvc.lock that is not whole."""

    name = dvc_lock.LOCK.as_posix()
    cure = f"{REPAIR} {name}; dvc repro"

    def __init__(self, here: Path, fault: str):
        self.here, self.found = here, f"{here / self.name} {fault}"

    def repair(self, aside: Quarantine) -> Repaired:
        """Put the last whole one in its place: the copy of the last stage that began, else that of git."""
        copy = self.here / dvc_lock.COPY
        known = {"a stage's copy": copy.read_bytes() if copy.is_file() else b"", "git": _committed(self.here)}
        aside.take(self.here / self.name, self.name)
        lines = [aside.line("the damaged dvc.lock is")]
        for source, data in known.items():
            with suppress(dvc_lock.LockError):
                dvc_lock.stages(data)
                write_bytes(self.here / self.name, data)
                return Repaired([*lines, f"dvc.lock is that of {source}; `dvc repro` brings it up to date"])
        return Repaired([*lines, "there is no whole dvc.lock: `dvc repro` writes one, from its cache"])


@dataclass
class OutDamage:
    """An output of which files in the workspace, or objects in the cache, are not what dvc.lock records."""

    out: Out
    cache: Cache
    whole: dict[str, Path]  # files of all outputs that are as recorded, by their md5

    @property
    def name(self) -> str:
        return self.out.path

    @cached_property
    def recorded(self) -> dict[str, str] | None:
        return self.out.recorded(self.cache)

    @cached_property
    def changed(self) -> list[str]:
        """Files that are absent from an existing output or changed; the output where no list tells."""
        if not self.out.exists or self.out.is_as_recorded:
            return []
        if self.recorded is None:
            return [self.out.path]
        return [name for name, value in self.recorded.items() if self.out.present.get(name) != value]

    @cached_property
    def extra(self) -> list[str]:
        if not self.out.exists or self.recorded is None:
            return []
        return sorted(self.out.present.keys() - self.recorded.keys())

    @property
    def needed(self) -> set[str]:
        """The objects that the output is of."""
        return {self.out.md5, *(self.recorded or {}).values()}

    @cached_property
    def objects(self) -> list[str]:
        """Damaged objects of the cache."""
        return sorted(name for name in self.needed if self.cache.is_damaged(name))

    def __bool__(self) -> bool:
        return bool(self.changed or self.extra or self.objects)

    @property
    def found(self) -> str:
        said = []
        for what, names in (("changed", self.changed), ("of no stage", self.extra)):
            if names:
                more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
                said.append(f"{what}: {', '.join(names[:MAX_LISTED])}{more}")
        if self.objects:
            paths = [self.cache.path(name).as_posix() for name in self.objects]
            said.append(f"damaged in DVC's cache: {', '.join(paths[:MAX_LISTED])}")
        return "; ".join(said)

    @property
    def cure(self) -> str:
        repair = f"{REPAIR} {shlex.quote(self.name)}"
        return repair if self._is_local() else f"{repair} || dvc repro {self.out.stage}"

    @property
    def sound(self) -> dict[str, Path]:
        """Files of the workspace that are as recorded, by their md5."""
        names = self.out.present.keys() - {*self.changed, *self.extra}
        return {self.out.present[name]: self.out.here / name for name in names}

    def heal(self, aside: Quarantine) -> None:
        """Move damaged objects aside, and make them again from the workspace where that is sound."""
        for name in self.objects:
            target = self.cache.path(name)
            if self.cache.is_damaged(name):
                aside.take(target, f"cache/{name}")
            if name in self.whole:
                _put(self.whole[name], target, name, READ_ONLY)
            elif self._is_list(name) and self.recorded is not None:
                write_bytes(target, self.out.listing(self.recorded))
                target.chmod(READ_ONLY)

    def repair(self, aside: Quarantine) -> Repaired:
        """Each file again from the cache, and what that lacks from the remote. Where neither has it, all that
        is left of the output moves aside, for its stage to build it."""
        now = self if self._is_restorable(self.objects) else self._fetched(aside)
        if not now._is_restorable(self.objects):
            if self.out.exists:
                aside.take(self.out.here / self.name, self.name)
            kept = aside.line(f"{self.name}: no whole copy is left; what there was is")
            return Repaired([kept], [self.out.stage])
        for name in now.extra:
            aside.take(self.out.here / name, name)
        for name in now.changed:
            value = (now.recorded or {})[name]
            if (self.out.here / name).exists():
                aside.take(self.out.here / name, name)
            _put(self.cache.path(value), self.out.here / name, value)
        count = len(now.changed) + len(self.objects)
        return Repaired([aside.line(f"{self.name}: {count} files restored; what was damaged is")])

    def _is_list(self, name: str) -> bool:
        """Whether an object is the list of the output's files, which can be written anew."""
        return self.out.is_folder and name == self.out.md5

    def _is_restorable(self, lost: list[str]) -> bool:
        """Whether the cache holds the files that are changed, and these objects."""
        if self.recorded is None:
            return False
        return all(map(self.cache.is_whole, {*lost, *(self.recorded[name] for name in self.changed)}))

    def _is_local(self) -> bool:
        """Whether a repair needs neither the remote nor a stage."""
        if self.recorded is None:
            return False
        healed = all(name in self.whole or self._is_list(name) for name in self.objects)
        return healed and self._is_restorable([])

    def _fetched(self, aside: Quarantine) -> "OutDamage":
        """What is damaged once the remote, if there is one, was asked; nothing damaged is taken from it."""
        here = self.out.here
        if _dvc(here, "remote", "list").stdout.strip():
            _dvc(here, "fetch", self.name)  # what did not come is found absent
        now = OutDamage(replace(self.out), self.cache, self.whole)
        for name in now.objects:
            aside.take(self.cache.path(name), f"cache/remote-{name}")
        return now


class CacheDamage:
    """Damaged objects of the cache that no output of dvc.lock needs: of other commits and experiments."""

    name = "DVC's cache"
    cure = REPAIR

    def __init__(self, cache: Cache, objects: list[str]):
        self.cache, self.objects = cache, objects
        self.found = (
            f"{len(objects)} damaged: {', '.join(str(cache.path(name)) for name in objects[:MAX_LISTED])}"
        )

    def repair(self, aside: Quarantine) -> Repaired:
        """Move them aside, so that DVC fetches or builds them when they are wanted."""
        for name in self.objects:
            aside.take(self.cache.path(name), f"cache/{name}")
        return Repaired([aside.line(f"{self.name}: {len(self.objects)} damaged objects are")])


Damage = LockDamage | OutDamage | CacheDamage


def examine(here: Path, names: Sequence[str] = ()) -> list[Damage]:
    """What is damaged of dvc.lock, of every output that is there, and of the cache; of `names` alone where
    given. Raises VerifyError for a name that dvc.lock does not record."""
    lock = dvc_lock.LOCK.as_posix()
    if (not names or lock in names) and (fault := dvc_lock.fault(here)):
        return [LockDamage(here, fault)]
    if not (wanted := {*names} - {lock}) and names:
        return []
    outs = {out.path: out for out in read(here)}
    if unknown := sorted(wanted - outs.keys()):
        raise VerifyError(f"no output {unknown[0]} in dvc.lock; there are {', '.join(outs) or 'none'}")
    cache = Cache.of(here)
    whole: dict[str, Path] = {}
    checked = [OutDamage(out, cache, whole) for name, out in outs.items() if not wanted or name in wanted]
    for one in checked:
        whole |= one.sound
    damaged: list[Damage] = [damage for damage in checked if damage]
    if not wanted:
        theirs = {name for damage in checked for name in damage.needed}
        others = [name for name in cache.names() if name not in theirs and cache.is_damaged(name)]
        damaged += [CacheDamage(cache, others)] if others else []
    return damaged


def repair(here: Path, damaged: Sequence[Damage]) -> Repaired:
    """Repair each; a stage is named once. Raises VerifyError while DVC runs."""
    if damaged:
        _refuse_while_dvc_runs(here)
    aside = Quarantine(here)
    for damage in damaged:
        if isinstance(damage, OutDamage):
            damage.heal(aside)  # all of them first: outputs share objects
    done = [damage.repair(aside) for damage in damaged]
    stages = dict.fromkeys(stage for one in done for stage in one.stages)
    return Repaired([line for one in done for line in one.lines], list(stages))


def restore_lock(here: Path) -> None:
    """Put the last whole dvc.lock in the place of a damaged one, before DVC refuses to start with it."""
    for line in repair(here, examine(here, [LockDamage.name])).lines:
        runtime.log(f"doctor: {line}")


def counted(here: Path) -> str:
    """How much there is to verify, for people."""
    outs = [out for out in read(here) if out.exists]
    return f"{len(outs)} outputs as dvc.lock records them, and DVC's cache"


def _refuse_while_dvc_runs(here: Path) -> None:
    """Raise VerifyError while a DVC works in the checkout: its stages are writing what would be repaired."""
    file = here / ".dvc/tmp/rwlock"
    try:
        held = json.loads(file.read_bytes()) if file.is_file() else {}
    except ValueError:
        return  # DVC was stopped while it wrote it
    writers = {
        holder["pid"]
        for holder in held.get("write", {}).values()
        if isinstance(holder, dict) and psutil.pid_exists(holder.get("pid", -1))
    }
    if writers:
        raise VerifyError(
            f"{file}: process {min(writers)} runs stages here; wait for its end (if it is no dvc, rm {file})"
        )


def _put(source: Path, target: Path, name: str, mode: int = 0o644) -> None:
    """Copy a file to `target`, whole or not at all. Raises VerifyError where its md5 is not `name`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    os.close(descriptor)
    try:
        shutil.copyfile(source, temporary)
        if md5(Path(temporary)) != name:
            raise VerifyError(f"{source}: changed while it was copied; run the same command again")
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _committed(here: Path) -> bytes:
    """The dvc.lock of the last commit, if there is one."""
    if shutil.which("git") is None:
        return b""
    return subprocess.run(["git", "show", f"HEAD:./{dvc_lock.LOCK}"], cwd=here, capture_output=True).stdout


def _dvc(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dvc", *words], cwd=here, capture_output=True, text=True)
