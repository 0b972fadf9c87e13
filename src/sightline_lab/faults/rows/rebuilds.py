"""Row 31: the same inputs twice, in another folder, time zone, locale, hash seed and umask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts
from sightline_lab.faults import smoke_copy
from sightline_lab.faults.battery import Broken, Case, Promise

FOLDERS = ("a", "a folder with spaces", "\u00fcml\u00e4ut", "d" * 60, "one/two/three")
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")
LOCALES = ("C", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8")
UMASKS = (0o022, 0o077, 0o002)
BUILT = ("data", "models", "metrics", "plots")
MOMENTS = (".gitignore", "README.md")  # of the project, not built


def case(case: Case) -> int:
    """Two builds, each in an environment of its own; every second case of all stages, from the second on."""
    rng = case.rng
    stages = [smoke_copy.FIRST] if case.index % 2 == 0 else []
    first, second = (_built(case.scratch / str(number), stages, rng) for number in range(2))
    if not first:
        raise Broken("nothing was built")
    names = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    if names:
        raise Broken(f"{len(names)} of {len(first)} files differ, the first: {', '.join(names[:5])}")
    return len(first)


def _built(home: Path, stages: list[str], rng: np.random.Generator) -> dict[str, str]:
    """sha256 of every file that a build leaves."""
    chosen: dict[str, Any] = {
        name: values[int(rng.integers(len(values)))]
        for name, values in (("folder", FOLDERS), ("zone", ZONES), ("locale", LOCALES), ("umask", UMASKS))
    }
    before = os.umask(chosen["umask"])
    try:
        here = smoke_copy.make(home / chosen["folder"])
        env = {"TZ": chosen["zone"], "LC_ALL": chosen["locale"], "LANG": chosen["locale"]}
        smoke_copy.repro(here, stages, env | {"PYTHONHASHSEED": str(int(rng.integers(2**32)))})
    finally:
        os.umask(before)
    files = [path for folder in BUILT for path in (here / folder).rglob("*") if path.is_file()]
    kept = [path for path in files if path.name not in MOMENTS]
    return {path.relative_to(here).as_posix(): artifacts.sha256(path) for path in [*kept, here / "dvc.lock"]}


PROMISE = Promise(
    31, "Rebuilds", "The same inputs give the same bytes in another folder, time zone, locale, hash seed and "
    "umask: every file that a build of the smoke profile leaves, and dvc.lock.", "files", 1, 50, case,
)  # fmt: skip
