"""The gate names variant, figure, value and limit, and stops the pipeline; what so little data cannot tell is
reported and stops nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core import artifacts
from sightline.core.params.quality_params import GateParams
from sightline.evaluate import metrics_summary, quality_gate
from tests.support import params_files

ROOT = Path(__file__).resolve().parents[2]
LIMITS = GateParams(
    min_vqa_accuracy=70.0, min_retrieval_r1=40.0, max_accuracy_drop=1.5, max_logit_difference=1e-4,
    min_map_correlation=0.9, max_pointing_drop=2.0, max_attack_success={},
)  # fmt: skip


def summary(pictures=1000, compared=500, **sabotage):
    figures = {"accuracy": 90.0, "r1": 60.0, "gap": 2e-6, "correlation": 0.97, "pointing": 0.93}
    lost = {"vqa_accuracy": 0.5, "pope_f1": 0.2, "chair_i": 0.1, "text_to_image_r1": -0.3}
    figures |= {name: value for name, value in sabotage.items() if name not in lost}
    lost |= {name: value for name, value in sabotage.items() if name in lost}

    def share(value):
        return {"value": value, "low": value - 10, "high": value + 10, "pictures": pictures}

    return {
        "shipped_variant": "int8",
        "quality": {
            "shipped": {
                "test": {
                    "vqa_accuracy": share(figures["accuracy"]),
                    "text_to_image_r1": share(figures["r1"]),
                }
            }
        },
        "loss_bounds": {
            name: {"least_loss": bound - 2, "loss_bound": bound, "n": 5 * pictures, "pictures": pictures}
            for name, bound in lost.items()
        },
        "parity": {"max_logit_difference": figures["gap"], "items": 48},
        "maps": {
            "n": compared if figures["correlation"] is not None else 0,
            "rank_correlation": figures["correlation"],
            "pointed": compared if figures["pointing"] is not None else 0,
            "pointing_fp32": 0.94,
            "pointing_shipped": figures["pointing"],
        },
    }


def checked(built):
    return {check.figure: check for check in quality_gate.checks(built, LIMITS, "test")}


def test_a_good_summary_passes():
    assert all(check.passed for check in checked(summary()).values())


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
    failed = [check.line() for check in checked(summary(**sabotage)).values() if not check.passed]
    assert failed == [named]


def test_a_figure_at_its_limit_passes():
    at_limit = summary(
        accuracy=70.0, r1=40.0, vqa_accuracy=1.5, gap=1e-4, correlation=0.9, pointing=0.92
    )  # fmt: skip
    assert all(check.passed for check in checked(at_limit).values())


def test_a_missing_figure_is_not_a_passed_one():
    for path in ("quality.shipped.test.text_to_image_r1", "loss_bounds.pope_f1", "parity.items", "maps"):
        *parents, last = path.split(".")
        broken = part = summary()
        for name in parents:
            part = part[name]
        del part[last]
        with pytest.raises(ValueError, match=f"has no {path}"):
            quality_gate.checks(broken, LIMITS, "test")


def test_what_the_data_does_not_have_is_not_tested():
    """No short question, no POPE, nothing known named, no boxes: each says so and none fails."""
    built = summary(pointing=None, correlation=None)
    built["quality"]["shipped"]["test"].pop("vqa_accuracy")
    built["loss_bounds"] |= {name: {"n": 0} for name in ("vqa_accuracy", "pope_f1", "chair_i")}
    checks = list(checked(built).values())
    untested = [check for check in checks if check.passed is None]
    assert len(untested) == 6 and quality_gate.passed(checks)
    lines = [check.line() for check in untested]
    assert (
        "not tested: shipped (int8) pope_f1 loss against fp32 (95 % bound): no POPE question in this data"
        in lines
    )
    assert all(check.plain()["value"] is None for check in untested)
    built["parity"]["max_logit_difference"] = None  # there is no decoder
    notes = [check.note for check in checked(built).values() if check.passed is None]
    assert len(notes) == 7 and notes.count("the model only searches") == 5


def test_a_loss_whose_noise_alone_is_beyond_the_limit_is_not_tested():
    """300 descriptions that name few known things: CHAIR_i is known to 7.4 points, and no loss at all would
    fail a limit of 1.5. Four times the pictures halve the width."""
    noisy = summary(pictures=300)
    noisy["loss_bounds"]["chair_i"] |= {"least_loss": -10.0, "loss_bound": 4.8}
    check = checked(noisy)["chair_i loss against fp32 (95 % bound)"]
    assert (check.passed, check.needed) == (None, 7302)  # 300 * (7.4 / 1.5) ** 2
    noisy["loss_bounds"]["chair_i"] |= {"least_loss": -13.6, "loss_bound": 1.2}  # as noisy, but in its favour
    assert checked(noisy)["chair_i loss against fp32 (95 % bound)"].passed is True
    noisy["loss_bounds"]["chair_i"] |= {"least_loss": 1.6, "loss_bound": 16.4}  # a certain loss
    assert checked(noisy)["chair_i loss against fp32 (95 % bound)"].passed is False


def test_a_limit_that_so_few_pictures_cannot_support_is_not_tested():
    """A loss of at most 1.5 points: of n pictures without any it is below 300 / n, so 200 are needed."""
    few = checked(summary(pictures=199, vqa_accuracy=1.6))
    assert few["vqa_accuracy loss against fp32 (95 % bound)"].passed is None
    assert few["vqa_accuracy loss against fp32 (95 % bound)"].line() == (
        "not tested: shipped (int8) vqa_accuracy loss against fp32 (95 % bound) is 1.6, must be at most 1.5: "
        "n = 199, at least 200 needed"
    )
    enough = checked(summary(pictures=200, vqa_accuracy=1.6))
    assert enough["vqa_accuracy loss against fp32 (95 % bound)"].passed is False
    # 90 perfect correlations could still hide a mean of 1 - 6 / 90; 0.9 needs 60, a drop of 2 points 150
    maps = checked(summary(compared=59, correlation=0.89, pointing=0.91))
    assert [
        (check.passed, check.needed) for name, check in maps.items() if name.startswith("maps'")
    ] == [(None, 60), (None, 150)]  # fmt: skip


def test_a_loss_that_is_certain_fails_also_with_few_pictures():
    figure = "chair_i loss against fp32 (95 % bound)"
    assert checked(summary(pictures=12, chair_i=6.0))[figure].passed is False
    assert checked(summary(pictures=4, chair_i=6.0))[figure].passed is None
    maps = checked(summary(compared=50, correlation=0.7, pointing=0.8))
    assert [check.passed for name, check in maps.items() if name.startswith("maps'")] == [False, False]


@pytest.mark.parametrize(
    ("value", "pictures", "outcome"),
    [(81.0, 3, True), (79.0, 99, None), (79.0, 100, True), (61.0, 99, None), (61.0, 100, False),
     (59.0, 99, False), (59.0, 4, None)],
)  # fmt: skip
def test_a_floor_counts_the_interval_while_pictures_are_few(value, pictures, outcome):
    """70 % wanted; the interval is 10 points to either side."""
    assert checked(summary(pictures=pictures, accuracy=value))["test vqa_accuracy"].passed is outcome


def test_the_stage_writes_its_verdict_and_ends_with_1(tmp_path):

    params_files.write(tmp_path, "scenes")
    (tmp_path / "metrics").mkdir()
    for gap, code in ((2e-6, 0), (0.1, 1)):
        (tmp_path / metrics_summary.FILE).write_text(json.dumps(summary(gap=gap)))
        told = {"summary": artifacts.sha256(tmp_path / metrics_summary.FILE)}
        with artifacts.create(tmp_path / metrics_summary.REPORT, "metrics", told):
            pass
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
        untested = [check for check in verdict["checks"] if "attacked nothing" in check.get("note", "")]
        assert len(untested) == 1 and len(verdict["checks"]) == 10
        assert verdict["checks"][0]["n"] == 1000 and verdict["checks"][0]["needed"] == 100


def test_a_changed_summary_is_refused(tmp_path):
    (tmp_path / "metrics").mkdir()
    file = tmp_path / metrics_summary.FILE
    file.write_text(json.dumps(summary()))
    with artifacts.create(tmp_path / metrics_summary.REPORT, "metrics", {"summary": artifacts.sha256(file)}):
        pass
    assert metrics_summary.read(tmp_path) == summary()
    file.write_text(file.read_text().replace("80.0", "90.0", 1) + " ")
    with pytest.raises(artifacts.ArtifactError, match="summary.json: expected sha256 .* dvc repro report"):
        metrics_summary.read(tmp_path)
