"""Short answers, POPE and CHAIR against values computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.evaluate import result_files
from sightline.evaluate.metrics import chair, pope, vqa_accuracy
from sightline.evaluate.metrics.chair import Lexicon, plural
from sightline.evaluate.metrics.normalize_answers import normalise, words, yes_no
from sightline.evaluate.metrics.ratios import share


def total(per_item):
    return {key: np.float64(sum(one[key] for one in per_item)) for key in per_item[0]}


def figures(measure, per_item):
    return {name: float(figure(total(per_item))) for name, figure in measure.FIGURES.items()}


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("The Left.", "left", True),
        ("2", "2", True),
        ("two", "2", False),
        ("t-shirt", "T-shirt", True),
        ("", "left", False),
        ("left left", "left", False),
    ],
)
def test_short_answers_match_up_to_case_articles_and_punctuation(answer, truth, right):
    assert (normalise(answer) == normalise(truth)) is right


def test_vqa_accuracy():
    per_item = [
        vqa_accuracy.item_counts(["red"], "Red"),
        vqa_accuracy.item_counts(["red"], "blue"),
        vqa_accuracy.item_counts(["2"], "2"),
        vqa_accuracy.item_counts(["yes"], ""),
    ]
    assert figures(vqa_accuracy, per_item) == {"accuracy": 50.0}
    assert vqa_accuracy.sample_size(total(per_item)) == 4


@pytest.mark.parametrize(
    ("agreed", "right"),
    # Leaving out each of ten people: one of the agreed leaves one fewer, each other one leaves them all.
    [(0, 0), (1, 9 / 3 / 10), (2, (2 / 3 + 8 * 2 / 3) / 10), (3, (3 * 2 / 3 + 7) / 10), (4, 1), (10, 1)],
)
def test_the_soft_accuracy_of_ten_people(agreed, right):
    people = ["Two."] * agreed + [f"other {number}" for number in range(10 - agreed)]
    assert vqa_accuracy.accuracy(people, "2") == pytest.approx(right)


def test_with_few_people_any_of_their_answers_is_right():
    triple = {"answer": "red", "answers": ["red", "dark red", "red"]}
    people = vqa_accuracy.truths(triple)
    assert [vqa_accuracy.accuracy(people, said) for said in ("dark red", "blue")] == [1, 0]
    assert vqa_accuracy.truths({"answer": "red"}) == ["red"]
    confused = result_files.confusion([triple | {"type": "other"}] * 3, ["dark red", "red", "blue"])
    assert [row["actual"] for row in confused] == ["dark red", "red", "red"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, there is.", "yes"),
        ("no", "no"),
        ("No, yes", "no"),
        ("maybe", "invalid"),
        ("", "invalid"),
        ("nothing eyes", "invalid"),
    ],
)
def test_yes_no(text, expected):
    assert yes_no(text) == expected


def test_pope_by_hand():
    # truth yes: 3 yes, 1 no, 1 invalid; truth no: 2 yes, 4 no, 1 invalid -> 12 questions.
    truths = ["yes"] * 5 + ["no"] * 7
    predictions = ["yes", "yes", "yes", "no", "perhaps", "yes", "yes", "no", "no", "no", "no", ""]
    measured = figures(
        pope, [pope.item_counts(truth, answer) for truth, answer in zip(truths, predictions, strict=True)]
    )
    assert measured["accuracy"] == pytest.approx(100 * 7 / 12)  # denominator keeps the invalid answers
    assert measured["precision"] == pytest.approx(100 * 3 / 5)
    assert measured["recall"] == pytest.approx(100 * 3 / 5)
    assert measured["f1"] == pytest.approx(60)
    assert measured["yes_rate"] == pytest.approx(100 * 5 / 12)
    assert measured["false_positive_rate"] == pytest.approx(100 * 2 / 7)
    assert measured["invalid"] == pytest.approx(100 * 2 / 12)
    # R_K: c*s - sum(p_k t_k) = 7*12 - (5*5 + 5*7) = 24; (144 - 25 - 25 - 4)(144 - 25 - 49) = 90 * 70
    assert measured["mcc"] == pytest.approx(100 * 24 / np.sqrt(90 * 70))


@given(st.lists(st.integers(0, 30), min_size=4, max_size=4).filter(lambda cells: sum(cells) > 0))
def test_mcc_without_invalid_answers_is_the_usual_coefficient(cells):
    tp, fp, tn, fn = cells
    counts = dict(zip(("tp", "fp", "tn", "fn"), map(np.float64, cells), strict=True))
    mcc = pope.FIGURES["mcc"]({**counts, "invalid_present": np.float64(0), "invalid_absent": np.float64(0)})
    spread = float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    assert float(mcc) == pytest.approx(100 * (tp * tn - fp * fn) / spread if spread else 0.0, abs=1e-6)


def test_pope_of_a_constant_answer():
    yes = figures(pope, [pope.item_counts(truth, "yes") for truth in ("yes", "no")])
    assert (yes["accuracy"], yes["yes_rate"], yes["false_positive_rate"], yes["mcc"]) == (50, 100, 100, 0)
    mute = figures(pope, [pope.item_counts(truth, "a dog") for truth in ("yes", "no")])
    assert (mute["accuracy"], mute["invalid"], mute["yes_rate"], mute["mcc"]) == (0, 100, 0, 0)


def test_pope_truth_must_be_yes_or_no():
    with pytest.raises(ValueError, match="expected yes or no"):
        pope.item_counts("two", "yes")


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("cube", "cubes"),
        ("box", "boxes"),
        ("berry", "berries"),
        ("boy", "boys"),
        ("bus", "buses"),
        ("fireman", "firemen"),
        ("woman", "women"),
        ("person", "people"),
        ("leaf", "leaves"),
        ("sheep", "sheep"),
        ("tennis racket", "tennis rackets"),
        ("bench", "benches"),
        ("knife", "knives"),
    ],
)
def test_plural(one, many):
    assert plural(one) == many


LEXICON = Lexicon(
    {"cube": ["block"], "ball": [], "hot dog": [], "dog": ["puppy"], "person": ["man", "woman"]}
)


def test_mentions_longest_form_first_with_plurals():
    text = "Two Blocks, a hot dog and hot-dog stands; puppies, people and women. Dogma!"
    assert LEXICON.mentions(text) == ["cube", "hot dog", "dog", "person", "person"]
    assert [mention.many for mention in LEXICON.spans(text)] == [True, False, True, True, True]


def test_chair_by_hand():
    first = chair.item_counts(
        "a cube and two balls and a ball", {"cube", "dog"}, LEXICON
    )  # ball twice, dog left out
    second = chair.item_counts("a cube", {"cube"}, LEXICON)
    measured = figures(chair, [first, second])
    assert measured["chair_i"] == pytest.approx(100 * 2 / 4)
    assert measured["chair_s"] == 50
    assert measured["recall"] == pytest.approx(100 * 2 / 3)
    assert measured["words"] == (8 + 2) / 2


def test_chair_of_silence_is_zero_and_recalls_nothing():
    assert figures(chair, [chair.item_counts("", {"cube"}, LEXICON)]) == {
        "chair_s": 0,
        "chair_i": 0,
        "recall": 0,
        "words": 0,
    }


def test_share_of_nothing_is_zero_elementwise():
    np.testing.assert_array_equal(share(np.array([1.0, 0.0]), np.array([2.0, 0.0])), [50.0, 0.0])


@given(st.text(max_size=40))
def test_any_text_can_be_scored(text):
    assert all(word == word.lower() for word in words(text.lower()))
    chair.item_counts(text, {"cube"}, LEXICON)
    assert vqa_accuracy.item_counts([text], text)["correct"] == 1.0
    assert yes_no(text) in ("yes", "no", "invalid")
