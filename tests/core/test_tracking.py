"""Curves: the same rows give the same bytes, resumed or not."""

import hashlib
from pathlib import Path

import pytest

from sightline.core.tracking import Curves

ROWS = [{"step": 10 * i, "loss": 1 / (i + 1), "val_accuracy": 0.1 * i} for i in range(5)]


def draw(folder: Path, history: list[dict], rows: list[dict]) -> list[dict]:
    curves = Curves(folder, history)
    for row in rows:
        curves.log(row["step"], {name: value for name, value in row.items() if name != "step"})
    curves.close()
    return curves.history


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_resumed_run_has_the_bytes_of_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = draw(tmp_path / "whole", [], ROWS)
    half = draw(tmp_path / "half", [], ROWS[:2])
    resumed = draw(tmp_path / "resumed", half, ROWS[2:])
    assert whole == resumed == ROWS
    assert digests(tmp_path / "whole") == digests(tmp_path / "resumed")
    names = {"metrics.json", "plots/metrics/loss.tsv", "plots/metrics/val_accuracy.tsv"}
    assert digests(tmp_path / "whole").keys() == names
    expected = "step\tloss\n0\t1.0\n10\t0.5\n20\t0.3333333333333333\n30\t0.25\n40\t0.2\n"
    assert (tmp_path / "whole/plots/metrics/loss.tsv").read_text() == expected
    # DVCLive writes no dvc.yaml and no experiment beside the folders asked for.
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "half", "resumed"}


def test_a_rerun_into_the_same_folder_starts_afresh(tmp_path):
    draw(tmp_path / "curves", [], ROWS)
    before = digests(tmp_path / "curves")
    draw(tmp_path / "curves", [], ROWS)
    assert digests(tmp_path / "curves") == before


def test_a_value_that_is_not_finite_is_refused(tmp_path):
    curves = Curves(tmp_path, [])
    with pytest.raises(ValueError, match="loss: got nan at step 3"):
        curves.log(3, {"loss": float("nan")})
    assert curves.history == []
