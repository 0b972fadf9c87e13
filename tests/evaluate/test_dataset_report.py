"""Figures of a tiny made-up data set, counted by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.data.questions.lexicons.photos import Photos
from sightline.data.scenes import sample
from sightline.evaluate.dataset_report import object_statistics, question_statistics, text_statistics
from tests.support import tiny

PICTURES = [{"boat", "moon"}, {"boat", "moon"}, {"boat"}, {"moon"}, {"cube"}, {"cube"}, {"cube"}, set()]
NAMES = ["boat", "cube", "moon"]


def test_words_are_those_of_the_tokenizer_without_punctuation():
    assert text_statistics.words("A dog's T-shirt, café!") == ["a", "dog", "s", "t", "shirt", "cafe"]
    assert text_statistics.words("...") == []


def test_summary_by_hand():
    assert text_statistics.summary([3, 1, 1, 7]) == {
        "n": 4, "min": 1, "mean": 3.0, "median": 2.0, "p95": 6.4, "max": 7,
        "histogram": {"1": 2, "3": 1, "7": 1},
    }  # fmt: skip
    assert text_statistics.summary([]) == {"n": 0, "histogram": {}}


@given(st.lists(st.integers(0, 200), min_size=1))
def test_summary_is_that_of_numpy(values):
    result = text_statistics.summary(values)
    assert result["median"] == np.median(values) and result["p95"] == round(np.percentile(values, 95), 3)
    assert sum(result["histogram"].values()) == len(values)


def test_tokens_are_counted_with_their_frame_and_cut_at_the_limit():
    coder = tiny.tokenizer()
    texts = [tiny.CAPTIONS[3], "two \N{SNOWMAN}"]
    lengths = [len(coder.encode(text, 100)) for text in texts]
    result = text_statistics.tokens(texts, coder, lengths[1])
    assert result["histogram"] == {str(n): 1 for n in sorted(lengths)} and result["cut_share"] == 0.5
    assert result["unknown_share"] == round(1 / (sum(lengths) - 4), 6)


def test_vocabulary_by_hand():
    train, test = Counter(a=5, dog=2, cat=1, cow=1), Counter(a=3, fox=1)
    result = text_statistics.vocabulary(train, None)
    assert (result["running"], result["different"], result["once"]) == (9, 4, 2)
    assert result["top"] == [["a", 5], ["dog", 2], ["cat", 1], ["cow", 1]]
    assert result["frequencies"] == {"1": 2, "2": 1, "5": 1}
    result = text_statistics.vocabulary(test, train)
    assert (result["unknown_running_share"], result["unknown_different_share"]) == (0.25, 0.5)


def test_pairs_and_biases_by_hand():
    alone_K, both_KK = object_statistics.counts(PICTURES, NAMES)
    assert alone_K.tolist() == [3, 3, 3]
    assert both_KK.tolist() == [[0, 0, 2], [0, 0, 0], [2, 0, 0]]
    result = object_statistics.bias("boat", "moon", 30, 20, 30, 80)
    assert (result["share"], result["base"], result["lift"]) == (0.666667, 0.375, 1.778)
    # Wilson: (p + z²/2n - z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) with p = 2/3, n = 30, z = 1.96
    assert object_statistics.wilson_low(20, 30) == pytest.approx(0.48780, abs=1e-5)
    assert result["strength"] == pytest.approx(0.48780 - 0.375, abs=1e-5)


def test_a_pair_is_listed_once_and_by_its_stronger_direction():
    alone_K, both_KK = np.array([100, 200]), np.array([[0, 90], [90, 0]])
    result = object_statistics.biases(alone_K, both_KK, 1000, ["mug", "ring"])
    assert [(row["given"], row["then"]) for row in result] == [("mug", "ring")]
    few = object_statistics.biases(np.array([3, 3]), np.array([[0, 2], [2, 0]]), 8, ["mug", "ring"])
    assert few == []  # 2 of 3 against 3 of 8 is no evidence


def test_an_object_and_its_kind_are_no_bias():
    assert (
        object_statistics.biases(np.array([90, 100]), np.array([[0, 90], [90, 0]]), 1000, ["boy", "person"])
        == []
    )
    assert object_statistics.object_names({"captions": ["a boy throws a ball"]}, Photos()) == {
        "boy",
        "child",
        "person",
        "ball",
    }


def test_the_built_in_pairs_of_scenes_are_the_strongest():
    scenes = [sample.sample(7, "train", index) for index in range(600)]
    pictures = [object_statistics.object_names({"scene": scene}, Photos()) for scene in scenes]
    names = sorted(sample.KINDS)
    result = object_statistics.biases(*object_statistics.counts(pictures, names), len(pictures), names)
    assert {(row["given"], row["then"]) for row in result[:4]} == set(sample.BIAS.items())
    table = object_statistics.colors(({"scene": scene} for scene in scenes), names, ["red", "pink"])
    assert table["cube"]["red"] == 0 and table["cross"]["pink"] == 0 and table["cube"]["pink"] > 0


def triple(kind, question, answer):
    return {"type": kind, "question": question, "answer": answer}


def test_balance_by_hand():
    train = [triple("existence", "Is there a cat?", "yes")] * 3 + [
        triple("existence", "Is there a dog?", "no")
    ] * 4
    questions = [
        triple("existence", "Is there a cat?", "yes"),
        triple("existence", "Is there a cat?", "no"),
        triple("existence", "Is there a dog?", "no"),
        triple("existence", "Is there a cow?", "no"),
        triple("pope_random", "Is there a dog?", "no"),
        triple("describe", "Describe.", "a cat"),
    ]
    result = question_statistics.balance(questions, question_statistics.AnswerPrior(train))
    assert result["describe"] == {"n": 1}
    row = result["existence"]
    assert (row["n"], row["different"], row["answers"], row["yes_share"]) == (
        4,
        2,
        [["no", 3], ["yes", 1]],
        0.25,
    )
    assert row["majority"] == {"answer": "no", "share": 0.75}
    assert row["entropy_bits"] == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)), abs=1e-4)
    # train's most frequent answer is no: right 3 of 4; to the same question: yes, yes, no, and no for the cow
    assert (row["train_answer_share"], row["train_question_share"]) == (0.75, 0.75)
    assert result["pope_random"]["train_answer_share"] == 1.0  # takes existence's answer
    assert result["pope_random"]["entropy_share"] == 0.0


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 50), min_size=1))
def test_entropy_is_between_nothing_and_all_alike(counts):
    bits = question_statistics.entropy(Counter(counts))
    assert 0 <= bits <= math.log2(len(counts)) + 1e-9
