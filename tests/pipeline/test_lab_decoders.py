"""`sightline lab decoders` through the real DVC and the real stages, on the smoke profile."""

import json

import pytest

from sightline.core.artifacts import read_json, write_json
from sightline_lab.ablations import arms as planning
from sightline_lab.ablations import run_ablations
from sightline_lab.ablations.workspaces import FOLDER
from sightline_lab.decoders import decoder_arms, decoders_page
from tests.support import command_line

COMMAND = command_line.command(
    "lab", "decoders", "--seeds", "1", "--scale", "0.25", "--jobs", "1", "--answers", "64"
)


@pytest.mark.full
def test_both_decoders_are_trained_and_compared(experiment_repo):
    repo = experiment_repo
    folder = repo.path / FOLDER / "language_model"
    causal = decoder_arms.arms(folder)[decoder_arms.CAUSAL].changes
    study = run_ablations.Study(repo.path)
    study.home.mkdir(parents=True, exist_ok=True)
    costs = {  # made up: measuring them would take most of a minute
        "pretrain {}": {"fixed": 3.0, "per_epoch": 0.2},
        "align {}": {"fixed": 3.1, "per_epoch": 1.0},
        "finetune {}": {"fixed": 4.0, "per_epoch": 2.4},
        planning.configuration("finetune", causal): {"fixed": 4.0, "per_epoch": 4.8},
    }
    write_json(study.home / "calibration.json", costs)
    repo.run(*COMMAND)
    result = read_json(repo.path / decoders_page.RESULT)["profiles"]["smoke"]
    assert set(result["arms"]) == {"default", "causal"} and result["seeds"] == [7]
    epochs = {name: arm["changes"]["finetune.epochs"] for name, arm in result["arms"].items()}
    assert epochs["causal"] == epochs["default"] / 2  # an epoch of it costs twice as much
    assert str(repo.path) not in json.dumps(result)
    for arm in result["arms"].values():
        figures = arm["runs"]["7"]["figures"]
        assert all(0 <= value <= 100 for value in figures.values()) and "answers" in figures
    assert result["exported"]["items"] == 64 and result["exported"]["answers_different"] == 0
    page = (repo.path / decoders_page.PAGE).read_text(encoding="utf-8")
    assert "| answers, mean of types |" in page and "causal minus own" in page
