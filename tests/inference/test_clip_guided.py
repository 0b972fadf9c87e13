"""Choosing among candidates of a description, over a numpy toy engine."""

import numpy as np
import pytest

from sightline.data.questions.prompt_template import DESCRIBE
from sightline.inference import describe as guided
from sightline.inference.confidence import NOT_FITTED
from sightline.inference.decoding.clip_guided import Guide
from sightline.inference.session import SPIN_OFF, Session
from tests.support import tiny
from tests.support.toy_engine import ToyEngine

PREPROCESS = {"crop_size": {"height": 8}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}


@pytest.fixture(scope="module")
def session():
    tokenizer = tiny.tokenizer()
    engine = ToyEngine(vocab=tokenizer.size, sharpness=0.5)
    engine.config |= {"max_answer": 9, "vocab_size": tokenizer.size}
    lengths = {"max_new": 6, "max_question": 16, "max_text": 20}
    return Session(engine, tokenizer, PREPROCESS, lengths | {"spin": SPIN_OFF, "confidence": NOT_FITTED})


def described(session, picture, **settings):
    return guided.describe(session, picture, DESCRIBE, Guide(**settings))


def test_one_candidate_held_against_nothing_is_the_answer(session):
    for picture in tiny.pictures(3):
        plain = session.answer([picture], [DESCRIBE])[0]
        found = described(session, picture, candidates=1, strength=0.0)
        assert found.candidates == [plain.text] == [found.answer.text] and found.answer.ids == plain.ids
        assert found.answer.probability == pytest.approx(plain.probability)
        clean = described(session, picture, candidates=1, strength=2.0, noise=0)  # both views are the picture
        assert clean.answer.text == plain.text


def test_the_candidate_most_like_the_picture_is_said(session):
    later = 0
    for picture in tiny.pictures(6):
        plain = session.answer([picture], [DESCRIBE])[0]
        found = described(session, picture, candidates=5, strength=0.0, temperature=2.0, nucleus=1.0)
        assert found.candidates[0] == plain.text and len(found.candidates) == 5
        expected = session.embed_texts(found.candidates) @ session.embed_images([picture])[0]
        np.testing.assert_allclose(found.likeness_C, expected, atol=1e-6)
        best = int(expected.argmax())
        assert found.answer.text == found.candidates[best]
        later += best > 0
    assert later > 0


def test_the_seed_decides_what_is_drawn(session):
    picture = tiny.pictures(1)[0]
    knobs = {"candidates": 6, "temperature": 2.0, "nucleus": 1.0}
    first, again, other = (described(session, picture, **knobs, seed=seed) for seed in (1, 1, 2))
    assert first.candidates == again.candidates != other.candidates


def test_noise_held_against_a_picture_changes_what_is_drawn(session):
    knobs = {"candidates": 6, "temperature": 2.0, "nucleus": 1.0, "plausible": 1e-9}
    said = {
        strength: [described(session, picture, **knobs, strength=strength).candidates
                   for picture in tiny.pictures(4)]
        for strength in (0.0, 5.0)
    }  # fmt: skip
    assert said[0.0] != said[5.0]


def test_the_bundle_says_how_it_describes(session):
    assert guided.of_bundle(session).plain  # a bundle of 0.8.0 says nothing

    def saying(describe):
        settings = session.generation | {"describe": describe}
        return guided.of_bundle(Session(session.engine, session.tokenizer, PREPROCESS, settings))

    assert saying({"candidates": 1, "strength": 0.0}).plain
    assert saying({"candidates": 8, "strength": 1.0}) == Guide(candidates=8, strength=1.0)
    more, words = {"candidates": 8, "strength": 1.0, "more": 1}, {"candidates": "8", "strength": 1.0}
    for wrong in ({"candidates": 8}, [8], more, words):
        with pytest.raises(ValueError, match="describe is .*expected numbers: candidates, strength"):
            saying(wrong)


@pytest.mark.parametrize(
    "bad, named",
    [
        ({"candidates": 0}, "candidates is 0, expected at least 1"),
        ({"strength": -1.0}, "strength is -1.0, expected at least 0"),
        ({"noise": 1001}, "noise is 1001, expected in 0..1000"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"nucleus": 0.0}, "top_p must be in"),
        ({"plausible": 0.0}, "plausible in"),
    ],
)
def test_impossible_settings_are_refused(session, bad, named):
    with pytest.raises(ValueError, match=named):
        described(session, tiny.pictures(1)[0], **bad)
