"""Row 33: the tests themselves. A fault is planted in a copy of the project, and the tests that should notice
must fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sightline.cli import checkout_files
from sightline.core import packaged_project
from sightline_lab.faults.battery import Broken, Case, Missing, Promise

PLAN = Path("lab/sabotages.yaml")
FIELDS = {"what", "file", "old", "new", "test"}
FAILED = 1  # exit code of pytest with failed tests; 2 to 5 are errors of its own
WAIT_S = 900


def prepare(scratch: Path) -> list[dict[str, Any]]:
    """The sabotages, and a copy of the project to plant them in. Raises Missing outside a checkout."""
    root = packaged_project.folder()
    if not packaged_project.is_checkout() or not (root / "tests").is_dir():
        raise Missing("the tests are part of a checkout: run it there")
    rows = read(root)
    home = scratch / "project"
    for name in checkout_files.project_files(root):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, home / name)
    return [row | {"home": home} for row in rows]


def read(root: Path) -> list[dict[str, Any]]:
    """The plan. Raises ValueError for a row whose text is not in its file exactly once."""
    rows = YAML(typ="safe", pure=True).load((root / PLAN).read_text(encoding="utf-8"))
    for row in rows:
        if row.keys() != FIELDS:
            raise ValueError(
                f"{PLAN}: {row.get('what')!r} has {', '.join(row)}; expected {', '.join(FIELDS)}"
            )
        count = (root / "src/sightline" / row["file"]).read_text(encoding="utf-8").count(row["old"])
        if count != 1:
            raise ValueError(f"{PLAN}: the text of {row['what']!r} is {count} times in {row['file']}")
    return rows


def case(case: Case) -> int:
    """Plant one, run its tests, take it out again."""
    row = case.prepared[case.index]
    path = row["home"] / "src/sightline" / row["file"]
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(row["old"], row["new"]), encoding="utf-8")
    try:
        done = _tested(row["home"], row["test"].split(), case.scratch)
    finally:
        path.write_text(whole, encoding="utf-8")
    if done.returncode == 0:
        raise Broken(f"{row['what']} ({row['file']}): no test of {row['test']} noticed")
    if done.returncode != FAILED:
        raise Broken(f"{row['what']}: pytest ended with {done.returncode}: {done.stdout[-300:]}")
    return 1


def _tested(home: Path, tests: list[str], scratch: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-m", "not full", "-p", "no:cacheprovider",
        f"--basetemp={scratch / 'pytest'}", *(f"tests/{test}" for test in tests),
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": f"{home / 'src'}{os.pathsep}{home}", "OMP_NUM_THREADS": "1"}
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # two versions of a file may be of the same second
    return subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=WAIT_S)


PROMISE = Promise(
    33, "The tests themselves", "A fault that is planted in the product turns a test red.", "sabotages", 6,
    1000, case, prepare, len,
)  # fmt: skip
