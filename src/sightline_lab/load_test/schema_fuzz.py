"""Schemathesis over the whole published schema: every route, and what it answers to odd requests."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sightline_lab.load_test.server_process import LoadError

# A picture is a string to a schema, so most bodies that fit the schema are refused for their picture.
LEFT_OUT = "positive_data_acceptance"
SEED = "7"
POSTED = 5  # routes with a body, which get as many cases as are asked for


def run(address: str, cases: int) -> tuple[dict[str, int], str]:
    """Ask at least `cases` generated requests: (how many there were and how many faults were found, the
    fuzzer's own report). Raises LoadError where it is not installed or generated too few."""
    tool = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or shutil.which("schemathesis")
    if tool is None:
        raise LoadError("fuzzing needs the package schemathesis: pip install -r requirements.txt")
    each = -(-cases // POSTED)
    options = ["-n", str(each), "--exclude-checks", LEFT_OUT, "--seed", SEED, "--no-color"]
    options.append("--suppress-health-check=too_slow")  # how fast this machine is, is not asked
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [tool, "run", f"{address}/openapi.json", *options], cwd=place, capture_output=True, text=True
        )
    made = re.search(r"(\d+) generated", done.stdout)
    if not made or int(made[1]) < cases:
        said = (done.stdout + done.stderr).strip()[-500:]
        raise LoadError(f"schemathesis made {made[1] if made else 0} of {cases} cases; it said: {said}")
    faults = re.search(r"(\d+) unique failure", done.stdout)
    return {
        "cases": int(made[1]), "faults": int(faults[1]) if faults else int(done.returncode != 0),
    }, done.stdout  # fmt: skip
