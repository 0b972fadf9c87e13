"""The pipeline of the smoke profile, built, for rows that stop it while it runs. It starts from any stage:
what that stage and the later ones made is taken away first, and DVC's memory of having run them.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from sightline.cli import checkout_files, verification
from sightline.core import dvc_lock
from sightline.core.artifacts import sha256
from sightline_lab.faults.battery import Broken, Missing

DEMO = Path(".demo")
# From which stage a case starts: the first ones are soon done, for the short battery.
STARTS = (
    "index", "report", "evaluate", "explain", "finetune", "gate", "compress", "align", "export", "pretrain",
    "red_team", "convert", "download",
)  # fmt: skip
REPRO = "sightline doctor --repair dvc.lock && exec dvc repro"  # what `make repro` runs
WAIT_S = 1800


@dataclass(frozen=True)
class BuiltPipeline:
    """home: a project of its own. stages: its dvc.lock; seconds: what each stage took; files: sha256 of its
    own files, by name."""

    home: Path
    stages: dict
    seconds: dict[str, float]
    files: dict[str, str]

    def copy(self, target: Path, start: str) -> None:
        """The project at `target`, as before the stage `start` ran."""
        shutil.copytree(self.home, target, symlinks=True, dirs_exist_ok=True)
        lock, yaml = target / dvc_lock.LOCK, YAML()
        kept = yaml.load(lock.read_bytes())
        for stage in self.from_(start):
            for out in kept["stages"].pop(stage)["outs"]:
                path = target / out["path"]
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        yaml.dump(kept, lock)
        shutil.rmtree(target / dvc_lock.KEPT, ignore_errors=True)
        shutil.rmtree(target / ".dvc/cache/runs", ignore_errors=True)

    def from_(self, start: str) -> list[str]:
        """The stage and the later ones."""
        order = list(self.stages)
        return order[order.index(start) :]

    def require_same(self, project: Path, lock: bytes) -> None:
        """Raise Broken unless a project ended with the same dvc.lock and lost none of its own files."""
        if dvc_lock.stages(lock) != self.stages:
            raise Broken("dvc.lock differs from that of an undisturbed run")
        changed = [name for name, known in self.files.items() if _hash(project / name) != known]
        if changed:
            raise Broken(f"files of the project changed or are gone: {changed[:5]}")


def prepare(scratch: Path) -> BuiltPipeline:
    """A copy of what `sightline demo` built, brought up to the code of the checkout that is worked in."""
    if not (DEMO / dvc_lock.LOCK).is_file():
        raise Missing(
            "the smoke profile is not built: run `sightline demo` first, in the folder of params.yaml"
        )
    home = scratch / "project"
    shutil.copytree(DEMO, home, symlinks=True)
    checkout_files.copy(Path(), home, "smoke")
    done = run(REPRO, home)
    if done.returncode:
        raise Missing(f"the smoke profile does not build: {done.stderr[-500:]}")
    if damaged := verification.examine(home):
        raise Missing(f"the smoke profile is damaged: {damaged[0].found}; remove .demo and build it again")
    stages = dvc_lock.stages((home / dvc_lock.LOCK).read_bytes())
    cost = json.loads((home / ".resume/cost/smoke.json").read_bytes())
    kept = [
        name
        for name in checkout_files.project_files(home)
        if name not in (dvc_lock.LOCK.name, "resolved.yaml")
    ]
    return BuiltPipeline(
        home,
        stages,
        {stage: cost[stage]["wall_seconds"] for stage in stages},
        {name: _hash(home / name) for name in kept if not name.startswith(("metrics/", ".dvc/", ".resume/"))},
    )


def run(command: str, project: Path) -> subprocess.CompletedProcess[str]:
    """A shell command in a project, with this Python and this code."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )


def environment() -> dict[str, str]:
    """The environment of a command of a project; nothing of a DVC that may run this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}


def _hash(path: Path) -> str:
    return sha256(path) if path.is_file() else ""
