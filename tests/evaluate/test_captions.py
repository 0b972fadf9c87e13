"""BLEU and CIDEr-D: by hand, against stored values of the reference implementation, and their bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.evaluate.metrics import captioning

REFERENCES = [
    ["A dog runs across the green grass .", "The brown dog is running on grass", "a dog plays outside"],
    ["Two children play on the beach .", "Kids run in the sand by the sea", "two kids play in the sand"],
    ["A man rides a red bike down the street", "the man is on a bike", "A cyclist rides down a road ."],
]
DESCRIPTIONS = ["a dog runs on the grass", "two kids play on the beach", "a man rides a bike on a road"]


def figures(descriptions, references):
    per_item = captioning.corpus_counts(descriptions, references)
    counts = {key: np.array([sum(one[key] for one in per_item)]) for key in per_item[0]}
    return {name: float(figure(counts)[0]) for name, figure in captioning.FIGURES.items()}


def test_bleu_by_hand():
    """Papineni et al., section 2.1: "the the the the the the the" has a clipped precision of 2 / 7."""
    references = ["The cat is on the mat.", "There is a cat on the mat."]
    scores = figures(["the the the the the the the"], [references])
    assert scores["bleu_1"] == pytest.approx(100 * 2 / 7)
    assert scores["bleu_2"] == scores["bleu_4"] == 0.0
    # "a dog runs": 3 of 3 words, 2 of 2 pairs, 1 of 1 triple; the closest reference has 4 words.
    scores = figures(["a dog runs"], [["a dog runs fast", "one two three four five six seven"]])
    assert scores["bleu_1"] == pytest.approx(100 * math.exp(1 - 4 / 3))
    assert scores["bleu_3"] == pytest.approx(100 * math.exp(1 - 4 / 3))
    assert scores["bleu_4"] == 0.0  # it has no four words in a row


def test_the_brevity_penalty_takes_the_closest_reference_and_the_shorter_of_two():
    assert captioning.corpus_counts(["a b c"], [["a b c d", "a b", "a b c d e"]])[0]["reference_words"] == 2.0
    assert captioning.corpus_counts(["a b c"], [["a b c d e", "a b c d"]])[0]["reference_words"] == 4.0


def test_bleu_is_of_the_corpus_not_the_mean_of_sentences():
    references = [["a b c d"], ["e f g h"]]
    assert figures(["a b c d", "x x x x"], references)["bleu_1"] == 50.0
    assert figures(["a b c d", "x"], references)["bleu_1"] == pytest.approx(100 * 4 / 5 * math.exp(1 - 8 / 5))


def test_cider_d_by_hand():
    """Two pictures, one word each: weight log 2, so a description equal to its reference has cosine 1 in
    words and none in longer n-grams: a quarter of the best. With one word more, the same product over the
    longer vector, and the penalty exp(-1 / 72)."""
    references = [["dog"], ["cat"]]
    assert figures(["dog", "cat"], references)["cider_d"] == pytest.approx(1000 / 4)
    assert figures(["dog", "dog"], references)["cider_d"] == pytest.approx(1000 / 8)
    longer = captioning.corpus_counts(["dog cat", "cat"], references)[0]["cider"]
    assert longer == pytest.approx(1000 / 4 / math.sqrt(2) * math.exp(-1 / 72))
    # Repeating is clipped: the product stays that of one, the vector grows to 2 log 2.
    twice = captioning.corpus_counts(["dog dog", "cat"], references)[0]["cider"]
    assert twice == pytest.approx(1000 / 4 / 2 * math.exp(-1 / 72))


def test_equals_the_reference_implementation():
    """Values of pycocoevalcap 1.2 (BleuScorer with option closest, CiderScorer) on the same words."""
    scores = figures(DESCRIPTIONS, REFERENCES)
    expected = {
        "bleu_1": 85.959555,
        "bleu_2": 77.122228,
        "bleu_3": 61.326894,
        "bleu_4": 44.135718,
        "cider_d": 256.130525,
    }
    # pycocoevalcap adds 1e-9 to its counts
    assert scores == pytest.approx(expected, abs=1e-5)


def test_a_description_equal_to_a_reference_scores_best_and_an_empty_one_scores_0():
    perfect = figures([texts[0] for texts in REFERENCES], REFERENCES)
    assert perfect["bleu_1"] == perfect["bleu_4"] == 100.0
    assert figures(["", "", ""], REFERENCES) == dict.fromkeys(captioning.FIGURES, 0.0)


@given(st.lists(st.text("ab ", max_size=12), min_size=1, max_size=4))
def test_figures_stay_in_their_range_for_any_text(descriptions):
    scores = figures(descriptions, [["a b", "b b a"]] * len(descriptions))
    assert all(0.0 <= scores[f"bleu_{order}"] <= 100.0 + 1e-9 for order in captioning.ORDERS)
    assert 0.0 <= scores["cider_d"] <= 1000.0 + 1e-9
