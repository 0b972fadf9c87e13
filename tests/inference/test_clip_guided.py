"""Choosing among candidates of a description, over a numpy toy engine."""

import numpy as np
import pytest

from sightline.core.preprocessing import Preprocessing
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.inference import describing
from sightline.inference.bundle_settings import BundleSettings, greedy_generation
from sightline.inference.decoding import clip_guided
from sightline.inference.session import Session
from tests.support import tiny
from tests.support.toy_engine import ToyEngine

PREPROCESS = Preprocessing.plain(8, [0.5] * 3, [0.25] * 3)
GREEDY = greedy_generation(6)
HOT = GREEDY.replaced(temperature=2.0, top_p=1.0)


@pytest.fixture(scope="module")
def session():
    tokenizer = tiny.tokenizer()
    engine = ToyEngine(vocab=tokenizer.size, sharpness=0.5)
    engine.config |= {"max_answer": 9, "vocab_size": tokenizer.size}
    return Session(
        engine, tokenizer, PREPROCESS, BundleSettings(max_question=16, max_text=20, generation=GREEDY)
    )


def described(session, picture, generation, **how):
    return session.answer([picture], [DESCRIBE], generation, **how)[0]


def test_contrast_without_noise_is_the_likeliest_answer(session, monkeypatch):
    monkeypatch.setattr(clip_guided, "NOISE_STEPS", 0)  # both views are the picture
    for picture in tiny.pictures(3):
        plain = described(session, picture, GREEDY)
        clean = described(session, picture, GREEDY.replaced(contrast=2.0))
        assert (plain.decoding, clean.decoding) == ("greedy", "contrast")
        assert (clean.text, clean.ids) == (plain.text, plain.ids) and clean.candidates == []
        assert clean.probability == pytest.approx(plain.probability)


def test_the_candidate_most_like_the_picture_is_the_answer(session):
    later = 0
    for picture in tiny.pictures(6):
        plain = described(session, picture, GREEDY)
        answer = described(session, picture, HOT.replaced(candidates=5))
        texts = [text for text, _ in answer.candidates]
        assert texts[0] == plain.text and len(texts) == 5 and answer.decoding == "candidates"
        expected = session.embed_texts(texts) @ session.embed_images([picture])[0]
        np.testing.assert_allclose([likeness for _, likeness in answer.candidates], expected, atol=1e-6)
        best = int(expected.argmax())
        assert answer.text == texts[best]
        later += best > 0
    assert later > 0


def test_short_questions_are_answered_by_the_likeliest_words(session):
    pictures, question = tiny.pictures(3), tiny.QUESTIONS[0]
    for changed in (
        {"candidates": 5},
        {"contrast": 2.0},
        {"method": "sampling"},
        {"method": "beam", "beams": 3},
    ):
        answers = session.answer(pictures, [question] * 3, HOT.replaced(**changed))
        assert answers == session.answer(pictures, [question] * 3, GREEDY)


def test_a_description_is_the_same_among_others_and_every_time(session):
    pictures, generation = tiny.pictures(4), HOT.replaced(candidates=4, contrast=1.0)
    questions = [DESCRIBE, tiny.QUESTIONS[0], DESCRIBE, DESCRIBE]
    together = session.answer(pictures, questions, generation, batch_size=3)
    assert len(together) == 4
    for picture, answer in zip(pictures[2:], together[2:], strict=True):
        assert described(session, picture, generation) == answer


def test_the_chosen_description_brings_maps_of_its_words(session):
    for picture in tiny.pictures(3):
        generation = HOT.replaced(candidates=5)
        answer = described(session, picture, generation, need_maps=True)
        assert answer.ids == described(session, picture, generation).ids
        assert answer.maps_LHTM.shape == (2, 4, len(answer.ids), 4 + len(answer.question_ids))
        np.testing.assert_allclose(answer.maps_LHTM.sum(-1), 1.0, atol=1e-5)  # softmax rows in float32


def test_the_seed_decides_what_is_drawn(session, monkeypatch):
    picture, generation = tiny.pictures(1)[0], HOT.replaced(candidates=6)
    first = described(session, picture, generation).candidates
    assert first == described(session, picture, generation).candidates
    monkeypatch.setattr(describing, "SEED", 2)
    assert described(session, picture, generation).candidates != first


def test_noise_held_against_a_picture_changes_what_is_drawn(session, monkeypatch):
    monkeypatch.setattr(clip_guided, "PLAUSIBLE", 1e-9)
    hot = HOT.replaced(candidates=6)
    texts = {
        contrast: [
            [text for text, _ in described(session, picture, hot.replaced(contrast=contrast)).candidates]
            for picture in tiny.pictures(4)
        ]
        for contrast in (0.0, 5.0)
    }  # fmt: skip
    assert texts[0.0] != texts[5.0]


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"candidates": 0}, "candidates"),
        ({"contrast": -1.0}, "contrast"),
        ({"temperature": 0.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"candidates": "8"}, "candidates"),
        ({"method": "beam", "candidates": 2}, "method: got .*, allowed: greedy, where candidates"),
        ({"method": "sampling", "contrast": 1.0}, "method: got .*, allowed: greedy, where candidates"),
        ({"seed": 1}, "seed"),
    ],
)
def test_impossible_settings_are_refused(changed, named):
    with pytest.raises(ValueError, match=named):
        GREEDY.replaced(**changed)
