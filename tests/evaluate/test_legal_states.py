"""Data without short questions, without POPE or without known things, and a model that only searches, are
evaluated, reported and gated by what there is."""

import json

import numpy as np
import pytest

from sightline.evaluate import (
    chart_tables,
    collect_predictions,
    evaluation,
    metrics_report,
    metrics_summary,
    ood_detection,
    quality_gate,
    result_files,
)
from tests.evaluate.test_evaluation import EXPORTED, GREEDY, SPIN, reds
from tests.evaluate.test_quality_gate import LIMITS
from tests.support import scripted

NO_MAPS = {
    "method": "cross_attention", "n": 0, "rank_correlation": None, "pointed": 0, "pointing_fp32": None,
    "pointing_shipped": None,
}  # fmt: skip


class Searching(scripted.Scripted):
    """It searches and cannot answer."""

    answers = False

    def answer(self, *arguments, **more):
        raise AssertionError("asked, though it does not answer")

    score_captions = answer


def reported(folder, kept, session=scripted.Scripted, gap=2e-6):
    """(figures by family, summary, checks by figure) of a build whose questions are those that are `kept`."""
    raw, vqa = scripted.build(folder, scenes=False)
    for path in vqa.glob("*.jsonl"):
        lines = [line for line in path.read_text().splitlines() if kept(path.stem, json.loads(line)["type"])]
        path.write_text("".join(f"{line}\n" for line in lines))
    setting = collect_predictions.Setting(raw, vqa, scripted.evaluate_params(), GREEDY, SPIN, 7)
    spins = {"fp32": ["off"], "shipped": collect_predictions.SPINS}
    outputs = {name: collect_predictions.predict(session, setting, spins[name]) for name in spins}
    blind = scripted.Scripted(lying=True) if session.answers else None
    evaluation.evaluate(outputs, blind, setting, folder / "m", folder / "p")
    scripted.write_domain(ood_detection.picture_rows(reds, 4.0, setting), folder / "m")
    figures, paired = metrics_report.read(folder / "m"), result_files.read_csv(folder / "m" / "paired.csv")
    parity = {"max_logit_difference": gap, "items": 3}
    built = metrics_summary.build(figures, paired, EXPORTED, parity, NO_MAPS, {}, ["Few pictures."])
    checks = {check.figure: check for check in quality_gate.checks(built, LIMITS, "test")}
    compressed = EXPORTED if session.answers else []
    text = metrics_report.markdown(figures, paired, built, EXPORTED, compressed, list(checks.values()))
    assert "- Few pictures." in text and "nan" not in text
    assert all(f"- {check.line()}" in text for check in checks.values())
    chart_tables.write(figures, built["spin"], folder / "charts")
    assert quality_gate.passed(list(checks.values()))
    assert json.dumps(built, allow_nan=False)
    return figures, built, checks


def test_descriptions_only(tmp_path):
    figures, built, checks = reported(tmp_path, lambda split, kind: kind == "describe")
    assert not figures["vqa"] and not figures["pope"] and not figures["calibration"]
    assert figures["caption"] and figures["chair"] and figures["retrieval"]
    assert built["answers"] == {} and built["loss_bounds"]["vqa_accuracy"] == {"n": 0}
    assert checks["test vqa_accuracy"].note == "no short question in this data"
    assert set(metrics_summary.headline(built)) == {"text_to_image_r1", "megabytes"}
    assert result_files.read_csv(tmp_path / "p" / "confusion.csv") == []
    assert result_files.read_csv(tmp_path / "p" / "abstention.csv") == []


def test_short_questions_in_train_alone(tmp_path):
    figures, _, checks = reported(tmp_path, lambda split, kind: split == "train" or kind == "describe")
    assert not figures["vqa"] and checks["test vqa_accuracy"].passed is None


def test_one_short_question(tmp_path):
    """Some resamples of the pictures leave out the one that it is about."""
    left = iter([True])
    figures, _, checks = reported(
        tmp_path,
        lambda split, kind: split == "train" or kind == "describe" or (kind == "color" and next(left, False)),
    )
    counts = {row["n"] for row in figures["vqa"] + figures["abstention"] if row["metric"] != "coverage"}
    assert counts == {"1"} and checks["test vqa_accuracy"].n == 1


def test_no_pope(tmp_path):
    figures, _, checks = reported(tmp_path, lambda split, kind: not kind.startswith("pope"))
    assert figures["vqa"] and not figures["pope"]
    note = checks["pope_f1 loss against fp32 (95 % bound)"].note
    assert note == "no POPE question in this data"


def test_captions_that_name_no_known_thing(tmp_path, monkeypatch):
    build = scripted.build

    def without_lexicon(folder, **more):
        raw, vqa = build(folder, **more)
        (vqa / "config.json").write_text(json.dumps({"objects": {}}))
        return raw, vqa

    monkeypatch.setattr(scripted, "build", without_lexicon)
    figures, built, checks = reported(tmp_path, lambda split, kind: kind == "describe")
    assert not figures["chair"] and figures["caption"]
    assert not [name for name in built["quality"]["shipped"]["test"] if "chair" in name]
    assert checks["chair_i loss against fp32 (95 % bound)"].passed is None


def test_a_model_that_only_searches(tmp_path):
    figures, built, checks = reported(tmp_path, lambda split, kind: True, Searching, gap=None)
    assert {family for family, rows in figures.items() if rows} == {"retrieval", "domain"}
    kinds = {row["type"] for row in figures["retrieval"]}
    assert kinds == {
        f"{way}{by}" for way in ("text_to_image", "image_to_text") for by in ("", "_reranked")
    }  # fmt: skip
    assert not list((tmp_path / "m").glob("predictions-*")) and built["spin"] == "off"
    assert checks["test text_to_image_r1"].value == 50  # each second caption is that of another picture too
    assert checks["parity max_logit_difference"].note == "the model only searches"


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_pictures(tmp_path, monkeypatch, count):
    build = scripted.build
    monkeypatch.setattr(scripted, "build", lambda folder, **more: build(folder, count, **more))
    figures, built, checks = reported(tmp_path, lambda split, kind: kind == "describe")
    assert float(next(row["value"] for row in figures["retrieval"] if row["metric"] == "r10")) == 100
    assert built["loss_bounds"]["text_to_image_r1"]["pictures"] == count
    assert checks["text_to_image_r1 loss against fp32 (95 % bound)"].passed is None
    assert np.isfinite([float(row["value"]) for rows in figures.values() for row in rows]).all()
