"""A copy of the project with the profile `smoke`, built by DVC in an environment of one's own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightline.cli import checkout_files
from sightline.core import packaged_project
from sightline_lab.faults.battery import Broken, Missing

WAIT_S = 3600
FIRST = "convert"  # the stages up to it take seconds and train nothing


def make(target: Path) -> Path:
    """The project's files at `target`, nothing built. Raises Missing outside a checkout."""
    if not packaged_project.is_checkout():
        raise Missing("the pipeline is part of a checkout: run it there")
    checkout_files.copy(packaged_project.folder(), target, "smoke")
    (target / "dvc.lock").unlink(missing_ok=True)
    return target


def repro(here: Path, stages: Sequence[str], env: Mapping[str, str], before: Sequence[str] = ()) -> None:
    """`dvc repro` of some stages and what they need, or of all; `before`: a program that it is run by. Raises
    Broken where it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    own |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    own |= {"PYTHONPATH": str(here / "src"), "OMP_NUM_THREADS": "1"}
    command = [*before, sys.executable, "-m", "dvc", "repro", *stages]
    done = subprocess.run(command, cwd=here, env=own | env, capture_output=True, text=True, timeout=WAIT_S)
    if done.returncode:
        raise Broken(f"dvc repro ended with {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}")
