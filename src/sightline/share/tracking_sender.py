"""Sends what stages left in the outbox (`core/tracking_outbox.py`): the process beside a build, and
`sightline track`.

One process at a time sends. An attempt is removed when all of it has arrived, so what was interrupted is sent
again; every receiver takes the same thing twice without doubling it.
"""

import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from sightline.core import artifacts, tracking_outbox, typed_json
from sightline.core.tracking_outbox import (
    BEGIN,
    DAG,
    END,
    POINTS,
    PROBLEM,
    RUN,
    Begin,
    End,
    Process,
    RunRecord,
)

POLL_S, RETRY_S = 2.0, 5.0  # between two looks into the outbox; after one that failed
GRACE_S = 10.0  # how long a server that does not answer is tried after DVC has ended
CURE = "nothing else reads it: remove the folder that it is in"


@dataclass(frozen=True)
class Attempt:
    """A stage that runs or ran, as its folder in the outbox holds it. `end` is None while it runs, and after
    its process was killed."""

    folder: Path
    run: RunRecord
    begin: Begin
    end: End | None
    process_gone: bool
    inputs: dict[str, str]  # the stage's dependencies among the outputs, with their hashes, as it found them
    outs: dict[str, str]  # what it wrote

    @property
    def key(self) -> str:
        return f"{self.run.key}/{self.folder.name}"

    @property
    def is_over(self) -> bool:
        return self.end is not None or self.process_gone

    def last_change(self) -> int:
        """When something was last written, in milliseconds."""
        return int(1000 * max(path.stat().st_mtime for path in self.folder.iterdir()))

    def points(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """The points of the curves after so many bytes, and the bytes up to the end of the last whole one."""
        path = self.folder / POINTS
        if not path.is_file():
            return [], offset
        with open(path, "rb") as file:
            file.seek(offset)
            whole, line_end, _ = file.read().rpartition(b"\n")
        rows = [typed_json.check(path, json.loads(line), dict, CURE) for line in whole.splitlines()]
        return rows, offset + len(whole) + len(line_end)

    def files(self) -> Iterator[tuple[Path, str]]:
        """Every file that the stage kept, and its path in the repository."""
        folder = self.folder / tracking_outbox.FILES
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield path, path.relative_to(folder).as_posix()


class Receiver(Protocol):
    """Whom attempts are sent to. The same thing may come twice."""

    def send(self, attempt: Attempt) -> None:
        """Send what is new of an attempt. Raises ValueError that says who did not take it, and why."""

    def finish(self, run: RunRecord, stages: dict[str, dict[str, str]]) -> None:
        """A run of DVC is over. stages: of each stage of its dvc.yaml the outputs that lie there now, with
        their hashes."""


class Sender:
    """Sends an outbox. Keep one for as long as a process sends: receivers remember what has arrived."""

    def __init__(self, outbox: Path) -> None:
        self.outbox = outbox
        self.damaged: list[ValueError] = []
        self.arrived: list[str] = []  # the stages that were sent whole, with their runs
        self._receivers: dict[str, Receiver] = {}

    def runs(self) -> list[RunRecord]:
        """The runs of DVC in the outbox, oldest first; `damaged` says what else lies there."""
        found, self.damaged = [], []
        for path in sorted(self.outbox.glob(f"*/{RUN}")):
            try:
                found.append(typed_json.read(path, RunRecord, CURE))
            except ValueError as error:
                self.damaged.append(error)
        return sorted(found, key=lambda run: run.began)

    def waiting(self) -> int:
        """How many stages have not arrived whole."""
        return len(list(self.outbox.glob(f"*/*/{BEGIN}")))

    def send(self, watched: Collection[Process] = ()) -> None:
        """Send all that there is. `watched`: processes of DVC that ran a moment ago, so that what lies in
        their workspaces is theirs. Raises ValueError for the first run that could not be sent, once all were
        tried."""
        errors: list[ValueError | OSError] = []
        for run in self.runs():
            try:
                self._send_run(run, run.launcher in watched)
            except (ValueError, OSError) as error:
                errors.append(error)
        if errors or self.damaged:
            raise [*errors, *self.damaged][0]

    def _send_run(self, run: RunRecord, just_ended: bool) -> None:
        at, over, stages = (
            self.outbox / run.key,
            not run.launcher.runs(),
            _stages(self.outbox / run.key / DAG),
        )
        for path in sorted(at.glob(f"*/{BEGIN}")):
            attempt = _attempt(path.parent, run, stages)
            for name in run.to:
                self._receiver(name).send(attempt)
            if attempt.is_over:
                shutil.rmtree(attempt.folder)
                self.arrived.append(f"{attempt.begin.stage} of {run.name}")
        if not over or any(at.glob(f"*/{BEGIN}")):
            return
        outs = run.outs
        if just_ended and Path(run.workspace).is_dir():
            outs = tracking_outbox.hashes(Path(run.workspace))
        for name in run.to:
            self._receiver(name).finish(
                run, {stage: _among(block, "outs", outs) for stage, block in stages.items()}
            )
        for name in (RUN, DAG, tracking_outbox.NOTED):
            (at / name).unlink(missing_ok=True)
        if not any(at.iterdir()):
            at.rmdir()

    def _receiver(self, name: str) -> Receiver:
        if name not in self._receivers:
            if name == "mlflow":
                from sightline.share.mlflow_runs import MlflowRuns

                self._receivers[name] = MlflowRuns()
            else:
                from sightline.share.tensorboard_events import TensorBoardEvents

                self._receivers[name] = TensorBoardEvents(self.outbox.parent / "tensorboard")
        return self._receivers[name]


def beside_builds(outbox: Path) -> None:
    """Send while DVC runs, and what is left when it has ended; returns when all has arrived, or nobody takes
    it any more. What could not be sent is kept, and PROBLEM says why."""
    os.nice(10)
    sender, watched, ended = Sender(outbox), set[Process](), time.monotonic()
    while True:
        running = {run.launcher for run in sender.runs() if run.launcher.runs()}
        if running:
            ended = time.monotonic()
        problem = _send_and_note(sender, watched)
        watched = running
        left = bool(sender.runs())
        if not running and (not left or time.monotonic() - ended > GRACE_S):
            return
        time.sleep(RETRY_S if problem else POLL_S)


def _send_and_note(sender: Sender, watched: set[Process]) -> str:
    """Send; returns what went wrong, which PROBLEM tells the stages, too."""
    note = sender.outbox / PROBLEM
    try:
        sender.send(watched)
    except (ValueError, OSError) as error:
        problem = f"{error} ({sender.waiting()} stages wait)"
        artifacts.write_json(note, {"text": problem})
        traceback.print_exc()  # into the log
        return problem
    note.unlink(missing_ok=True)
    return ""


def _attempt(folder: Path, run: RunRecord, stages: dict[str, Any]) -> Attempt:
    begin = typed_json.read(folder / BEGIN, Begin, CURE)
    runs = begin.process.runs()  # before the end is looked for: it may be written in between
    end = typed_json.read(folder / END, End, CURE) if (folder / END).is_file() else None
    block = stages.get(begin.stage, {})
    outs = _among(block, "outs", end.outs) if end else {}
    return Attempt(folder, run, begin, end, not runs, _among(block, "deps", begin.outs), outs)


def _stages(path: Path) -> dict[str, Any]:
    """The stages of a copy of dvc.yaml; none where there was none."""
    return _parsed(path.read_bytes()) if path.is_file() else {}


@lru_cache(maxsize=8)  # it is asked for every time that the outbox is looked into
def _parsed(dag: bytes) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(dag.decode()).get("stages", {})


def _among(block: dict[str, Any], kind: str, hashes: dict[str, str]) -> dict[str, str]:
    """The hashes of a stage's `deps` or `outs`, of those that have one."""
    paths = (entry if isinstance(entry, str) else next(iter(entry)) for entry in block.get(kind, ()))
    return {path: hashes[path] for path in paths if path in hashes}


def main() -> None:
    """`python -m sightline.share.tracking_sender OUTBOX`, as a stage starts it. One that runs is enough."""
    outbox = Path(sys.argv[1])
    try:
        with FileLock(outbox / tracking_outbox.LOCK, timeout=2):
            beside_builds(outbox)
    except Timeout:
        return


if __name__ == "__main__":
    main()
