"""Row 4: bytes of an artifact change, and nobody says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.core.atomic_io import ArtifactError
from sightline.core.replace_folder import MANIFEST
from sightline_lab.faults.battery import Broken, Case, Missing, Promise

FORMS = ("flip", "flip", "zeros", "cut", "swap", "longer", "gone", "extra")
BLOCK, EXTRA = 4096, "extra"
LARGEST = 64 * 2**20  # of a folder that takes part: a case reads the whole folder


def prepare(scratch: Path) -> list[tuple[Path, str]]:
    """Copies of all artifacts of the checkout that is worked in, and their kinds."""
    copies = []
    for path in sorted(Path().glob(f"*/*/{MANIFEST}")):
        folder = path.parent
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if folder.parts[0] in ("data", "models") and size <= LARGEST:
            copy = shutil.copytree(folder, scratch / folder)
            copies.append((copy, json.loads(path.read_bytes())["kind"]))
    if not copies:
        raise Missing("no artifacts here: run `dvc repro` first, in the folder of params.yaml")
    return copies


def case(case: Case) -> int:
    """One change in one file; it is undone afterwards."""
    rng = case.rng
    folder, kind = case.prepared[int(rng.integers(len(case.prepared)))]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[int(rng.integers(len(files)))]
    form = FORMS[case.index % len(FORMS)]
    before = {name: name.read_bytes() for name in files if name == path or form == "swap"}
    try:
        changed = _changed(form, path, files, rng) if form != "extra" else _added(folder)
        try:
            artifacts.load(folder, kind, everything=True)
        except ArtifactError as error:
            # A changed manifest accuses a file that is as it was, and of two exchanged files either.
            wanted = folder if path.name == MANIFEST or form == "swap" else changed
            if changed is None or str(wanted) not in str(error):
                raise Broken(f"{form} in {_shown(path)}: the message names another file: {error}") from error
        else:
            if changed is not None:
                raise Broken(f"{form} in {_shown(path)} was read in silence")
    finally:
        (folder / EXTRA).unlink(missing_ok=True)
        for name, content in before.items():
            name.write_bytes(content)
    return 1


def _changed(form: str, path: Path, files: list[Path], rng: np.random.Generator) -> Path | None:
    """Change a file; returns it, or None where nothing has changed."""
    data = bytearray(path.read_bytes())
    if form == "gone":
        path.unlink()
        return path
    if form == "longer":
        path.write_bytes(bytes(data) + rng.bytes(int(rng.integers(1, 100))))
        return path
    if not data:
        return None
    if form == "swap":
        other = files[int(rng.integers(len(files)))]
        theirs = other.read_bytes()
        if theirs == bytes(data):
            return None
        path.write_bytes(theirs)
        other.write_bytes(data)
        return path
    at = int(rng.integers(len(data)))
    if form == "flip":
        data[at] ^= 1 << int(rng.integers(8))
    elif form == "cut":
        del data[at:]
    else:
        end = min(len(data), at + BLOCK)
        if not any(data[at:end]):
            return None
        data[at:end] = bytes(end - at)
    path.write_bytes(data)
    return path


def _added(folder: Path) -> Path:
    (folder / EXTRA).write_bytes(b"what nobody wrote")
    return folder / EXTRA


def _shown(path: Path) -> str:
    return "/".join(path.parts[-3:])


PROMISE = Promise(
    4, "Silent corruption", "A changed, missing, additional or exchanged file of any artifact is noticed "
    "before it is used, and named.", "changes", 400, 10_000, case, prepare,
)  # fmt: skip
