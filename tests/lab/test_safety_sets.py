"""The sets that the safety filters are measured on, and the figures of them."""

from pathlib import Path

import numpy as np
import pytest

from sightline.core.artifacts import read_json
from sightline.serve.safety.personal_data import FINDERS
from sightline.serve.safety.policy import CATEGORIES
from sightline.serve.safety.screen import Screen
from sightline.serve.safety.text_folding import words
from sightline_lab.safety import caption_sets, measure, question_sets, safety_page, training
from sightline_lab.safety.measure import Case, rate
from sightline_lab.safety.question_sets import DEVELOPMENT, PARAPHRASES, TEST

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def screen():
    return Screen(str(ROOT / "deploy" / "safety" / "default.yaml"))


def test_no_wording_of_the_test_is_one_of_the_development():
    assert question_sets.wordings(ROOT, TEST) & question_sets.wordings(ROOT, DEVELOPMENT) == set()
    assert len(question_sets.wordings(ROOT, PARAPHRASES)) > 40


def test_no_question_of_the_test_is_trained_on():
    trained = {question.text.casefold() for question in training.questions(ROOT, DEVELOPMENT)}
    held_out = {question.text.casefold() for question in question_sets.read(ROOT, [*TEST, *PARAPHRASES])}
    assert held_out and trained & held_out == set()


def test_the_same_questions_give_the_same_weights_and_are_learned(screen, tmp_path):
    labelled = question_sets.read(ROOT, ["development"])
    for name in ("one", "two"):
        training.train(labelled, screen.rules.lexicon).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    classifier = training.QuestionClassifier.load(tmp_path / "one", len(CATEGORIES))
    right = [
        (_likely(classifier, screen, question.text).max() > 0.5) == bool(question.category)
        for question in labelled
    ]
    assert np.mean(right) > 0.95


def test_the_shipped_weights_are_those_of_the_questions_and_the_lists(screen):
    labelled = training.questions(ROOT, DEVELOPMENT)
    trained = training.train(labelled, screen.rules.lexicon)
    texts = [question.text for question in labelled[::50]]
    shipped, anew = (
        {text: _likely(classifier, screen, text) for text in texts}
        for classifier in (screen.classifier, trained)
    )
    far = [text for text in texts if anew[text] != pytest.approx(shipped[text], abs=0.05)]
    assert texts and far == [], "sightline lab safety --train"


def _likely(classifier, screen, text):
    return classifier.probabilities(screen.rules.lexicon.annotated(words(text)))


def test_the_test_is_as_large_as_the_page_says():
    questions = question_sets.read(ROOT, TEST)
    caught = [question for question in questions if question.category]
    assert len(caught) >= 500 and {question.category for question in caught} == set(CATEGORIES)
    assert read_json(ROOT / safety_page.RESULT)["all_wrong"]["n"] >= 2000
    assert not any("{" in question.text for question in questions)


def test_the_figures_are_those_of_the_rules_and_the_questions(screen):
    written = read_json(ROOT / safety_page.RESULT)
    assert measure.questions(ROOT, screen, TEST) == written["test"], "sightline lab safety"


def test_captions_are_drawn_alike_and_hold_what_they_say(screen):
    one, two = (
        caption_sets.read(ROOT, screen.rules.blocked_words, np.random.default_rng(3)) for _ in range(2)
    )
    assert one == two
    assert {caption.kind for caption in one} == {*FINDERS, "blocked_word", None}


def test_a_rate_has_an_interval_over_wordings():
    cases = [Case("", "a", True)] * 10 + [Case("", "b", False)] * 10
    found = rate(cases)
    assert (found["n"], found["acted"], found["value"], found["wordings"]) == (20, 10, 50.0, 2)
    assert found["by_wording"] == {"value": 50.0, "low": 0.0, "high": 100.0}
    assert 29 < found["low"] < 31 and 69 < found["high"] < 71  # Wilson, by hand: 0.299 to 0.701


def test_a_test_set_is_read_for_the_first_time_once():
    result = {"caught": 1, "all_wrong": 2}
    first = measure.first_readings(ROOT, [{"test": "old"}], result)
    assert [one["test"] for one in first][0] == "old" and len(first) == 2
    assert measure.first_readings(ROOT, first, {"caught": 9, "all_wrong": 9}) == first
