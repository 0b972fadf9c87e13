"""The real stages one after the other in one process, outside DVC: torch and transformers are imported once.
tests/pipeline/conftest.py has them as DVC starts them, each in processes of its own."""

import concurrent.futures
import runpy
import subprocess
import sys
from pathlib import Path

from tests.support import in_this_process
from tests.support.command_line import ROOT, environment


def attempt(folder: Path, *stages: str) -> subprocess.CompletedProcess:
    """Runs the stages in `folder` until one of them fails, which ends the process with its code."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.stage_runs", *stages],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=1800,
    )  # fmt: skip


def run(folder: Path, *stages: str) -> str:
    """What the stages printed; all of them must succeed."""
    done = attempt(folder, *stages)
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


if __name__ == "__main__":
    concurrent.futures.ProcessPoolExecutor = in_this_process.Pool
    for stage in sys.argv[1:]:
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
