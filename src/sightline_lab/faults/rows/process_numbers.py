"""Row 3: a training with another number of processes, also between a kill and the next start.

A saved state is continued by any number of processes, with the samples that are left; the sums of another
number are added in another order, so the bits are then those of no uninterrupted training, which is said.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sightline_lab.faults import toy_training
from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.rows.training_kills import require_same

STEPS, SLOW_S, WAIT_S = 40, 0.02, 300
# (processes that are ended, processes that finish)
PAIRS = ((2, 1), (1, 2), (2, 2), (1, 1), (4, 2), (2, 4), (4, 1), (1, 4), (4, 4))
SIGNALS = (signal.SIGTERM, signal.SIGKILL)
Files = dict[str, bytes]
Items = list[list[int]]


@dataclass
class Whole:
    """Uninterrupted trainings by their number of processes, each made once: what it wrote, and the items of
    each step in the order of the processes."""

    folder: Path
    known: dict[int, tuple[Files, Items, str]] = field(default_factory=dict)

    def of(self, processes: int) -> tuple[Files, Items, str]:
        if processes not in self.known:
            here = self.folder / str(processes)
            here.mkdir()
            self.known[processes] = _finished(here, processes)
        return self.known[processes]


def case(case: Case) -> int:
    """One training, ended by a signal, then finished."""
    rng = case.rng
    first, last = PAIRS[case.index % len(PAIRS)]
    number = SIGNALS[int(rng.integers(len(SIGNALS)))]
    _ended(case.scratch, first, number, float(rng.uniform(0, STEPS * SLOW_S)))
    files, items, said = _finished(case.scratch, last)
    expected, order, _ = case.prepared.of(last)
    when = f"ended by {number.name} in {first} and finished in {last} processes"
    if first == last or len(items) == STEPS:  # the same number, or nothing had been saved
        require_same(files, expected, when)
    elif f"{first} processes saved the state and {last} continue it" not in said:
        raise Broken(f"{when}: it does not say that its bits are those of neither")
    if items != order[len(order) - len(items) :]:
        raise Broken(f"{when}: other samples than an uninterrupted training's, or in another order")
    if order != case.prepared.of(1)[1]:
        raise Broken(f"{last} processes see other samples than one, or in another order")
    return 1


def _command(processes: int) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script = [str(toy_training.__file__), "out", str(STEPS), "0.1", str(SLOW_S)]
    return [sys.executable, *(launcher if processes > 1 else []), *script]


def _start(folder: Path, processes: int, log: int) -> subprocess.Popen:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return subprocess.Popen(
        _command(processes), cwd=folder, env=env | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip


def _ended(folder: Path, processes: int, number: signal.Signals, wait_s: float) -> None:
    """Start a training, and `wait_s` after its first step send the signal to all of its processes."""
    training = _start(folder, processes, subprocess.DEVNULL)
    end = time.monotonic() + WAIT_S
    while training.poll() is None and not list(folder.glob(".resume/toy/*")):
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    time.sleep(wait_s)
    try:
        os.killpg(training.pid, number)
    except ProcessLookupError:
        pass  # it had finished
    training.wait(WAIT_S)


def _finished(folder: Path, processes: int) -> tuple[Files, Items, str]:
    """Run a training to its end: what it wrote, the items of each step, and what it said."""
    with open(folder / "log", "w+b") as log:
        training = _start(folder, processes, log.fileno())
        if training.wait(WAIT_S):
            raise Broken(
                f"a training in {processes} processes ended with {training.returncode}: {_read(log)[-300:]}"
            )
        said = _read(log)
    out = folder / "out"
    seen = [json.loads((out / f"seen-{rank}.json").read_text())["items"] for rank in range(processes)]
    items = [[item for part in step for item in part] for step in zip(*seen, strict=True)]
    files = toy_training.files(out)
    written = {name: content for name, content in files.items() if not name.startswith("seen-")}
    return written, items, said


def _read(log: BinaryIO) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


PROMISE = Promise(
    3, "Number of processes", "For every number of processes a step has the same samples in the same order. "
    "A training that is ended goes on with any number, with the samples that are left. With the same number "
    "it ends with the bytes of an uninterrupted one; with another its sums are added in another order, which "
    "it says.", "trainings", 3,
    90, case, Whole,
)  # fmt: skip
