"""What each arm may spend, by hand."""

from pathlib import Path

import pytest

from sightline_lab.ablations import arms
from sightline_lab.ablations.arms import Arm, Cost, StudyError

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = {"pretrain": 0.5, "align": 2.0, "finetune": 1.0}
COSTS = {
    "pretrain {}": Cost(4.0, 20.0),  # default: 4 + 10
    "align {}": Cost(6.0, 50.0),  # 6 + 100
    "finetune {}": Cost(10.0, 200.0),  # 10 + 200
    'pretrain {"pretrain.epochs": 0}': Cost(3.0, 0.0),
    'align {"align.epochs": 0}': Cost(5.0, 0.0),
    'align {"align.word_weight": 0.0}': Cost(6.0, 40.0),
    'finetune {"finetune.joint_block": false}': Cost(9.0, 150.0),
}
BUDGET = 330.0


def plan(changes, repays="finetune", costs=COSTS, epochs=EPOCHS):
    every = {
        "default": Arm("default", "", {}, "finetune"),
        "other": Arm("other", "", changes, repays),
    }
    return arms.plan(every, epochs, costs)


def test_the_default_keeps_its_epochs():
    planned = plan({"pretrain.epochs": 0})["default"]
    assert planned.changes == {"pretrain.epochs": 0.5, "align.epochs": 2.0, "finetune.epochs": 1.0}
    assert sum(planned.core_seconds.values()) == BUDGET


@pytest.mark.parametrize(
    "changes, repays, repaid",
    [
        # 330 - 3 (untrained text tower) - 106 - 10 = 211 core-seconds of fine-tuning at 200 an epoch
        ({"pretrain.epochs": 0}, "finetune", {"finetune.epochs": 1.055}),
        # 330 - 3 - 5 - 10 = 312
        ({"pretrain.epochs": 0, "align.epochs": 0}, "finetune", {"finetune.epochs": 1.56}),
        # 330 - 14 - 210 - 6 = 100 of aligning at 40
        ({"align.word_weight": 0.0}, "align", {"align.epochs": 2.5}),
        # 330 - 14 - 106 - 9 = 201 at 150
        ({"finetune.joint_block": False}, "finetune", {"finetune.epochs": 1.34}),
    ],
)
def test_what_a_change_saves_is_trained_elsewhere(changes, repays, repaid):
    planned = plan(changes, repays)["other"]
    default = {f"{stage}.epochs": value for stage, value in EPOCHS.items()}
    assert planned.changes == default | changes | repaid
    assert sum(planned.core_seconds.values()) == pytest.approx(BUDGET, abs=0.02)  # epochs have four decimals


def test_an_arm_that_cannot_repay_is_refused():
    dear = COSTS | {"finetune {}": Cost(400.0, 200.0), "align {}": Cost(1.0, 1.0)}
    dear['align {"align.word_weight": 0.0}'] = Cost(1000.0, 40.0)
    with pytest.raises(StudyError, match="arm 'other': -.* core-seconds are left to train align"):
        plan({"align.word_weight": 0.0}, "align", dear)


def test_configurations_are_shared_between_arms():
    shipped = arms.read(ROOT / "lab/ablations.yaml")
    names = arms.configurations(shipped)
    assert len(names) == len(set(names))
    assert names[0] == "pretrain {}"
    scratch, without = shipped["from-scratch"], shipped["without-alignment"]
    assert arms.configuration("finetune", scratch.changes) == arms.configuration("finetune", without.changes)
    assert arms.configuration("align", scratch.changes | {"align.word_weight": 0.0}) == (
        'align {"align.epochs": 0}'
    )


@pytest.mark.parametrize(
    "text, fragments",
    [
        ("other: {why: x}", ["default"]),
        ("default: {why: x}\nodd: {why: x, change: {}}", ["'odd'", "why, changes, repays"]),
        ("default: {why: x}\nodd: {changes: {}}", ["'odd'", "why"]),
        ("default: {why: x}\nodd: {why: x, repays: export}", ["'odd'", "'export'", "pretrain, align"]),
        ("default: {why: x, changes: {lr: 0.1}}", ["changes nothing"]),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, fragments):
    path = tmp_path / "ablations.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as error:
        arms.read(path)
    assert str(path) in str(error.value)
    assert all(fragment in str(error.value) for fragment in fragments)


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"finetune.epochs": 1.2}, "align"),
        ({"decoder.tower": "hf", "compress.head_ratio": 0.0}, "align"),
        ({"align.epochs": 2, "finetune.epochs": 1.2}, "pretrain"),
        ({"pretrain.epochs": 0}, "convert"),
        ({"text.width": 64}, "convert"),
        ({}, "finetune"),
    ],
)
def test_what_arms_share_ends_before_what_they_change(changes, shared):
    assert arms.last_shared([{}, changes, changes]) == shared
