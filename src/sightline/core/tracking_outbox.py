"""The outbox: what stages tell MLflow and TensorBoard of themselves, as files below `.resume/tracking`.

A stage only writes files, a fraction of a second in all; another process sends them and removes what has
arrived (`share/tracking_sender.py`). So a stage imports no MLflow, and waits for no server.

    <run>/run.json          a run of DVC: an experiment, or one process of `dvc`
    <run>/dvc.yaml          its stages
    <run>/<attempt>/        a stage that ran: begin.json, points.jsonl (curves), files/, end.json

A stage that finds no room for its records goes on without them, and says so.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from sightline.core import artifacts, launcher_watchdog
from sightline.core.atomic_io import write_bytes
from sightline.core.params.checks import ParamsError, Settings
from sightline.core.params.loader import Params
from sightline.core.params.sections import NOT_RESOLVED

OUTBOX = Path("tracking")  # below .resume
RUN, DAG, BEGIN, POINTS, FILES, END = (
    "run.json", "dvc.yaml", "begin.json", "points.jsonl", "files", "end.json"
)  # fmt: skip
LOCK, LOG, PROBLEM, NOTED = "sender.lock", "sender.log", "problem.json", "noted"
SENDER = "sightline.share.tracking_sender"  # core imports no other room: it is started by its name
MOST_BYTES = 1024 * 2**20  # of the outbox
MOST_OF_A_STAGE = 64 * 2**20  # bytes of the files that one stage keeps
MOST_OF_A_FILE = 8 * 2**20
NEEDS = {  # entry of `tracking` -> the module that must be there, what to install
    "mlflow": ("mlflow", "mlflow-skinny>=3.17,<4"),
    "tensorboard": ("tensorboard", "tensorboard>=2.21,<3"),
}
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"  # as MLflow calls the end of a run


class Process(Settings):
    """A process, told apart from a later one with its number by the second it began."""

    pid: int
    created: float

    @classmethod
    def of(cls, process: psutil.Process) -> "Process":
        return cls(pid=process.pid, created=process.create_time())

    def runs(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.created and launcher_watchdog.alive(process)
        except psutil.Error:
            return False


class RunRecord(Settings):
    """A run of DVC. `to`: who is told, entries of `tracking`; `experiment`: DVC's name of it, or empty; times
    in milliseconds; `outs`: the hash of every output that lies in `workspace`, by its path."""

    key: str
    to: tuple[str, ...]
    name: str
    experiment: str
    project: str
    profile: str
    git_commit: str
    began: int
    launcher: Process
    workspace: str
    params: dict[str, str]
    outs: dict[str, str]


class Begin(Settings):
    """A stage that begins: its own params, the outputs that it finds, as in RunRecord, and
    what the data are."""

    stage: str
    began: int
    process: Process
    params: dict[str, str]
    outs: dict[str, str]
    source: str


class End(Settings):
    """How a stage ended; `left_out`: files that were too large to keep."""

    status: str
    ended: int
    message: str
    cost: dict[str, float]
    outs: dict[str, str]
    left_out: tuple[str, ...]


def check(tracking: Iterable[str]) -> None:
    """Raise ParamsError for an entry of `tracking` whose package is not installed."""
    for name in tracking:
        module, package = NEEDS.get(name, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            cure = f'; to install it: pip install "{package}"'
            raise ParamsError("tracking", repr(name), f"it once the package {module} is installed", cure=cure)


class StageRecord:
    """What a stage writes while it runs. Nothing here raises: `problem` says what could not be written."""

    def __init__(self, outbox: Path, run: RunRecord, begin: Begin) -> None:
        self._run, self._begin, self._end = run, begin, None
        self._outbox, self._at = outbox, outbox / run.key
        self.folder = self._at / f"{begin.began:013d}-{begin.stage}"
        self._lines: list[str] = []
        self.problem = ""
        self._try(self._write_begin)
        self._try(lambda: _start_sender(outbox))

    def point(self, curves: Path, step: int, values: dict[str, float]) -> None:
        """A point of the curves in a folder; `plots/<stage>/<part>` puts `<part>/` before their names, and a
        folder elsewhere its own name."""
        of_stage = curves.parts[:2] == ("plots", self._begin.stage)
        part = "/".join(curves.parts[2:]) if of_stage else curves.name
        named = {f"{part}/{name}" if part else name: value for name, value in values.items()}
        line = json.dumps({"step": step, "time": _now(), "values": named}) + "\n"
        self._lines.append(line)
        if not self.problem:
            self._try(lambda: self._append(line))

    def end(self, status: str, message: str, cost: dict[str, float]) -> None:
        """The end. What could not be written before is tried again."""
        if self.problem:
            self.problem = ""
            self._try(self._write_begin)
            self._try(lambda: write_bytes(self.folder / POINTS, "".join(self._lines).encode()))
        left_out: list[str] = []
        if status == FINISHED:
            self._try(lambda: left_out.extend(self._keep_files()))
        if self.problem:  # without the files there may be room for the few bytes that say how it ended
            shutil.rmtree(self.folder / FILES, ignore_errors=True)
        outs, ended = hashes(Path(self._run.workspace)), _now()
        end = End(status=status, ended=ended, message=message, cost=cost, outs=outs, left_out=tuple(left_out))
        self._run = self._run.replaced(outs=outs)
        self._try(lambda: self._write(self._at / RUN, self._run))
        self._try(lambda: self._write(self.folder / END, end))
        self._try(lambda: _start_sender(self._outbox))

    def trouble(self) -> str:
        """A line about what was not written or not sent, once a run; empty where all is well."""
        if self.problem:
            return f"tracking: this stage is not recorded whole ({self.problem}); DVC's own files are"
        trouble = self._outbox / PROBLEM
        try:
            if not trouble.is_file() or (self._at / NOTED).exists():
                return ""
            said = artifacts.read_json(trouble)["text"]
            write_bytes(self._at / NOTED, b"")
        except (OSError, ValueError) as error:
            return f"tracking: {error}"
        return f"tracking: not sent yet: {said}; it is kept and tried again, later by `sightline track`"

    def _write_begin(self) -> None:
        held = size(self._outbox)
        if held > MOST_BYTES:
            raise ValueError(
                f"{self._outbox} holds {held // 2**20} MiB that were not sent, and no more than "
                f"{MOST_BYTES // 2**20} are kept: run `sightline track`"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(self._at / RUN, self._run)
        dag = Path(self._run.workspace) / DAG
        if dag.is_file():
            write_bytes(self._at / DAG, dag.read_bytes())
        self._write(self.folder / BEGIN, self._begin)

    def _append(self, line: str) -> None:
        with open(self.folder / POINTS, "a", encoding="utf-8") as file:
            file.write(line)

    def _keep_files(self) -> list[str]:
        """Copy what the stage drew and measured; returns the files that were left out for their size."""
        left_out, total, stage = [], 0, self._begin.stage
        workspace = Path(self._run.workspace)
        wanted = [workspace / kind / stage for kind in ("metrics", "plots")]
        of_report = [workspace / "metrics" / "summary.json"] if stage == "report" else []
        found = [path for folder in wanted for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in [workspace / "resolved.yaml", *of_report, *found]:
            if not path.is_file():
                continue
            name, length = path.relative_to(workspace), path.stat().st_size
            if length > MOST_OF_A_FILE or total + length > MOST_OF_A_STAGE:
                left_out.append(name.as_posix())
                continue
            total += length
            goal = self.folder / FILES / name
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, goal)
        return left_out

    def _write(self, path: Path, record: Settings) -> None:
        write_bytes(path, record.model_dump_json(indent=1).encode())

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, ValueError) as error:
            self.problem = self.problem or " ".join(str(error).split())


def begin(
    root: Path, stage: str, params: Params, launcher: Process, experiment: str, baseline: str
) -> StageRecord:
    """The record of a stage that begins in the working folder.

    root: of the repository, which an experiment in a folder of its own has elsewhere; launcher: DVC, or what
    else started the stage; `experiment`, `baseline`: DVC's name of an experiment and the commit that it
    starts from, empty outside of one.
    """
    workspace, began = Path.cwd(), _now()
    flat = {key: _text(value) for key, value in _flat(params.model_dump(mode="json"), "")}
    outs = hashes(workspace)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(launcher.created))
    here = [platform.node(), str(root.resolve())]
    identity = [*here, launcher.pid, launcher.created]
    if experiment:  # another run of it, with the same values, goes on where the first one was stopped
        identity = [
            *here,
            experiment,
            baseline,
            {key: flat[key] for key in flat if key not in NOT_RESOLVED},
        ]
    run = RunRecord(
        key=hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32],
        to=tuple(name for name in params.tracking if name in NEEDS),
        name=experiment or f"{params.profile} {moment}", experiment=experiment, project=root.resolve().name,
        profile=params.profile, git_commit=baseline or _commit(workspace), began=int(1000 * launcher.created),
        launcher=launcher, workspace=str(workspace), params=flat, outs=outs,
    )  # fmt: skip
    own = {key: value for key, value in flat.items() if "." not in key or key.startswith(f"{stage}.")}
    begun = Begin(
        stage=stage, began=began, process=Process.of(psutil.Process()), params=own, outs=outs,
        source=flat["data.source"],
    )  # fmt: skip
    return StageRecord(root / ".resume" / OUTBOX, run, begun)


def _start_sender(outbox: Path) -> None:
    """Start the process that sends, unless one runs. It outlives this one, and DVC where it must."""
    try:
        with FileLock(outbox / LOCK, timeout=0):
            pass
    except Timeout:
        return
    code = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    env = os.environ | {"PYTHONPATH": f"{code}{os.pathsep}{known}" if known else code}
    with open(outbox / LOG, "wb") as log:
        subprocess.Popen(
            [sys.executable, "-m", SENDER, str(outbox.resolve())], cwd=outbox.parents[1], env=env,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def hashes(workspace: Path) -> dict[str, str]:
    """The sha256 of what the stages wrote, by path: of an artifact's manifest, which names its whole content,
    and of the few small files that have none."""
    found = {}
    for manifest in sorted(workspace.glob(f"*/*/{artifacts.MANIFEST}")):
        found[manifest.parent.relative_to(workspace).as_posix()] = artifacts.sha256(manifest)
    for name, file in {
        "resolved.yaml": "resolved.yaml",
        "metrics/summary.json": "metrics/summary.json",
        "metrics/gate": "metrics/gate/gate.json",
    }.items():
        if (workspace / file).is_file():
            found[name] = artifacts.sha256(workspace / file)
    return found


def size(folder: Path) -> int:
    """Bytes of the files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _commit(workspace: Path) -> str:
    """The commit that is checked out; empty outside of git."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=workspace, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _flat(block: dict[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for name, value in block.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _now() -> int:
    return time.time_ns() // 1_000_000
