"""The study's book-keeping, with stages that take made-up core-seconds and train nothing."""

import json
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sightline.core.artifacts import read_json, write_json
from sightline.core.params import edit
from sightline.core.params.loader import load_params
from sightline_lab.ablations import cost_model, run_ablations
from sightline_lab.ablations.arms import STAGES, Cost, StudyError
from tests.pipeline.conftest import fresh

SPEED = {"pretrain": (2.0, 8.0), "align": (3.0, 16.0), "finetune": (5.0, 40.0)}  # fixed, an epoch
ARMS = """
default: {why: as it is}
no-mlm: {why: text tower as initialised, changes: {pretrain.epochs: 0}}
"""


class Pretending(run_ablations.Study):
    """Every command ends at once; `calls` says which were given."""

    def __init__(self, checkout: Path, broken: str = ""):
        self.calls, self.broken = [], broken
        super().__init__(checkout)

    def call(self, command, folder, source=None):
        self.calls.append((folder.name, " ".join(Path(part).name for part in command[1:])))
        params = load_params(folder / "params.yaml")
        if command[:2] == ["dvc", "repro"] and command[2] in STAGES:
            if self.broken and self.broken in folder.name:
                raise StudyError("the disk is full")
            for stage in STAGES[: STAGES.index(command[2]) + 1]:
                self._take(folder, stage, params)
            outs = [{"path": "models", "md5": "0123456789abcdef.dir"}]
            lock = {"stages": {stage: {"outs": outs} for stage in STAGES}}
            (folder / "dvc.lock").write_text(json.dumps(lock))
        elif command[1:] == ["-m", "sightline_lab.ablations.evaluate_arm"]:
            write_json(
                folder / run_ablations.FIGURES, {"answers": 50.0 + params.seed, "text_to_image_r1": 1.0}
            )
        elif command[1].endswith(".py"):
            self._take(folder, Path(command[1]).stem, params)

    def _take(self, folder, stage, params):
        fixed, per_epoch = SPEED[stage]
        path = folder / ".resume" / "cost" / f"{params.profile}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        spent = fixed + per_epoch * getattr(params, stage).epochs
        write_json(path, (read_json(path) if path.exists() else {}) | {stage: {"core_seconds": spent}})


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = fresh(tmp_path_factory.mktemp("original") / "sightline").path
    (path / "lab/ablations.yaml").write_text(ARMS, encoding="utf-8")
    (path / run_ablations.RESULT).unlink(missing_ok=True)
    return path


@pytest.fixture
def checkout(original, tmp_path):
    return shutil.copytree(original, tmp_path / "sightline")


def test_costs_are_measured_once(checkout):
    study = Pretending(checkout)
    costs = cost_model.costs(study, study.arms, 2, print)
    assert costs == {
        "pretrain {}": Cost(2.0, 8.0),
        'pretrain {"pretrain.epochs": 0}': Cost(2.0, 0.0),
        "align {}": Cost(3.0, 16.0),
        "finetune {}": Cost(5.0, 40.0),
    }
    again = Pretending(checkout)
    assert cost_model.costs(again, again.arms, 2, print) == costs
    assert again.calls == []


def test_a_profile_that_skips_a_stage_has_its_costs(checkout):
    edit.fill(checkout / "params.yaml", {"pretrain.epochs": 0})
    study = Pretending(checkout)
    assert cost_model.costs(study, study.arms, 2, print)["pretrain {}"] == Cost(2.0, 0.0)


def test_arms_get_the_same_core_seconds_and_a_broken_one_is_run_again(checkout, capsys):
    study = Pretending(checkout, broken="no-mlm")
    with pytest.raises(StudyError, match="no-mlm, seed 7: the disk is full; no-mlm, seed 8"):
        study.run(["no-mlm"], [7, 8], 0.5, 1, print)
    assert not (checkout / run_ablations.RESULT).exists()

    study = Pretending(checkout)
    study.run(["no-mlm"], [7, 8], 0.5, 1, print)
    assert "2 of 4 runs are finished" in capsys.readouterr().out
    assert {name for name, _ in study.calls} == {"run-no-mlm-7", "run-no-mlm-8"}
    result = read_json(checkout / run_ablations.RESULT)
    # smoke has 1, 2 and 2 epochs; with half of the last they cost 2 + 8, 3 + 32 and 5 + 40; without MLM 8
    # more go into an epoch of 40
    assert result["arms"]["no-mlm"]["changes"] == {
        "pretrain.epochs": 0,
        "align.epochs": 2,
        "finetune.epochs": 1.2,
    }
    for arm in result["arms"].values():
        for seed, run in arm["runs"].items():
            assert run["figures"]["answers"] == 50 + int(seed)
            assert sum(run["core_seconds"].values()) == pytest.approx(90.0, abs=0.01)
    assert not list(study.home.glob("scale-0.5/run-*")), "a finished copy is removed"

    study = Pretending(checkout)
    study.run(["no-mlm"], [7, 8], 0.5, 1, print)
    assert study.calls == []


