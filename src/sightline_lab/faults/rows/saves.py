"""Row 2: a process dies at every single file operation of a save."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sightline_lab.faults.battery import Broken, Case, Missing, Promise
from sightline_lab.faults.rows import one_save

KINDS = ("file", "artifact", "state")
OPERATIONS = (
    "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat",
    "rmdir", "mkdir", "mkdirat", "ftruncate", "link", "linkat", "symlink", "utimensat", "openat",
)  # fmt: skip
CALL = re.compile(r"\d+ +(\w+)\(")  # a line of strace's log: process and operation
Death = tuple[str, str, int]  # kind of save, operation, which one of them


def prepare(scratch: Path) -> list[Death]:
    """Every operation of every kind of save, each as a place to die at."""
    if shutil.which("strace") is None:
        raise Missing("strace is not installed: apt install strace")
    deaths = []
    for kind in KINDS:
        folder = scratch / kind
        folder.mkdir()
        one_save.save(kind, folder, 1)
        log = scratch / f"{kind}.log"
        ended = _save(kind, folder, 2, ["-o", str(log), "-e", f"trace={','.join(OPERATIONS)}"])
        if ended.returncode:
            raise Missing(f"strace does not run here: {ended.stderr.strip().splitlines()[-1:]}")
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if CALL.match(line)]
        # What an operation before the save opens or writes is Python's start: only the folder's own count.
        names = [re.sub(r"\d+ +(\w+)\(.*", r"\1", line) for line in lines]
        first = next(at for at, line in enumerate(lines) if str(folder) in line)
        before = Counter(names[:first])
        for name, count in Counter(names[first:]).items():
            deaths += [(kind, name, before[name] + number + 1) for number in range(count)]
    return deaths


def case(case: Case) -> int:
    """A save over an older one, killed; what is there then; and the next save."""
    kind, operation, number = case.prepared[case.index]
    one_save.save(kind, case.scratch, 1)
    killed = _save(
        kind, case.scratch, 2, ["-e", f"inject={operation}:signal=SIGKILL:when={number}", "-o", os.devnull]
    )
    where = f"{kind}, killed at {operation} {number}"
    if killed.returncode not in (-signal.SIGKILL, 128 + signal.SIGKILL, 0):
        raise Broken(f"{where}: the process ended with {killed.returncode}: {killed.stderr[-200:]}")
    try:
        version = one_save.read(kind, case.scratch)
        if version not in (1, 2):
            raise ValueError(f"version {version}")
        one_save.save(kind, case.scratch, 3)
        if one_save.read(kind, case.scratch) != 3:
            raise ValueError("the next save did not replace it")
    except (ValueError, OSError) as error:
        raise Broken(f"{where}: {error}") from error
    left = [path.name for path in case.scratch.rglob("*") if path.name.endswith(".tmp")]
    if left and kind != "file":  # a file's leftovers cannot be told from another process' at work
        raise Broken(f"{where}: the next save left {left}")
    return 1


def _save(kind: str, folder: Path, version: int, options: list[str]) -> subprocess.CompletedProcess[str]:
    command = [
        "strace",
        "-f",
        *options,
        sys.executable,
        "-m",
        one_save.__name__,
        kind,
        str(folder),
        str(version),
    ]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env)


PROMISE = Promise(
    2, "Saves", "A process that dies at any file operation of a save leaves the old or the new version, "
    "whole; the next save works and clears up.", "deaths", 60, 10_000, case, prepare, len,
)  # fmt: skip
