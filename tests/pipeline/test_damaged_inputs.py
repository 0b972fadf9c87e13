"""A stage that measures or explains notices a changed byte of its data before it reads it."""

import sys

import pytest


@pytest.mark.parametrize("stage", ["evaluate", "explain"])
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
