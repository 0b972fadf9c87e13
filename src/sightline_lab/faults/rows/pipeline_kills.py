"""Row 5: SIGKILL of the whole pipeline, of DVC alone or of any process below it, at random moments."""

from __future__ import annotations

import signal
import subprocess
import time

import numpy as np
import psutil

from sightline.cli import verification
from sightline.core import dvc_lock
from sightline_lab.faults import built_pipeline
from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.built_pipeline import REPRO, STARTS

KILLS = 3  # of a case, at most
ORPHANS_S = 5.0  # after which nothing may run any more
DVC_STARTS_S = 1.0  # until it runs the first stage, at least
STAGE_ENDS_S = 60.0  # that DVC gets to end by itself, when a process below it was killed
VICTIMS = ("all", "dvc", "one")


def case(case: Case) -> int:
    """Up to KILLS kills, then the run that may finish."""
    rng, pipeline, project = case.rng, case.prepared, case.scratch / "project"
    start = STARTS[case.index % len(STARTS)]
    pipeline.copy(project, start)
    seconds = DVC_STARTS_S + sum(pipeline.seconds[stage] for stage in pipeline.from_(start))
    for number in range(int(rng.integers(1, KILLS + 1))):
        victim = VICTIMS[(case.index + number) % len(VICTIMS)]
        process = subprocess.Popen(
            ["bash", "-c", REPRO], cwd=project, env=built_pipeline.environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(float(rng.uniform(0.5, seconds)))
        _kill(process, victim, rng, f"from {start}, kill {number} of {victim}")
    done = built_pipeline.run(REPRO, project)
    if done.returncode:
        raise Broken(f"from {start}: the same command ended with {done.returncode}: {done.stderr[-300:]}")
    pipeline.require_same(project, (project / dvc_lock.LOCK).read_bytes())
    if damaged := verification.examine(project):
        raise Broken(f"from {start}: {damaged[0].name}: {damaged[0].found}")
    return number + 1


def _kill(process: subprocess.Popen, victim: str, rng: np.random.Generator, where: str) -> None:
    """Kill, and raise Broken for what still runs ORPHANS_S later."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    dvc = [one for one in family if any(word.endswith("/dvc") for word in _words(one)[:3])]
    hit = {"all": family, "dvc": dvc[:1] or family[:1], "one": [family[int(rng.integers(len(family)))]]}[
        victim
    ]
    for one in hit:
        _signal(one)
    if victim == "one":
        psutil.wait_procs(family[:1], STAGE_ENDS_S)
    _, alive = psutil.wait_procs(family, ORPHANS_S)
    for one in alive:
        _signal(one)
    process.wait()
    if alive:
        raise Broken(f"{where}: {len(alive)} processes run {ORPHANS_S:g} s later")


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _signal(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        pass  # it has ended by itself


PROMISE = Promise(
    5, "Kills of the pipeline", "Whatever of it is killed, nothing runs 5 s later; the same command ends "
    "with the same dvc.lock and the same bytes, and no file of the project is lost.", "kills", 2, 500, case,
    built_pipeline.prepare,
)  # fmt: skip
