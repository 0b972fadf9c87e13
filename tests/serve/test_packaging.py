"""The lock files belong together, and the part for serving is small and enough."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MB = 500


def lines(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def names(name):
    return {re.split("[ =]", line)[0].replace(".", "-") for line in lines(name)}


def test_what_serving_needs_is_a_part_of_the_lock_and_has_no_torch():
    served, lock = (
        {line.split(" ;")[0] for line in lines(f"requirements{part}.txt")} for part in ("-serve", "")
    )
    assert served <= lock
    assert names("requirements-core.in") | names("requirements-serve.in") <= names("requirements-serve.txt")
    assert not names("requirements-serve.txt") & {"torch", "transformers", "dvc", "pandas", "openai"}


def test_every_name_asked_for_is_locked_at_its_pin_once():
    lock = {line.split(" ;")[0].replace("_", "-").replace(".", "-") for line in lines("requirements.txt")}
    asked = [line for name in ("requirements.in", "requirements-core.in", "requirements-serve.in")
             for line in lines(name)]  # fmt: skip
    assert {line.split(" ;")[0].replace("_", "-").replace(".", "-") for line in asked} <= lock
    plain = [line.split("==")[0] for line in asked]
    assert len(plain) == len(set(plain))


def test_the_extras_are_the_files():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "dynamic"
    ]
    assert project["dependencies"] == {"file": ["requirements-core.in"]}
    assert project["optional-dependencies"] == {
        "serve": {"file": ["requirements-serve.in"]}, "train": {"file": ["requirements.in"]},
    }  # fmt: skip


@pytest.mark.full
def test_a_fresh_environment_serves_without_torch_and_is_small(tmp_path, bundle):
    """Needs a package index; skipped where there is none."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet"]
    if subprocess.run([*install, "-r", ROOT / "requirements-serve.txt"]).returncode:
        pytest.skip("no package index can be reached")
    subprocess.run([*install, "--no-deps", ROOT], check=True)
    size = sum(path.stat().st_size for path in (tmp_path / "venv").rglob("*") if path.is_file()) / 1e6
    assert size < LIMIT_MB
    command = tmp_path / "venv" / "bin" / "sightline"
    for words in (["ask"], ["search", "a red ball"], ["doctor"], ["serve", "--help"]):
        given = [] if words[-1] == "--help" else ["--bundle", bundle]
        subprocess.run([command, *words, *given], check=True, cwd=tmp_path)
    code = "import sightline.serve.api, sightline.serve.server, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([python, "-c", code], check=True, cwd=tmp_path)
