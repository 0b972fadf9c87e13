"""Schemathesis over the whole published schema: every route, with generated requests."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sightline_lab.load_test.server_process import LoadError

# A picture is a string to a schema, so most bodies that fit the schema are refused for their picture.
LEFT_OUT = "positive_data_acceptance"
SEED = 7
POSTED = 5  # routes with a body, each of which gets its share of the cases


def run(address: str, cases: int, seed: int = SEED) -> tuple[dict[str, int], str]:
    """Send at least `cases` generated requests: (number of requests and of faults, the fuzzer's report).

    Raises LoadError where it is not installed or generated too few."""
    tool = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or shutil.which("schemathesis")
    if tool is None:
        raise LoadError("fuzzing needs the package schemathesis: pip install -r requirements.txt")
    each = -(-cases // POSTED)
    options = ["-n", str(each), "--exclude-checks", LEFT_OUT, "--seed", str(seed), "--no-color"]
    options.append("--suppress-health-check=too_slow")  # the speed of this machine is not under test
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [tool, "run", f"{address}/openapi.json", *options], cwd=folder, capture_output=True, text=True
        )
    made = re.search(r"(\d+) generated", done.stdout)
    if not made or int(made[1]) < cases:
        output = (done.stdout + done.stderr).strip()[-500:]
        raise LoadError(f"schemathesis made {made[1] if made else 0} of {cases} cases; it said: {output}")
    faults = re.search(r"(\d+) unique failure", done.stdout)
    return {
        "cases": int(made[1]), "faults": int(faults[1]) if faults else int(done.returncode != 0),
    }, done.stdout  # fmt: skip
