"""Row 30: nothing is reported home: connections that leave the machine, counted by the kernel's calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from sightline_lab.faults import smoke_copy
from sightline_lab.faults.battery import Broken, Case, Missing, Promise
from sightline_lab.faults.rows import model_files

WAIT_S = 600
MAIN = "from sightline.cli.main import main; main()"
COMMANDS = (
    ["ask"], ["search", "a red ball"], ["index", "items.csv", "-o", "made"], ["doctor"], ["explain"],
    ["dataset-report", "items.csv", "-o", "report"], ["params"],
)  # fmt: skip
WITH_BUNDLE = ("ask", "search", "index", "doctor", "explain")
CALL = re.compile(r"connect\(\d+, \{sa_family=AF_INET6?, (.*?)\}, ")
LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "::1"|"::ffff:127\.')


def prepare(scratch: Path) -> tuple[Path, Path]:
    """A copy of the bundle, and of the project with nothing built."""
    if not shutil.which("strace"):
        raise Missing("it needs the program strace")
    if traced(["true"], scratch, scratch / "trace") is None:
        raise Missing("this machine lets strace trace nothing")
    return model_files.prepare(scratch), smoke_copy.make(scratch / "project")


def case(case: Case) -> int:
    """One command, or the first stages of the pipeline, or in the end all of them."""
    bundle, project = case.prepared
    trace = case.scratch / "trace"
    if case.index >= len(COMMANDS):
        stages = [smoke_copy.FIRST] if case.index == len(COMMANDS) else []
        smoke_copy.repro(project, stages, {}, _strace(trace))
        what, calls = "dvc repro", _left(trace)
    else:
        command = COMMANDS[case.index]
        (project / "items.csv").write_text(
            "id,caption\n" + "".join(f"i{n},a red ball {n}\n" for n in range(9))
        )
        more = ["--bundle", str(bundle)] if command[0] in WITH_BUNDLE else []
        found = traced([sys.executable, "-c", MAIN, *command, *more], project, trace)
        what, calls = " ".join(command), found or []
    if calls:
        raise Broken(f"{what}: {len(calls)} connections leave the machine, the first to {calls[0]}")
    return 1


def _strace(trace: Path) -> list[str]:
    return ["strace", "-f", "-qq", "-e", "trace=connect", "-o", str(trace)]


def traced(command: list[str], folder: Path, trace: Path) -> list[str] | None:
    """The addresses that a command tries to reach outside the machine; None where it cannot be traced."""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*_strace(trace), *command], cwd=folder, env=env, capture_output=True, timeout=WAIT_S)
    return _left(trace) if trace.is_file() else None


def _left(trace: Path) -> list[str]:
    calls = CALL.findall(trace.read_text(encoding="utf-8", errors="replace"))
    return [address for address in calls if not LOOPBACK.search(address)]


PROMISE = Promise(
    30, "Connections", "No command and no stage that was not told to fetch opens a connection that leaves "
    "the machine, nor asks for a name.", "commands", len(COMMANDS) + 1, len(COMMANDS) + 2, case, prepare,
)  # fmt: skip
