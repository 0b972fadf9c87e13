"""Scratch copies of the project, in which the real DVC runs the stages.

All copies share the DVC cache of the checkout: pictures are rendered once a seed, and a stage that an
earlier copy ran with the same params is taken from there. A copy trains in one process (`launch: python`),
so that two can run at once on two cores; its seed draws pictures, initialisation and batches.

They lie in `.study/<profile>-<digest of code and params>/`, so a result of other code or params is never
reused.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sightline.cli import checkout_files
from sightline.core import source_digest
from sightline.core.artifacts import read_json
from sightline.core.params import edit, resolved
from sightline.core.params.loader import Params, load_params
from sightline_lab.ablations.arms import STAGES, StudyError

Echo = Callable[[str], None]
FOLDER = ".study"
SAME_IN_ALL = {
    "launch": "python",
    "finetune.blind_share": 1e-6,  # the blind baseline is no part of the question: one step of it
    "evaluate.max_items": 400,  # pictures of val: seeds differ by more than these 400 from all of them
}


class Workspaces:
    """Workspaces of one profile of one checkout, at its current code and params."""

    def __init__(self, checkout: Path):
        self.checkout = checkout
        self.running: set[subprocess.Popen] = set()
        self.starting, self.stopped = Lock(), False
        self.params = load_params(checkout / "params.yaml")
        self.home = checkout / FOLDER / f"{self.params.profile}-{digest(checkout, self.params)}"
        self.cache = Path(_output(["dvc", "cache", "dir"], checkout).strip().splitlines()[-1])

    def copy(self, folder: Path, changes: dict[str, Any]) -> None:
        """The project at `folder` with `changes`, on the checkout's DVC cache. Raises for wrong params."""
        checkout_files.copy(self.checkout, folder, self.params.profile)
        with (folder / ".dvc" / "config.local").open("a", encoding="utf-8") as file:
            file.write(f"[cache]\n    dir = {self.cache}\n    type = reflink,hardlink,copy\n")
        change(folder / "params.yaml", SAME_IN_ALL | changes)

    @contextmanager
    def pool(self, jobs: int) -> Iterator[ThreadPoolExecutor]:
        """Threads that wait for the copies; an interruption ends what runs and starts nothing more."""
        pool = ThreadPoolExecutor(jobs)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            with self.starting:
                self.stopped = True
                for process in self.running:
                    process.terminate()  # a stage ends with the DVC that started it
            raise
        finally:
            pool.shutdown()

    def call(self, command: list[str], folder: Path, source: Path | None = None) -> None:
        """Runs a command in a copy with the copy's own code (`source`); its output goes to log.txt there."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("DVC_ROOT")}
        env |= {"PYTHONPATH": str(source or folder / "src"), "OMP_NUM_THREADS": str(self.params.threads)}
        log = folder / "log.txt"
        with log.open("a", encoding="utf-8") as file:
            with self.starting:
                if self.stopped:
                    raise StudyError("interrupted")
                process = subprocess.Popen(
                    command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, env=env
                )
                self.running.add(process)
            code = process.wait()
            with self.starting:
                self.running.discard(process)
        if code:
            raise StudyError(f"`{' '.join(command)}` ended with {code}; its output is in {log}")


def change(params_file: Path, changes: dict[str, Any]) -> None:
    """Set dotted leaves of a params.yaml and resolve it. Raises ParamsError for what the schema refuses."""
    edit.fill(params_file, changes)
    resolved.write(load_params(params_file), params_file.parent)


def digest(checkout: Path, params: Params) -> str:
    """Of the code that the stages of the study reach, and of the params that reach a model."""
    used = ("download", "convert", *STAGES, "evaluate")
    scripts = [checkout / "stages" / f"{stage}.py" for stage in used]
    sections = ("data", "convert", "text", "vision", "dual_encoder", "decoder", *STAGES)
    record = {
        "params": [params.lr, params.threads, *(getattr(params, name).model_dump() for name in sections)],
        "code": source_digest.digest(*scripts, src=checkout / "src"),
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8]


def stage_costs(folder: Path) -> dict[str, dict[str, float]]:
    """Cost of each stage that ran in `folder`, as the stage measured it."""
    files = sorted((folder / ".resume" / "cost").glob("*.json"))
    return read_json(files[0]) if files else {}


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise StudyError(f"`{' '.join(command)}` in {folder}: {done.stderr.strip()}")
    return done.stdout
