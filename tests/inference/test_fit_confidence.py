"""What is fitted on val: temperature and bound of a session's own short answers."""

import json

import numpy as np
import pytest

from sightline.core.params.generation import SPIN_OFF
from sightline.data.questions.triples import Triples
from sightline.inference import calibration_data, fit_confidence
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.confidence import NOT_FITTED, calibrated, fit_temperature
from sightline.inference.session import Session
from tests.support import tiny

PIXELS = 10**6


@pytest.fixture(scope="module")
def session(root):
    return Session.open(root, "fp32")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return tiny.raw(tmp_path_factory.mktemp("data") / "raw")


def triples(folder, rows):
    folder.mkdir(exist_ok=True)
    (folder / "val.jsonl").write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    return Triples(folder, "val")


def asked(session, items, truths):
    """One question per picture of `items`; where `truths` says so its answer is the model's own."""
    from sightline.data.images import decode

    rows = []
    for number, right in enumerate(truths):
        picture = decode(items.image_bytes(items[number]), PIXELS)
        one = calibration_data.Questions([picture], [tiny.QUESTIONS[1]], ["red"])
        said = calibration_data.answer(session, one)[0]
        answer = said.text if right else "small"
        rows.append({"item": number, "type": "existence", "question": tiny.QUESTIONS[1], "answer": answer})
    return rows


def test_fitted_on_what_the_session_answers(session, items, tmp_path):
    rows = asked(session, items, [True, False, True, False]) * 25
    extra = [
        {"item": 0, "type": "describe", "question": tiny.QUESTIONS[2], "answer": "no"},
        {"item": 0, "type": "pope_random", "question": tiny.QUESTIONS[1], "answer": "no"},
        {"item": 8, "type": "existence", "question": tiny.QUESTIONS[1], "answer": "no"},  # has no picture
    ]
    found = fit_confidence.fit(session, items, triples(tmp_path, rows + extra), 100.0, PIXELS)
    from sightline.data.images import decode

    pictures = [decode(items.image_bytes(items[row["item"]]), PIXELS) for row in rows]
    said = session.answer(
        pictures,
        [row["question"] for row in rows],
        greedy_generation(8),
        SPIN_OFF,
        batch_size=calibration_data.BATCH,
    )
    limit = session.engine.config["max_answer"]
    right = [
        answer.ids == session.tokenizer.encode(row["answer"], limit)[1:-1]
        for answer, row in zip(said, rows, strict=True)
    ]
    probability = np.array([answer.probability for answer in said])
    assert found.temperature == fit_temperature(probability, np.array(right))
    confidence = calibrated(probability, found.temperature)
    assert all(np.array(right)[confidence > found.sure_above])


def test_too_few_short_questions_make_no_answer_sure(session, items, tmp_path, capsys):
    described = {"item": 0, "type": "describe", "question": tiny.QUESTIONS[2], "answer": "no"}
    for short in ([], asked(session, items, [True, False, True])):
        found = fit_confidence.fit(session, items, triples(tmp_path, [described, *short]), 95.0, PIXELS)
        assert found == NOT_FITTED
        assert f"val has {len(short)} short questions, 100 are enough" in "".join(capsys.readouterr())
