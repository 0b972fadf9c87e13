"""The table and the picture of a search, from what `dvc exp show --json` prints."""

import csv

import pytest

from sightline_lab.experiments import experiment_page, experiment_table
from sightline_lab.experiments.experiment_table import SearchError


def revision(name, rate, scale, accuracy, state="success"):
    """One experiment as DVC 3.67 shows it, cut to what matters."""
    params = {"seed": 7, "spin": {"layers": [0, 1]}, "finetune": {"lr_scale": rate, "vision": {"x": scale}}}
    data = {
        "params": {"params.yaml": {"data": params}},
        "metrics": {
            "metrics/summary.json": {"data": {"val_accuracy": -1.0}},
            "plots/finetune/vlm/metrics.json": {"data": {"step": 16, "val_accuracy": accuracy}},
        },
    }
    return {
        "name": name,
        "executor": None if state is None else {"state": state, "name": "dvc-task"},
        "revs": [{"rev": "a" * 40, "name": name, "data": data, "error": None}],
    }


def exp_show(*experiments):
    return [
        {"rev": "workspace", "name": None, "data": {}, "experiments": None},
        {"rev": "b" * 40, "name": "main", "data": {}, "experiments": list(experiments)},
    ]


GRID = exp_show(
    revision("apple", 1.0, 0.5, 70.1234),
    revision("berry", 1.5, 0.5, 74.0),
    revision("cherry", 1.5, 1, 72.0, state=None),  # ran in the workspace
    revision("unripe", 2.0, 0.5, 99.0, state="running"),
    revision("rotten", 2.0, 1, 98.0, state="failed"),
)


def test_finished_experiments_best_first():
    search = experiment_table.read(GRID)
    assert search.params == ["finetune.lr_scale", "finetune.vision.x"]
    assert [run["experiment"] for run in search.runs] == ["berry", "cherry", "apple"]
    assert search.runs[2] == {
        "experiment": "apple",
        "finetune.lr_scale": 1.0,
        "finetune.vision.x": 0.5,
        "val_accuracy": 70.123,
    }


def test_nothing_to_compare_is_an_error():
    with pytest.raises(SearchError, match=r"1 finished experiments.*dvc queue status"):
        experiment_table.read(
            exp_show(revision("apple", 1.0, 0.5, 70.0), revision("b", 1, 1, 1.0, state="running"))
        )
    earlier = revision("aligned-only", 1.0, 0.5, 70.0)
    del earlier["revs"][0]["data"]["metrics"]["plots/finetune/vlm/metrics.json"]
    with pytest.raises(SearchError, match="0 finished"):
        experiment_table.read(exp_show(earlier))


def test_files_of_a_search(tmp_path):
    docs = tmp_path / "docs" / "reports"
    docs.mkdir(parents=True)
    (docs / "search.md").write_text("before\n<!-- table: search -->\nold\n<!-- end: search -->\nafter\n")
    experiment_page.write(tmp_path, experiment_table.read(GRID))
    rows = list(csv.DictReader((docs / "search.csv").open()))
    assert [row["val_accuracy"] for row in rows] == ["74.0", "72.0", "70.123"]
    text = (docs / "search.md").read_text()
    assert "| berry | 1.5 | 0.5 | 74.0 |" in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("after\n")
    first = (docs / "search.svg").read_bytes()
    experiment_page.write(tmp_path, experiment_table.read(GRID))
    assert (docs / "search.svg").read_bytes() == first
