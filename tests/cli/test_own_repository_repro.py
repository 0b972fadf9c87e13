"""DVC in a repository of `sightline init`: an edit reruns the stages that read it, and so does another
version of the package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_init_command import init, picture, table
from tests.pipeline.conftest import Repo

ROOT = Path(__file__).resolve().parents[2]
LAST = "convert"  # the fast stages only


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A copy of the checkout's package and what lies beside it, which a test may change."""
    copy = tmp_path_factory.mktemp("installed")
    for name in ("src/sightline", "stages", "profiles", ".dvc/plots"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def built(tmp_path_factory, package) -> Repo:
    """Thirty items with pictures, converted."""
    folder = tmp_path_factory.mktemp("own")
    table(folder)
    rows = []
    for number in range(30):
        picture(folder / "pictures" / f"{number}.png", number)
        rows.append(f"Red cup,A red cup and {number} blue balls,pictures/{number}.png,i{number}")
    (folder / "items.csv").write_text("\n".join(["title,description,image_url,id", *rows]) + "\n")
    init(folder, "mine", "--table", "items.csv")
    repo = Repo(folder / "mine")
    assert repro(repo, package) == ["resolve", "download", "convert"]
    return repo


def run(repo: Repo, package: Path, *command: str, ok: bool = True) -> subprocess.CompletedProcess:
    """A command that finds `package` installed."""
    return repo.run("env", f"PYTHONPATH={package / 'src'}", *command, ok=ok)


def repro(repo: Repo, package: Path) -> list[str]:
    return repo.stages_run(run(repo, package, "dvc", "repro", LAST).stdout)


def test_nothing_reruns_but_resolve_and_git_sees_no_change(built, package):
    built.run("git", "add", "-A")
    built.run("git", "commit", "-qm", "built")
    assert repro(built, package) == ["resolve"]
    assert built.run("git", "status", "--short").stdout == ""


@pytest.mark.parametrize("edited", ["a cell", "a picture"])
def test_an_edit_of_the_data_reruns_what_reads_them(built, package, edited):
    path = built.path.parent / "items.csv"
    if edited == "a cell":
        path.write_text(path.read_text().replace("and 7 blue", "and 7 green"))
    else:
        picture(built.path.parent / "pictures" / "7.png", 700)
    assert repro(built, package) == ["resolve", "download", "convert"]


def test_another_version_reruns_the_stages_of_the_rooms_that_changed(built, package):
    room = package / "src" / "sightline"
    for folder, rerun in (("serve", []), ("train", []), ("data", ["download", "convert"])):
        file = room / folder / "__init__.py"
        file.write_text(file.read_text() + "# another version\n")
        assert repro(built, package) == ["resolve", *rerun], folder
    changed = built.run("git", "diff", "-U0", "--", "resolved.yaml").stdout.splitlines()
    assert [line.split(":")[0] for line in changed if line.startswith("+  ")] == ["+  data", "+  train"]


def test_a_stage_refuses_code_that_resolve_has_not_seen(built, package):
    file = package / "src" / "sightline" / "spin" / "__init__.py"
    file.write_text(file.read_text() + "# another version\n")
    done = run(built, package, sys.executable, "stages/convert.py", ok=False)
    assert done.returncode == 2 and "run: dvc repro resolve" in done.stderr


def test_an_experiment_changes_its_leaf(built, package):
    built.run("git", "add", "-A")
    built.run("git", "commit", "-qm", "before the experiment")
    done = run(built, package, "dvc", "exp", "run", "-S", "convert.vocab_size=700", LAST)
    assert built.stages_run(done.stdout) == ["resolve", "convert"]
    assert "vocab_size: 700" in built.run("git", "diff", "--", "params.yaml").stdout


def test_results_are_pushed(built, tmp_path):
    built.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    assert "pushed" in built.run("dvc", "push", "data/vqa").stdout
    assert list((tmp_path / "store").rglob("*.dir"))
