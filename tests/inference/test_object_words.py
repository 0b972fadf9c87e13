"""The least likely object word of a description: found, its probability by hand, fitted on val."""

import json
import math

import pytest

from sightline.core.params.generation import SPIN_OFF
from sightline.core.preprocessing import Preprocessing
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.questions.triples import Triples
from sightline.inference import fit_object_words, object_words
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.object_words import ObjectWords
from sightline.inference.question_detector import words
from sightline.inference.session import Session
from tests.support import tiny
from tests.support.toy_engine import ToyEngine

GREEDY = greedy_generation(tiny.MAX_ANSWER)


@pytest.fixture
def session():
    tokenizer = tiny.tokenizer()
    engine = ToyEngine(vocab=tokenizer.size, sharpness=0.5)
    engine.config |= {"max_answer": tiny.MAX_ANSWER, "vocab_size": tokenizer.size}
    preprocessing = Preprocessing.plain(8, [0.5] * 3, [0.25] * 3)
    return Session(engine, tokenizer, preprocessing, tiny.settings())


def written(session):
    """Words that the model writes about the pictures of the data."""
    return {
        word for answer in session.answer(tiny.pictures(8), [DESCRIBE] * 8) for word in words(answer.text)
    }


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return tiny.raw(tmp_path_factory.mktemp("data") / "raw")


def triples(folder, count, kind="describe"):
    rows = [{"item": n % 8, "type": kind, "question": DESCRIBE, "answer": "a cup"} for n in range(count)]
    (folder / "val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Triples(folder, "val")


def read(text, forms, per_token):
    tokenizer = tiny.tokenizer()
    ids = tokenizer.encode_answer(text, 99)[1:-1]
    logprobs = [math.log(per_token.get(word, 0.5)) for word in tokenizer.pieces(ids)]
    return ObjectWords(forms, 0.1).least_probability(tokenizer, ids, logprobs)


def test_only_object_words_count_and_the_least_likely_is_taken():
    probabilities = {"red": 0.01, "ball": 0.9, "cup": 0.3}
    assert read("a red ball left of a cup", ("ball", "cup"), probabilities) == pytest.approx(0.3)
    assert read("a red ball left of a cup", ("ball",), probabilities) == pytest.approx(0.9)
    assert read("a red", ("ball", "cup"), probabilities) is None


def test_a_thing_of_several_words_is_as_likely_as_all_of_them():
    probabilities = {"red": 0.5, "ball": 0.4}
    assert read("a red ball", ("red ball", "red"), probabilities) == pytest.approx(0.2)  # the longest form
    assert read("a red cube", ("red ball", "red"), probabilities) == pytest.approx(0.5)


def test_an_answer_says_it_where_the_bundle_has_the_words(session):
    pictures = tiny.pictures(6)
    described = session.answer(pictures, [DESCRIBE] * 6)
    assert [answer.object_probability for answer in described] == [None] * 6
    word = words(described[0].text)[0]
    session.object_words = ObjectWords([word], 0.1)
    told = session.answer(pictures, [DESCRIBE] * 6)
    short = session.answer(pictures[:1], [tiny.QUESTIONS[1]], GREEDY.replaced(max_tokens=2))[0]
    assert [answer.ids for answer in told] == [answer.ids for answer in described]
    named = [word in words(answer.text) for answer in told]
    assert named[0] and [answer.object_probability is not None for answer in told] == named
    assert 0 < told[0].object_probability <= 1 and short.object_probability is None


def test_a_tenth_of_vals_descriptions_is_doubtful(session, items, tmp_path):
    val, objects = triples(tmp_path, 256), {word: [] for word in written(session)}
    found = fit_object_words.fit(session, items, val, objects, GREEDY, SPIN_OFF, 10**6)
    again = fit_object_words.fit(session, items, val, objects, GREEDY, SPIN_OFF, 10**6)
    assert found is not None and session.object_words is None  # it is the bundle's, not the variant's
    assert (again.bound, again.reference) == (found.bound, found.reference)
    assert set(found.forms) == set(objects)
    doubtful = 1.0 - found.reference.share_above(found.bound)
    # Eight pictures are described again and again: whole eighths are at or below the bound.
    assert 0.1 <= doubtful <= 0.1 + 1 / 8
    found.save(tmp_path)
    loaded = ObjectWords.load(tmp_path)
    assert (loaded.forms, loaded.bound, loaded.reference) == (found.forms, found.bound, found.reference)


@pytest.mark.parametrize(("count", "kind", "named"), [(255, "describe", True), (256, "color", True),
                                                      (256, "describe", False)])  # fmt: skip
def test_too_little_to_tell_fits_nothing(session, items, tmp_path, count, kind, named):
    val, objects = triples(tmp_path, count, kind), {word: [] for word in written(session)} if named else {}
    assert fit_object_words.fit(session, items, val, objects, GREEDY, SPIN_OFF, 10**6) is None


def test_a_file_with_other_things_is_named(tmp_path):
    assert ObjectWords.load(tmp_path) is None
    (tmp_path / object_words.FILE).write_text(json.dumps({"forms": ["cup"], "bound": 2.0}))
    with pytest.raises(ValueError, match="object_words.json.*index stage"):
        ObjectWords.load(tmp_path)
