"""A stage notices a changed byte of its data, and of what other stages measured, before it reads it."""

import random
import shutil
import sys

import pytest


@pytest.mark.parametrize("stage", ["evaluate", "explain", "red_team"])
@pytest.mark.parametrize("name", ["data/vqa/test.jsonl", "data/raw/items.jsonl"])
def test_a_flipped_bit_is_named_and_nothing_is_measured(experiment_repo, stage, name):
    repo = experiment_repo
    path, measured = repo.path / name, repo.path / "metrics" / stage
    whole, before = path.read_bytes(), {file: file.read_bytes() for file in measured.rglob("*.*")}
    path.unlink()  # it may be a link into the cache
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    done = repo.run(sys.executable, f"stages/{stage}.py", ok=False)
    assert done.returncode and f"{name}: expected sha256" in done.stderr
    assert before and {file: file.read_bytes() for file in measured.rglob("*.*")} == before


@pytest.mark.parametrize("name", [
    "metrics/evaluate/vqa.csv", "metrics/evaluate/paired.csv", "metrics/evaluate/manifest.json",
    "metrics/export/variants.csv", "metrics/export/parity.json", "metrics/compress/table.csv",
    "metrics/explain/compression.json", "metrics/red_team/red_team.json", "data/vqa/config.json",
])  # fmt: skip
def test_the_report_reads_no_changed_figure(smoke, tmp_path, name):
    refuses(copy(smoke, tmp_path), "report", name)


@pytest.mark.parametrize(
    "name", ["metrics/summary.json", "metrics/report/report.md", "metrics/report/config.json"]
)
def test_the_gate_reads_no_changed_figure(smoke, tmp_path, name):
    refuses(copy(smoke, tmp_path), "gate", name)


def copy(smoke, path):
    """What report and gate read and write of the built pipeline, with its own code."""
    from tests.pipeline.conftest import Repo

    for name in ("src", "stages", "profiles", "metrics", "data/vqa"):
        shutil.copytree(smoke.path / name, path / name)
    for name in ("params.yaml", "resolved.yaml", "dvc.yaml"):
        shutil.copy(smoke.path / name, path / name)
    return Repo(path)


def refuses(repo, stage, name):
    """The stage works; with one bit of the file changed it names the file and writes nothing."""
    path = repo.path / name
    whole = path.read_bytes()
    repo.run(sys.executable, f"stages/{stage}.py")
    before = {file: file.read_bytes() for file in (repo.path / "metrics").rglob("*") if file.is_file()}
    at = random.Random(name).randrange(len(whole))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    done = repo.run(sys.executable, f"stages/{stage}.py", ok=False)
    wanted = path.parent if path.name == "manifest.json" else path  # a changed manifest accuses another file
    assert done.returncode == 1 and f"{stage}: error: {wanted.relative_to(repo.path)}" in done.stderr
    path.write_bytes(whole)
    assert before == {
        file: file.read_bytes() for file in (repo.path / "metrics").rglob("*") if file.is_file()
    }
