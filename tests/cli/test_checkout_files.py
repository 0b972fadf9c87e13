"""A copy of the project, with git, without it, and where git refuses; the Makefile in a path with a space."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sightline.cli import checkout_files

ROOT = Path(__file__).resolve().parents[2]
OWN = {
    ".gitignore": "/models/vlm\n/.venv/\n__pycache__/\n*.egg-info/\n",
    "params.yaml": "profile: scenes\n",
    "dvc.yaml": "",
    "src/a.py": "1",
    "models/README.md": "m",
    ".dvc/config": "",
    ".dvc/.gitignore": "/tmp\n",
    "notes/vlm": "kept: only models/vlm is ignored",
}
BUILT = ("models/vlm/weights", ".venv/bin/python", "src/__pycache__/a.pyc", "a.egg-info/PKG", ".dvc/tmp/lock")


@pytest.fixture
def project(tmp_path):
    for name in (*OWN, *BUILT):
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OWN.get(name, "built"), encoding="utf-8")
    return tmp_path / "unpacked"


def test_an_unpacked_archive_and_a_git_checkout_have_the_same_files(project):
    assert sorted(checkout_files.project_files(project)) == sorted(OWN)
    subprocess.run(["git", "init", "-q", project], check=True)
    assert sorted(checkout_files.project_files(project)) == sorted(OWN)


def test_a_copy_needs_no_git(project, tmp_path):
    checkout_files.copy(project, tmp_path / "copy", "smoke")
    copied = {
        p.relative_to(tmp_path / "copy").as_posix() for p in (tmp_path / "copy").rglob("*") if p.is_file()
    }
    assert copied == {*OWN, ".dvc/config.local", checkout_files.COPIED}
    assert (tmp_path / "copy" / "params.yaml").read_text() == "profile: smoke\n"


def test_of_a_copy_only_what_copying_brought_is_removed(project, tmp_path):
    copy = tmp_path / "copy"
    checkout_files.copy(project, copy, "smoke")
    (copy / "src" / "mine.py").write_text("mine")
    (project / "src" / "a.py").rename(project / "src" / "b.py")
    checkout_files.copy(project, copy, "smoke")
    assert sorted(path.name for path in (copy / "src").glob("*.py")) == ["b.py", "mine.py"]


def test_a_folder_of_other_files_is_no_place_for_a_copy(tmp_path):
    for name in ("absent", "empty", "copy/.dvc", "mine/letters"):
        if name != "absent":
            (tmp_path / name).mkdir(parents=True)
    for name in ("absent", "empty", "copy"):
        checkout_files.check_copy(tmp_path / name)
    with pytest.raises(checkout_files.CheckoutError, match="mine: .*nothing was changed"):
        checkout_files.check_copy(tmp_path / "mine")


def test_what_git_refuses_is_told_in_its_words(project):
    (project / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(checkout_files.CheckoutError, match="not a git repository"):
        checkout_files.project_files(project)


def test_setup_works_in_a_path_with_a_space(tmp_path):
    here = tmp_path / "my projects"
    here.mkdir()
    for name in ("Makefile", "requirements.txt", "pyproject.toml", "src/sightline_lab/pyproject.toml"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, here / name)
    stub = here / "python"  # makes a venv whose interpreter is itself, and notes what it is asked to install
    stub.write_text(
        '#!/bin/sh\necho "$@" >> asked.txt\n'
        '[ "$2" != venv ] || { mkdir -p .venv/bin; cp "$0" .venv/bin/python; }\n'
    )
    stub.chmod(0o755)
    done = subprocess.run(["make", "setup", "PYTHON=./python"], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = (here / "asked.txt").read_text()
    assert "-m venv .venv" in asked and "--requirement requirements.txt" in asked and "--editable ." in asked
    assert os.path.exists(here / ".venv" / "ready")
