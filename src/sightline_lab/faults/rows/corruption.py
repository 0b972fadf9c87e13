"""Row 4: bytes of an artifact, of a figure, of a plot or of DVC's copy change, and nobody says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sightline.cli import dvc_outs, verification
from sightline.core import artifacts, dvc_lock
from sightline.core.atomic_io import ArtifactError
from sightline.core.replace_folder import MANIFEST
from sightline_lab.faults.battery import Broken, Case, Missing, Promise

FORMS = ("flip", "flip", "zeros", "cut", "swap", "longer", "gone", "extra")
BLOCK, EXTRA = 4096, "extra"
LARGEST = 64 * 2**20  # of a folder that takes part: a case reads the whole folder


@dataclass(frozen=True)
class Copies:
    """artifacts: folders and their kinds, verified by their manifest. recorded: outputs of dvc.lock, verified
    against it, and their cache."""

    artifacts: list[tuple[Path, str]]
    recorded: list[dvc_outs.Out]
    cache: dvc_outs.Cache


def prepare(scratch: Path) -> Copies:
    """Copies of what was built in the checkout that is worked in."""
    copies = []
    for path in sorted(Path().glob(f"*/*/{MANIFEST}")):
        folder = path.parent
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if folder.parts[0] in ("data", "models", "metrics") and size <= LARGEST:
            copy = shutil.copytree(folder, scratch / folder)
            copies.append((copy, json.loads(path.read_bytes())["kind"]))
    if not copies:
        raise Missing("no artifacts here: run `dvc repro` first, in the folder of params.yaml")
    outs = dvc_outs.read(Path()) if dvc_lock.LOCK.is_file() else []
    return Copies(copies, *_recorded(scratch, outs))


def _recorded(scratch: Path, outs: list[dvc_outs.Out]) -> tuple[list[dvc_outs.Out], dvc_outs.Cache]:
    """Copies of the outputs below metrics/ and plots/, and of the objects that DVC keeps of them."""
    cache = dvc_outs.Cache(scratch / "cache")
    theirs = dvc_outs.Cache.of(Path()) if outs else cache
    chosen = [out for out in outs if out.path.startswith(("metrics/", "plots/")) and out.exists]
    copied = []
    for out in chosen:
        if not out.is_as_recorded:
            raise Missing(f"{out.path} is not what dvc.lock records: `sightline doctor` says more")
        source, target = out.here / out.path, scratch / "recorded" / out.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if out.is_folder else shutil.copyfile(source, target)
        for name in {out.md5, *out.present.values()}:
            if theirs.is_whole(name):
                cache.path(name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(theirs.path(name), cache.path(name))
        copied.append(replace(out, here=scratch / "recorded"))
    return copied, cache


def case(case: Case) -> int:
    """One change in one file; it is undone afterwards. Every third one is of a recorded output."""
    if case.index % 3 == 2 and case.prepared.recorded:
        return _recorded_case(case)
    rng = case.rng
    folder, kind = case.prepared.artifacts[int(rng.integers(len(case.prepared.artifacts)))]
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


def _recorded_case(case: Case) -> int:
    """One bit of a file of metrics/ or plots/, or of DVC's copy of it."""
    rng, cache = case.rng, case.prepared.cache
    out = replace(case.prepared.recorded[int(rng.integers(len(case.prepared.recorded)))])
    names = sorted(out.present)
    name = names[int(rng.integers(len(names)))]
    path = out.here / name
    if rng.random() < 0.5 and cache.path(out.present[name]).is_file():
        path = cache.path(out.present[name])
    whole = path.read_bytes()
    try:
        if _changed("flip", path, [], rng) is None:
            return 1
        damage = verification.OutDamage(replace(out), cache, {})
        if not damage:
            raise Broken(f"flip in {_shown(path)} was not noticed")
        wanted = name if path == out.here / name else str(path)
        if wanted not in damage.found:
            raise Broken(f"flip in {_shown(path)}: the message names another file: {damage.found}")
    finally:
        path.write_bytes(whole)
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
    4, "Silent corruption", "A changed, missing, additional or exchanged file of any artifact, figures "
    "included, is noticed before it is used, and named; a bit of metrics/, plots/ and DVC's cache by "
    "`sightline doctor`.", "changes", 400, 10_000, case, prepare,
)  # fmt: skip
