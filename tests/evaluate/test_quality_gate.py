"""The gate names variant, figure, value and limit, and stops the pipeline."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core.params.quality_params import GateParams
from sightline.evaluate import quality_gate
from tests.support import params_files

ROOT = Path(__file__).resolve().parents[2]
LIMITS = GateParams(
    min_vqa_accuracy=70.0, min_retrieval_r1=40.0, max_accuracy_drop=1.5, max_logit_difference=1e-4,
    min_map_correlation=0.9, max_pointing_drop=2.0,
)  # fmt: skip


def summary(**sabotage):
    figures = {"accuracy": 90.0, "r1": 60.0, "gap": 2e-6, "correlation": 0.97, "pointing": 0.93}
    lost = {"vqa_accuracy": 0.5, "pope_f1": 0.2, "chair_i": 0.1, "text_to_image_r1": -0.3}
    figures |= {name: value for name, value in sabotage.items() if name not in lost}
    lost |= {name: value for name, value in sabotage.items() if name in lost}
    quality = {"vqa_accuracy": {"value": figures["accuracy"]}, "text_to_image_r1": {"value": figures["r1"]}}
    return {
        "shipped_variant": "int8",
        "quality": {"shipped": {"test": quality}},
        "loss_bounds": {name: {"loss_bound": bound} for name, bound in lost.items()},
        "parity": {"max_logit_difference": figures["gap"]},
        "maps": {
            "rank_correlation": figures["correlation"],
            "pointing_fp32": 0.94,
            "pointing_shipped": figures["pointing"],
        },
    }


def test_a_good_summary_passes():
    assert all(check.passed for check in quality_gate.checks(summary(), LIMITS, "test"))


@pytest.mark.parametrize(
    ("sabotage", "named"),
    [
        ({"accuracy": 69.9}, "FAILED: shipped (int8) test vqa_accuracy is 69.9, must be at least 70"),
        ({"r1": 39.0}, "FAILED: shipped (int8) test text_to_image_r1 is 39, must be at least 40"),
        *(
            (
                {name: 1.6},
                f"FAILED: shipped (int8) {name} loss against fp32 (95 % bound) is 1.6, must be at most 1.5",
            )
            for name in quality_gate.RELATIVE
        ),
        (
            {"correlation": 0.85},
            "FAILED: shipped (int8) maps' rank_correlation with fp32 is 0.85, must be at least 0.9",
        ),
        (
            {"pointing": 0.915},
            "FAILED: shipped (int8) maps' pointing_game drop against fp32 is 2.5, must be at most 2",
        ),
        ({"gap": 2e-4}, "FAILED: fp32 parity max_logit_difference is 0.0002, must be at most 0.0001"),
    ],
)
def test_a_sabotaged_summary_fails_naming_the_figure(sabotage, named):
    failed = [
        check.line() for check in quality_gate.checks(summary(**sabotage), LIMITS, "test") if not check.passed
    ]
    assert failed == [named]


def test_a_figure_at_its_limit_passes():
    at_limit = summary(
        accuracy=70.0, r1=40.0, vqa_accuracy=1.5, gap=1e-4, correlation=0.9, pointing=0.92
    )  # fmt: skip
    assert all(check.passed for check in quality_gate.checks(at_limit, LIMITS, "test"))


def test_a_missing_figure_is_not_a_passed_one():
    broken = summary()
    del broken["quality"]["shipped"]["test"]["text_to_image_r1"]
    with pytest.raises(ValueError, match="quality.shipped.test.text_to_image_r1"):
        quality_gate.checks(broken, LIMITS, "test")


def test_maps_are_checked_where_the_data_allows():
    """Photos have no boxes; a split without short questions has no maps to compare."""
    for unknown, checked in (({"pointing": None}, 8), ({"pointing": None, "correlation": None}, 7)):
        checks = quality_gate.checks(summary(**unknown), LIMITS, "test")
        assert len(checks) == checked and all(check.passed for check in checks)
    broken = summary()
    del broken["maps"]
    with pytest.raises(ValueError, match="has no maps"):
        quality_gate.checks(broken, LIMITS, "test")


def test_the_stage_writes_its_verdict_and_ends_with_1(tmp_path):

    params_files.write(tmp_path, "scenes")
    (tmp_path / "metrics").mkdir()
    for gap, code in ((2e-6, 0), (0.1, 1)):
        (tmp_path / "metrics/summary.json").write_text(json.dumps(summary(gap=gap)))
        ended = subprocess.run(
            [sys.executable, ROOT / "stages/gate.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == code, ended.stderr
        assert ("FAILED: fp32 parity max_logit_difference is 0.1" in ended.stdout) == (code == 1)
        verdict = json.loads((tmp_path / "metrics/gate/gate.json").read_text())
        assert verdict["passed"] is (code == 0)
        assert len(verdict["checks"]) == 9