def test_another_plan_or_other_code_starts_anew(checkout):
    study = Pretending(checkout)
    study.run([], [7], 0.5, 1, print)
    assert list(read_json(checkout / run_ablations.RESULT)["arms"]) == ["default"]
    changed = ARMS.replace("changes: {", "changes: {finetune.positions: false, ")
    (checkout / "lab/ablations.yaml").write_text(changed, encoding="utf-8")
    again = Pretending(checkout)
    assert again.home == study.home
    again.run(["no-mlm"], [7], 0.5, 1, print)
    assert {name for name, _ in again.calls if name.startswith("run-")} == {"run-no-mlm-7"}
    source = checkout / "src" / "sightline" / "train" / "schedule.py"
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert Pretending(checkout).home != study.home


def test_copies_hold_the_arm_and_share_the_cache(checkout):
    study = Pretending(checkout)
    study.copy(study.home / "run", {"finetune.joint_block": False, "seed": 9})
    params = load_params(study.home / "run" / "params.yaml")
    assert (params.seed, params.launch, params.finetune.joint_block) == (9, "python", False)
    assert params.finetune.epochs == load_params(checkout / "params.yaml").finetune.epochs
    assert f"dir = {checkout / '.dvc' / 'cache'}" in (study.home / "run" / ".dvc" / "config.local").read_text(
        encoding="utf-8"
    )


def test_unknown_arms_and_knobs_are_refused(checkout):
    with pytest.raises(StudyError, match="no arm no-mml; lab/ablations.yaml has default, no-mlm"):
        Pretending(checkout).run(["no-mml"], [7], 1.0, 1, print)
    (checkout / "lab/ablations.yaml").write_text(ARMS.replace("pretrain.epochs: 0", "align.wrod_weight: 0"))
    with pytest.raises(ValueError, match="align.wrod_weight.*did you mean 'word_weight'"):
        Pretending(checkout).run(["no-mlm"], [7], 1.0, 1, print)


def test_too_noisy_a_measurement_is_refused(checkout, monkeypatch):
    monkeypatch.setitem(SPEED, "finetune", (5.0, 0.0))
    with pytest.raises(StudyError, match="finetune {}.*is lost in noise"):
        Pretending(checkout).run([], [7], 1.0, 1, print)


def test_models_of_other_seeds_are_trained_in_copies_that_differ_in_nothing_else(checkout):
    study = Pretending(checkout)
    folders = study.models([], [7, 8, 9], 2, print)
    copies = [study.home / f"default-{seed}" / "models" / "vlm" for seed in (8, 9)]
    assert folders == {"default": [checkout / "models" / "vlm", *copies]}
    assert sorted(study.calls) == [("default-8", "repro finetune"), ("default-9", "repro finetune")]
    for seed, folder in zip((8, 9), copies, strict=True):
        params, copied = (load_params(path / "params.yaml") for path in (checkout, folder.parents[1]))
        assert copied.seed == seed and copied.finetune.epochs == params.finetune.epochs
        assert copied.align == params.align and copied.pretrain == params.pretrain


def test_models_of_an_arm_get_the_compute_of_the_default(checkout):
    """And a seed's shared stages are trained once before its arms run side by side."""
    study = Pretending(checkout)
    folders = study.models(["no-mlm"], [7, 8], 2, print)
    assert [path.parents[1].name for path in folders["no-mlm"]] == ["no-mlm-7", "no-mlm-8"]
    trained = [name for name, command in study.calls if command == "repro finetune"]
    assert sorted(trained[:2]) == ["default-8", "no-mlm-7"] and trained[2:] == ["no-mlm-8"]
    file = folders["no-mlm"][1].parents[1] / "params.yaml"
    written, before = (YAML(typ="safe").load(path) for path in (file, checkout / "params.yaml"))
    assert written["align"] == before["align"]  # so that DVC finds the stage as another copy ran it
    params = load_params(file)
    whole = load_params(checkout / "params.yaml")
    saved = SPEED["pretrain"][1] * whole.pretrain.epochs
    assert params.seed == 8 and params.pretrain.epochs == 0
    gained = SPEED["finetune"][1] * (params.finetune.epochs - whole.finetune.epochs)
    assert gained == pytest.approx(saved, abs=0.01)
    with pytest.raises(StudyError, match="no arm without-sleep"):
        study.models(["without-sleep"], [7], 2, print)
