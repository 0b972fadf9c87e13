"""Row 1: a training is killed at random moments, again and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from sightline_lab.faults import toy_training
from sightline_lab.faults.battery import Broken, Case, Promise

KILLS = 8  # of a case: Python and torch are started once for all of them
WAIT_S = 300


def prepare(scratch: Path) -> dict[str, bytes]:
    """What an uninterrupted training writes."""
    killed(scratch, 0, signal.SIGKILL, 0)
    return toy_training.files(scratch / "out")


def case(case: Case) -> int:
    """KILLS kills, then the run that may finish."""
    ends = killed(case.scratch, KILLS, signal.SIGKILL, case.seed % 2**31)
    codes = [end["code"] for end in ends]
    if codes[-1] or any(code not in (0, -signal.SIGKILL) for code in codes):
        raise Broken(f"the trainings ended with {codes}")
    require_same(toy_training.files(case.scratch / "out"), case.prepared, f"after {len(ends) - 1} kills")
    return len(ends) - 1


def killed(folder: Path, kills: int, number: int, seed: int) -> list[dict[str, Any]]:
    """How each training ended, in a process of its own whose working folder is `folder`."""
    env = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sightline_lab.faults.killer", "out", str(kills), str(number), str(seed)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=WAIT_S)
    if done.returncode:
        raise Broken(f"the harness ended with {done.returncode}: {done.stderr[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def require_same(files: dict[str, bytes], whole: dict[str, bytes], when: str) -> None:
    """Raise Broken unless the same files with the same bytes were written."""
    names = sorted(name for name in {*files, *whole} if files.get(name) != whole.get(name))
    if names:
        raise Broken(f"{when} these files differ from an uninterrupted training's: {names}")


PROMISE = Promise(
    1, "Kills of a training", "Killed at any moment, the same command goes on and ends with the same bytes: "
    "weights, history and curves.", "kills", 10, 1250, case, prepare,
)  # fmt: skip
