"""A stage notices a changed byte of its data, and of what other stages measured, before it reads it."""

import random
import shutil
import sys

import pytest


@pytest.fixture(scope="module")
def repo(smoke, tmp_path_factory):
    """The built pipeline with its own code, outside git and DVC; report and gate ran once more there. Tests
    leave it as it was."""
    path = tmp_path_factory.mktemp("damaged") / "sightline"
    shutil.copytree(smoke.path, path, ignore=shutil.ignore_patterns(".git", ".dvc"))
    repo = type(smoke)(path)
    for stage in ("report", "gate"):
        repo.run(sys.executable, f"stages/{stage}.py")
    return repo


@pytest.mark.parametrize("stage", ["evaluate", "explain", "red_team"])
@pytest.mark.parametrize("name", ["data/vqa/test.jsonl", "data/raw/items.jsonl"])
def test_a_flipped_bit_is_named_and_nothing_is_measured(repo, stage, name):
    done = with_a_bit_flipped(repo, stage, name, 50)
    assert done.returncode and f"{name}: expected sha256" in done.stderr
    assert (repo.path / "metrics" / stage).is_dir()


@pytest.mark.parametrize("name", [
    "metrics/evaluate/vqa.csv", "metrics/evaluate/paired.csv", "metrics/evaluate/manifest.json",
    "metrics/export/variants.csv", "metrics/export/parity.json", "metrics/compress/table.csv",
    "metrics/explain/compression.json", "metrics/red_team/red_team.json", "data/vqa/config.json",
])  # fmt: skip
def test_the_report_reads_no_changed_figure(repo, name):
    assert_refused(repo, "report", name)


@pytest.mark.parametrize(
    "name", ["metrics/summary.json", "metrics/report/report.md", "metrics/report/config.json"]
)
def test_the_gate_reads_no_changed_figure(repo, name):
    assert_refused(repo, "gate", name)


def assert_refused(repo, stage, name):
    """With one bit of the file changed the stage names it."""
    done = with_a_bit_flipped(repo, stage, name, None)
    path = repo.path / name
    wanted = path.parent if path.name == "manifest.json" else path  # a changed manifest accuses another file
    assert done.returncode == 1 and f"{stage}: error: {wanted.relative_to(repo.path)}" in done.stderr


def with_a_bit_flipped(repo, stage, name, at):
    """How the stage ended where a bit of the file's byte `at`, a random one for None, is another; it wrote no
    figure."""
    path = repo.path / name
    whole, before = path.read_bytes(), figures(repo)
    at = random.Random(name).randrange(len(whole)) if at is None else at
    path.unlink()  # it may be read-only
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    try:
        done = repo.run(sys.executable, f"stages/{stage}.py", ok=False)
    finally:
        path.write_bytes(whole)
    assert before == figures(repo)
    return done


def figures(repo):
    """Every file of metrics/, which has some."""
    found = {file: file.read_bytes() for file in (repo.path / "metrics").rglob("*") if file.is_file()}
    assert found
    return found
