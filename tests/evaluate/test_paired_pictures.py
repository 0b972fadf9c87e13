"""Two models measured at different times, compared picture by picture."""

import json
from functools import partial

import pytest

from sightline.evaluate import collect_predictions, evaluation, paired_pictures, quality_gate
from tests.evaluate.test_evaluation import setting
from tests.support import scripted

PICTURES = 60


def measured(folder, data, lying):
    """What the evaluation writes of a model that sees everything, or of one that always says the same."""
    of_data, load = setting(*data), partial(scripted.Scripted, lying=lying)
    outputs = {name: collect_predictions.predict(load, of_data, ["off"]) for name in ("fp32", "shipped")}
    evaluation.evaluate(outputs, None, of_data, folder / "metrics", folder / "plots")
    return folder / "metrics"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(metrics of a good model, of a sabotaged one, on the same pictures; of a good one on other pictures)"""
    folder = tmp_path_factory.mktemp("paired")
    data = scripted.build(folder / "data", PICTURES)
    other = scripted.build(folder / "other", PICTURES, extra=" and nothing else")
    return (
        measured(folder / "good", data, False),
        measured(folder / "bad", data, True),
        measured(folder / "elsewhere", other, False),
    )


def checks(after, before):
    pair = paired_pictures.read(after), paired_pictures.read(before)
    bounds = paired_pictures.compare(*pair, 200, 7)
    return quality_gate.loss_checks(bounds, 1.5, "version 2", "version 1")


def test_a_worse_model_loses_what_it_answers_worse(models):
    good, bad, _ = models
    failed = {check.figure: check for check in checks(bad, good) if check.passed is False}
    assert {name.split()[0] for name in failed} == {"vqa_accuracy", "pope_f1", "chair_i"}
    accuracy = failed["vqa_accuracy loss against version 1 (95 % bound)"]
    assert accuracy.value == 100.0 and accuracy.n == PICTURES
    assert not [check for check in checks(good, bad) if check.passed is False]


def test_a_model_loses_nothing_against_itself(models):
    good, _, _ = models
    bounds = paired_pictures.compare(paired_pictures.read(good), paired_pictures.read(good), 200, 7)
    assert {name: bound["value"] for name, bound in bounds.items()} == dict.fromkeys(bounds, 0.0)
    assert all(bound["pictures"] == PICTURES for bound in bounds.values())


def test_pictures_that_were_asked_otherwise_are_not_compared(models):
    good, _, elsewhere = models
    pair = paired_pictures.read(good), paired_pictures.read(elsewhere)
    assert paired_pictures.shared(*pair) == (0, PICTURES)
    assert {bound["n"] for bound in paired_pictures.compare(*pair, 200, 7).values()} == {0}


def test_of_a_grown_test_split_only_shared_pictures_count_and_ranks_do_not(models, tmp_path):
    good, bad, _ = models
    path = paired_pictures.file_of("test")
    document = json.loads((bad / path).read_text())
    document["pictures"] = document["pictures"][: PICTURES // 2]
    for group in document["groups"]:
        group["counts"] = {name: counts[: PICTURES // 2] for name, counts in group["counts"].items()}
    (tmp_path / path).write_text(json.dumps(document))
    pair = paired_pictures.read(good), paired_pictures.read(tmp_path)
    assert paired_pictures.shared(*pair) == (PICTURES // 2, PICTURES)
    bounds = paired_pictures.compare(*pair, 200, 7)
    assert bounds["vqa_accuracy"]["pictures"] == PICTURES // 2 and bounds["vqa_accuracy"]["value"] == 100.0
    assert bounds["text_to_image_r1"] == {"n": 0}


def test_a_damaged_file_is_named(models, tmp_path):
    (tmp_path / paired_pictures.file_of("test")).write_text('{"split": "test", "pictures": 3, "groups": []}')
    with pytest.raises(ValueError, match="per_picture-test.json: pictures: .*dvc repro evaluate"):
        paired_pictures.read(tmp_path)
