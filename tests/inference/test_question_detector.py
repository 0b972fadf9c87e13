"""Scores of questions by hand, the bound, the file, and what a bundle does with them."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.data.questions.triples import Triples
from sightline.inference import question_detector
from sightline.inference.question_detector import QuestionDetector, pair_counts
from sightline.inference.session import Session
from tests.support import serving, tiny

ASKED = ["Is it red?", "Is it blue?", "What is it?"]


def triples(folder, split, questions):
    lines = [json.dumps({"item": 0, "question": question}) + "\n" for question in questions]
    (folder / f"{split}.jsonl").write_text("".join(lines))
    return Triples(folder, split)


def test_counts_and_score_by_hand():
    pairs = pair_counts(ASKED)
    assert pairs == {
        "": {"is": 2, "what": 1},
        "blue": {"": 1},
        "is": {"it": 3},
        "it": {"": 1, "blue": 1, "red": 1},
        "red": {"": 1},
        "what": {"is": 1},
    }
    known = QuestionDetector(pairs, 0.0)
    # 12 pairs; "it" ends a question once in three, with three followers; an end is 3 of the 12 words.
    assert known._probability("it", "") == pytest.approx((1 + 3 * 3 / 12) / 6)
    assert known.score("is it?") == pytest.approx(-math.log2((1 + 0.75) / 6), abs=1e-6)
    # "it red" after "what is": the least expected step is "red" after "it", (1 + 3 / 12) / 6.
    assert known.score("What is it red") == pytest.approx(-math.log2(1.25 / 6), abs=1e-6)


def test_unknown_words_and_none_have_no_finite_score():
    known = QuestionDetector(pair_counts(ASKED), 99.0)
    assert known.unknown("Is the car red?") == ["the", "car"]
    for question in ("Is the car red?", "", "?!", "asdf qwer", "¿Es rojo?"):
        assert known.score(question) == math.inf and known.unlike(question)
    assert not known.unlike("IS IT RED")  # case and punctuation are the asker's


@given(st.permutations(ASKED))
def test_the_order_of_the_questions_does_not_matter(asked):
    assert json.dumps(pair_counts(asked)) == json.dumps(pair_counts(ASKED))


@pytest.mark.parametrize("question", ["这是什么颜色", "これは何ですか", "สีอะไร"])
def test_languages_without_spaces_are_read_letter_by_letter(question):
    assert question_detector.words(question) == [
        letter for letter in question if letter.isalnum() or "ี" == letter
    ]
    assert not QuestionDetector(pair_counts([question]), 9.0).unlike(question)


def test_the_bound_is_the_percentile_of_val(tmp_path):
    val = [*ASKED, "Is it is it red?", "Is it a cat?"]
    known = question_detector.fit(triples(tmp_path, "train", ASKED * 9), triples(tmp_path, "val", val), 75.0)
    scores = sorted(known.score(question) for question in val if not known.unknown(question))
    assert len(scores) == 4 and known.bound == pytest.approx(scores[2] + 0.25 * (scores[3] - scores[2]))
    assert known.unlike("Is it is it red?") and not known.unlike("Is it red?")


def test_without_questions_in_val_those_of_train_give_the_bound(tmp_path):
    train, val = triples(tmp_path, "train", ASKED), triples(tmp_path, "val", [])
    known = question_detector.fit(train, val, 100.0)
    assert known.bound == max(map(known.score, ASKED)) and not any(map(known.unlike, ASKED))


def test_saved_and_loaded(tmp_path):
    known = QuestionDetector(pair_counts(ASKED), 2.5)
    known.save(tmp_path)
    loaded = QuestionDetector.load(tmp_path)
    assert loaded is not None and (loaded.pairs, loaded.bound) == (known.pairs, 2.5)
    assert QuestionDetector.load(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "document", [[], {"bound": -1, "pairs": {}}, {"bound": 1}, {"bound": 1, "pairs": {"a": {"b": 0}}}]
)
def test_a_file_with_other_things_is_named(tmp_path, document):
    (tmp_path / question_detector.FILE).write_text(json.dumps(document))
    with pytest.raises(ValueError, match="questions.json.*index stage"):
        QuestionDetector.load(tmp_path)


def test_a_bundle_is_never_sure_of_a_foreign_question(tmp_path, tiny_graphs):
    session = Session.load(serving.build_bundle(tmp_path, tiny_graphs))
    session.settings = session.settings.replaced(
        confidence=session.settings.confidence.replaced(sure_above=0.0)
    )
    short, questions = session.settings.generation.replaced(max_tokens=1), [tiny.QUESTIONS[0], "asdf qwer"]
    together = session.answer(tiny.pictures(2), questions, short, batch_size=2)
    alone = [session.answer(tiny.pictures(1), [question], short)[0] for question in questions]
    assert [answer.sure for answer in together] == [answer.sure for answer in alone] == [True, False]
    exported = Session.load_variant(tmp_path / "onnx", "fp32")
    assert not exported.question_is_unlike("asdf qwer")
