"""DVC's queue of experiments, by its commands."""

import json
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sightline.cli.tuning.val_figures import Figure, FigureError, values

# `dvc exp show` fails, naming a folder here, while a worker is taking up an experiment or clearing it away.
IN_MOTION = "/.dvc/tmp/exps/"
TAKEN_UP = re.compile(r"/exps/run/([0-9a-f]{40})/")  # the entry in the queue
LOST_S, PATIENCE_S = 30.0, 300.0  # with that error; taking up is a checkout of the commit
ANSWER_S = 60.0  # of `dvc exp show`, which once waited for ever for an experiment that had just ended


class QueueError(ValueError):
    """DVC or git refused; the message has their words."""


@dataclass(frozen=True)
class Experiment:
    """`state`: queued, running, failed or success. `workspace`: the checkout where a running one trains,
    `pid` its process, `exit_code` what that ended with, `log` its output, `revision` the commit of a finished
    one."""

    state: str
    revision: str
    workspace: Path | None
    pid: int | None
    exit_code: int | None
    log: Path | None

    @property
    def was_killed(self) -> bool:
        """Whether it did not fail by itself: it never began, or a signal ended its process, as
        `dvc queue stop --kill` does."""
        return self.state == "failed" and (self.pid is None or (self.exit_code or 0) < 0)

    @property
    def is_alive(self) -> bool:
        """Whether it is running and its process is there."""
        if self.state != "running" or self.pid is None:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


def head(here: Path) -> str:
    """The commit of a checkout without changes, from which experiments start. Raises QueueError."""
    commit = _run(here, "git", "rev-parse", "--verify", "HEAD^{commit}", cure=(
        "experiments start from a commit: git init, git add -A, git commit -m Start"
    ))  # fmt: skip
    changed = _run(here, "git", "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        raise QueueError(
            f"{len(changed)} changed files, first {changed[0][3:]}: experiments start from a commit, so that "
            "all start from the same: git commit -am ..., or git stash; then run this again"
        )
    return commit.strip()


def enqueue(here: Path, name: str, settings: list[str], stage: str) -> None:
    """Put an experiment into the queue that ends with `stage`."""
    words = [word for setting in settings for word in ("-S", setting)]
    _run(here, "dvc", "exp", "run", "--queue", "--name", name, *words, stage)


def start(here: Path, jobs: int) -> None:
    """Let `jobs` workers work on the queue; those that are at work already count."""
    _run(here, "dvc", "queue", "start", "--jobs", str(jobs))


def kill(here: Path, name: str) -> None:
    """End a running experiment; nothing where it has just ended by itself."""
    done = _dvc(here, "dvc", "queue", "kill", name)
    if done.returncode and (left := experiments(here).get(name)) and left.is_alive:
        raise QueueError(f"`dvc queue kill {name}` failed: {_words(done)}")


def remove(here: Path, name: str) -> None:
    """Take an experiment that did not finish out of the queue."""
    _run(here, "dvc", "queue", "remove", name)


def experiments(here: Path) -> dict[str, Experiment]:
    """Those that start from the current commit, by name.

    A worker that ends because the queue was empty may still take an experiment and drop it. `dvc queue kill`
    then marks it as failed, and refuses where a worker is at work on it."""
    began = time.monotonic()
    while True:
        try:
            return _shown(here)
        except QueueError as error:
            entry, waited = TAKEN_UP.search(str(error)), time.monotonic() - began
            if IN_MOTION not in str(error) or waited > PATIENCE_S:
                raise
            if entry and waited > LOST_S:
                _dvc(here, "dvc", "queue", "kill", entry[1])
            time.sleep(1.0)


def curve(here: Path, revision: str, figure: Figure) -> list[float]:
    """The values of a finished experiment's curve. Raises FigureError where its stage wrote no such curve."""
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(str(here), rev=revision)
    written = [Path(name).stem for name in files.ls(figure.folder, detail=False)]
    if figure.name not in written:
        there = ", ".join(f"{figure.stage}.{name}" for name in sorted(written) if name.startswith("val_"))
        raise FigureError(
            f"{figure.stage} wrote no curve {figure.name}, but {there or 'none of val'}: choose one by "
            "--objective, with another --name"
        )
    return values(files.read_text(figure.curve))


def _shown(here: Path) -> dict[str, Experiment]:
    rows = json.loads(_run(here, "dvc", "exp", "show", "--json"))
    found: dict[str, Experiment] = {}
    for each in (each for row in rows for each in row.get("experiments") or []):
        executor = each.get("executor") or {}
        local = executor.get("local") or {}
        root, log = local.get("root"), local.get("log")
        experiment = Experiment(
            executor.get("state") or "success", each["revs"][0]["rev"], Path(root) if root else None,
            local.get("pid"), local.get("returncode"), Path(log) if log else None,
        )  # fmt: skip
        found.setdefault(each["name"], experiment)  # running ones come first, then finished, failed ones last
    return found


def _run(here: Path, *command: str, cure: str = "") -> str:
    done = _dvc(here, *command)
    if done.returncode:
        shown = " ".join(command[:3])
        raise QueueError(f"`{shown}` failed: {_words(done)}{'; ' + cure if cure else ''}")
    return done.stdout


def _dvc(here: Path, *command: str) -> subprocess.CompletedProcess:
    """In a session of its own: Ctrl-C ends the search, and no command half-way. The output goes to files: a
    pipe would end only when the workers do, which inherit it from `dvc queue start`."""
    # It changes nothing, so it may be ended.
    limit = ANSWER_S if command[:3] == ("dvc", "exp", "show") else None
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            process = subprocess.Popen(command, cwd=here, stdout=out, stderr=err, start_new_session=True)
        except FileNotFoundError:
            raise QueueError(f"{command[0]} is not installed here") from None
        try:
            process.wait(limit)  # `run` would kill it when Ctrl-C arrives
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            err.write(f"no answer within {limit:.0f} s, waiting for {here}{IN_MOTION}")
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())


def _words(done: subprocess.CompletedProcess) -> str:
    return " ".join((done.stderr or done.stdout).split())[-600:]
