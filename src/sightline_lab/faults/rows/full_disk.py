"""Row 6: the disk is full at some point of the pipeline; with room the same command runs again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sightline.core import dvc_lock
from sightline_lab.faults import built_pipeline
from sightline_lab.faults.battery import Broken, Case, Missing, Promise
from sightline_lab.faults.built_pipeline import REPRO, STARTS, BuiltPipeline

UNSHARE = ("unshare", "--map-root-user", "--mount")
WHOLE = "2G"
# DISK, PROJECT, OUT and ROOM (KiB beyond what the project takes) are set before it.
SCRIPT = f"""
set -e
mount -t tmpfs -o size={WHOLE} none "$DISK"
cp -a "$PROJECT/." "$DISK"
cd "$DISK"
mount -o "remount,size=$(( $(du -sk . | cut -f1) + ROOM ))k" "$DISK"
set +e
( {REPRO} ) > "$OUT/full.log" 2>&1
echo $? > "$OUT/full"
mount -o remount,size={WHOLE} "$DISK"
( {REPRO} ) > "$OUT/again.log" 2>&1
echo $? > "$OUT/again"
sightline doctor --repair > "$OUT/repair" 2>&1
cp dvc.lock "$OUT"
find data models metrics plots .resume -name '*.tmp' > "$OUT/left"
"""


def prepare(scratch: Path) -> BuiltPipeline:
    """The built pipeline, where a file system of its own can be mounted."""
    if shutil.which("unshare") is None:
        raise Missing("unshare is not installed: apt install util-linux")
    mount = f"mount -t tmpfs none {scratch}"
    if subprocess.run([*UNSHARE, "bash", "-c", mount], capture_output=True).returncode:
        raise Missing("unshare may not mount a file system here")
    return built_pipeline.prepare(scratch)


def case(case: Case) -> int:
    """One size of the disk."""
    pipeline, start = case.prepared, STARTS[case.index % len(STARTS)]
    project, disk, out = (case.scratch / name for name in ("project", "disk", "out"))
    disk.mkdir()
    out.mkdir()
    pipeline.copy(project, start)
    made = [file for stage in pipeline.from_(start) for file in pipeline.stages[stage]["outs"]]
    needed = 2 * sum(file["size"] for file in made) // 1024  # in the workspace and in the cache
    room = int(case.rng.uniform(0, needed))
    settings = {"DISK": str(disk), "PROJECT": str(project), "OUT": str(out), "ROOM": str(room)}
    done = subprocess.run(
        [*UNSHARE, "bash", "-c", SCRIPT], env=built_pipeline.environment() | settings, capture_output=True,
        text=True, timeout=built_pipeline.WAIT_S,
    )  # fmt: skip
    where = f"from {start} with {room} KiB"
    if done.returncode:
        raise Broken(f"{where}: the harness ended with {done.returncode}: {done.stderr[-300:]}")
    told = {
        name: (out / name).read_text(encoding="utf-8").strip() for name in ("full", "again", "repair", "left")
    }
    said = (out / "full.log").read_text(encoding="utf-8")
    if told["full"] != "0" and "space" not in said:
        raise Broken(f"{where}: nothing said that the disk is full: {said[-300:]}")
    if told["again"] != "0":
        again = (out / "again.log").read_text(encoding="utf-8")
        raise Broken(f"{where}: with room the same command ended with {told['again']}: {again[-300:]}")
    if told["left"]:
        raise Broken(f"{where}: left behind: {told['left'][:300]}")
    if "nothing to repair" not in told["repair"]:
        raise Broken(f"{where}: {told['repair'][:300]}")
    pipeline.require_same(project, (out / dvc_lock.LOCK).read_bytes())
    return 1


PROMISE = Promise(
    6, "Full disk", "A full disk ends the run with an error that says so; with room the same command ends "
    "with the same dvc.lock and the same bytes, and nothing half-written is left.", "sizes", 2, 400, case,
    prepare,
)  # fmt: skip
