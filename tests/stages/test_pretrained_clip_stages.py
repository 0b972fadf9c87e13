"""The real stages from a CLIP that transformers trained and saved to an answer of `sightline search`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sightline.core import artifacts
from sightline.core.artifacts import read_json
from sightline.evaluate.result_files import read_csv
from sightline_lab.pretrained import small_checkpoints, tuning_study
from tests.support import command_line, params_files, stage_runs

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("download", "convert", "pretrain", "align", "finetune", "compress", "export", "index", "explain",
          "evaluate", "red_team", "report", "gate")  # fmt: skip
HELD_OUT = 32
SMALL = {
    "launch": "python", "dual_encoder.checkpoint": "clip", "align.tuning": "lora", "align.epochs": 2.0,
    "align.lr_scale": 1.0, "align.fusion_width": 32, "align.matching_samples": 16, "finetune.epochs": 1.0,
    "finetune.width": 32, "finetune.heads": 2, "export.calibration_items": 8, "export.parity_items": 8,
    "explain.items": 1, "red_team.items": 4, "evaluate.bootstrap": 20, "evaluate.splits": ["test"],
    "evaluate.max_items": 0,
    "data.sizes": {"train": 96, "val": HELD_OUT, "test": HELD_OUT, "shift_val": 2, "shift_test": 2,
                   "uniform_test": 2, "novel_test": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A checkout where every stage ran; the lines that they printed are in `said`."""
    here = tmp_path_factory.mktemp("clip")
    taught = tuning_study.pairs(500, "train", tuning_study.ELSEWHERE)
    small_checkpoints.clip(here / "clip", taught, 100, 0)
    params_files.write(here, "smoke", SMALL)
    shutil.copyfile(ROOT / "dvc.yaml", here / "dvc.yaml")
    (here / "said").write_text(stage_runs.run(here, *STAGES), encoding="utf-8")
    return here


def before_tuning(here: Path) -> dict[str, float]:
    rows = read_csv(here / "metrics" / "evaluate" / "retrieval.csv")
    return {
        row["type"]: float(row["value"])
        for row in rows
        if (row["variant"], row["metric"], row["split"]) == ("before tuning", "r1", "test")
    }


def test_the_row_before_tuning_is_the_retrieval_of_transformers(built):
    params = tuning_study.overridden(
        built, built / "clip", tuning_study.Sizes(0, 0, 96, HELD_OUT, 1), "frozen", 7
    )
    step_0 = tuning_study.step_0(built / "clip", params, artifacts.load(built / "data" / "raw", "raw"))
    assert step_0["embedding_difference"] < 1e-5 and step_0["same_ranks"]
    row = before_tuning(built)
    assert set(row) == {"text_to_image", "image_to_text"}
    assert np.mean(list(row.values())) == pytest.approx(step_0["test"], abs=0.01)
    assert step_0["test"] > 5 * 100 / HELD_OUT  # it retrieves: chance is one of them


def test_nothing_is_pretrained_and_validation_is_not_worse(built):
    assert {path.name for path in (built / "models" / "text").iterdir()} >= {"tokenizer.json", "config.json"}
    assert not (built / "models" / "text" / "weights.safetensors").exists()
    assert (built / "models" / "text" / "tokenizer.json").read_bytes() == (
        built / "clip" / "tokenizer.json"
    ).read_bytes()
    card = (built / "models" / "clip" / "README.md").read_text(encoding="utf-8")
    outcome = next(line for line in card.splitlines() if "R@1" in line).split("pretrained clip. ")[1]
    assert "efore tuning" in outcome and outcome in (built / "said").read_text(encoding="utf-8")
    names = artifacts.load_weights(built / "models" / "clip" / "weights.safetensors")
    assert not [name for name in names if "parametrizations" in name]


def test_report_and_summary_say_what_tuning_gained(built):
    summary = read_json(built / "metrics" / "summary.json")
    assert summary["before_tuning"]["test"]["text_to_image_r1"]["pictures"] == HELD_OUT
    report = (built / "metrics" / "report" / "report.md").read_text(encoding="utf-8")
    assert "before tuning" in report and "Shipped minus the pretrained dual encoder before tuning" in report
    parity = read_json(built / "metrics" / "export" / "parity.json")
    assert parity["max_embedding_difference"] < 1e-4 and parity["max_match_difference"] < 1e-3
    variants = read_csv(built / "metrics" / "export" / "variants.csv")
    assert {row["variant"] for row in variants} >= {"fp32", "int8", "int4"}


def test_the_bundle_searches_and_explains_without_torch(built):
    found = command_line.run(built, "search", "a small red cup", "--json", torch=False)
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)["results"]) == 5
    picture = "models/bundle/examples/test-00000.png"
    shown = command_line.run(built, "explain", picture, "--caption", "a red cup", torch=False)
    assert shown.returncode == 0 and "similarity" in shown.stdout, shown.stderr
    refused = command_line.run(built, "explain", "--masked", "a [MASK] cup", code=2)
    assert "fills in no masked words" in refused.stderr
