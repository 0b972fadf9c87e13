"""Training on several machines without a common disk: tests/support/several_machines.py, whose tests fork the
process that they run in. PyTorch's autograd works in no fork of a process that has used it, as this one may
have for other tests: so they get a process of their own."""

import os
import subprocess
import sys

from tests.support.command_line import ROOT

CASES = ROOT / "tests" / "support" / "several_machines.py"


def test_machines_without_a_common_disk(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'own'}", str(CASES)],
        cwd=ROOT, env=mine, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
