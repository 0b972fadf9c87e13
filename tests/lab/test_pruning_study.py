"""The comparison of pruning criteria: its front, what unstructured pruning zeroes, its page."""

import json

import pytest
import torch

from sightline_lab import report_page
from sightline_lab.pruning import pruning_page, pruning_study
from tests.support import tiny


def row(criterion, macs, accuracy, chair_i, stage="cut"):
    return {
        "criterion": criterion, "ratio": 0.5, "stage": stage, "macs": macs, "bytes": 4 * macs,
        "parameters": macs, "accuracy": accuracy, "chair_i": chair_i, "recall": 50.0,
    }  # fmt: skip


ROWS = [
    row("none", 100, 90.0, 2.0, "whole"), row("taylor", 60, 91.0, 3.0), row("spin", 60, 80.0, 2.5),
    row("magnitude", 40, 70.0, 1.0),
]  # fmt: skip


def test_the_front_holds_what_nothing_cheaper_equals():
    assert [r["criterion"] for r in pruning_page.pareto(ROWS, "macs", "accuracy")] == ["magnitude", "taylor"]
    assert [r["criterion"] for r in pruning_page.pareto(ROWS, "macs", "chair_i")] == ["magnitude"]


@pytest.mark.parametrize("removed", [0, 100, 10**9])
def test_unstructured_pruning_zeroes_that_many_of_the_smallest_weights(removed):
    vlm = tiny.models(100)[0]
    cut = pruning_study.unstructured(vlm, removed)
    before, after = vlm.state_dict(), cut.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(name.startswith(("decoder.", "joint.")) and name.endswith("weight") for name in changed)
    inside = [n for n in before if n.startswith(("decoder.", "joint.")) and before[n].ndim == 2]
    zeros = sum(int((after[name] == 0).sum()) for name in inside)
    total = sum(before[name].numel() for name in inside)
    assert zeros == min(removed, total)
    if 0 < removed < total:
        gone = max(float(before[n][after[n] == 0].abs().max()) for n in changed)
        kept = min(float(after[n][after[n] != 0].abs().min()) for n in inside)
        assert gone <= kept


def test_the_page_and_picture_come_from_the_file(tmp_path):
    result = {"profile": "scenes", "questions": 5, "described": 2, "recovery_epochs": 0.05, "distill": 0.5,
              "rows": ROWS}  # fmt: skip
    for folder in ("metrics", "docs/reports"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / pruning_page.RESULT).write_text(json.dumps(result))
    report_page.write(tmp_path, pruning_page)
    text, drawn = (tmp_path / pruning_page.PAGE).read_text(), (tmp_path / pruning_page.PICTURE).read_bytes()
    assert "| **taylor** | 0.5 | cut |" in text and "| spin | 0.5 | cut |" in text
    report_page.write(tmp_path, pruning_page)
    assert (tmp_path / pruning_page.PICTURE).read_bytes() == drawn
