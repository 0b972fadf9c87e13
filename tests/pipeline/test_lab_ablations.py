"""`sightline lab study` through the real DVC and the real stages, on the smoke profile."""

import re
import signal
import subprocess

from sightline.core.artifacts import read_json, write_json
from sightline_lab.ablations import run_ablations
from tests.support import command_line

COSTS = {  # as measured once on an idle machine; measuring anew would take most of a minute
    "pretrain {}": {"fixed": 3.0, "per_epoch": 0.2},
    'pretrain {"pretrain.epochs": 0}': {"fixed": 2.9, "per_epoch": 0.0},
    "align {}": {"fixed": 3.1, "per_epoch": 1.0},
    "finetune {}": {"fixed": 4.0, "per_epoch": 2.4},
}
COMMAND = command_line.command(
    "lab", "study", "--arms", "without-mlm", "--seeds", "1", "--scale", "0.25", "--jobs", "1"
)


def test_a_study_that_is_stopped_goes_on(experiment_repo):
    repo, before = experiment_repo, experiment_repo.run("git", "status", "--porcelain").stdout
    study = run_ablations.Study(repo.path)
    study.home.mkdir(parents=True)
    write_json(study.home / "calibration.json", COSTS)

    with subprocess.Popen(COMMAND, cwd=repo.path, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("default, seed 7"):
                process.send_signal(signal.SIGTERM)
                break
    assert process.returncode != 0
    assert [path.name for path in study.home.glob("scale-0.25/*.json")] == ["default-7.json"]

    done = repo.run(*COMMAND)
    assert "1 of 2 runs are finished" in done.stdout
    result = read_json(repo.path / "metrics" / "ablations.json")
    assert set(result["arms"]) == {"default", "without-mlm"} and result["seeds"] == [7]
    # an epoch of MLM costs 0.3 core-seconds more than none; fine-tuning pays 2.4 an epoch
    assert result["arms"]["without-mlm"]["changes"]["finetune.epochs"] == 0.625
    for arm in result["arms"].values():
        found = arm["runs"]["7"]
        assert set(found["core_seconds"]) == {"pretrain", "align", "finetune"}
        assert all(seconds > 0.5 for seconds in found["core_seconds"].values())
        assert {"answers", "existence", "chair_i", "recall", "text_to_image_r1", "swapped_kind"} <= set(
            found["figures"]
        )
        assert all(0 <= value <= 100 for value in found["figures"].values())
    page = (repo.path / "docs" / "reports" / "ablations.md").read_text(encoding="utf-8")
    assert re.search(r"^\| without mlm \| [\d.]+ \|", page, flags=re.M)  # one seed has no deviation
    assert (repo.path / "docs" / "reports" / "ablations.svg").stat().st_size > 10_000
    written = {"metrics/ablations.json", "docs/reports/ablations.md", "docs/reports/ablations.svg"}
    after = {line[3:] for line in repo.run("git", "status", "--porcelain").stdout.splitlines()}
    assert after - {line[3:] for line in before.splitlines()} <= written
