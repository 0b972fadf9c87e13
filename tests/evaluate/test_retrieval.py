"""Ranks, ties, re-ranking and the swapped-kind test, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.evaluate import majority_baseline, oracle
from sightline.evaluate.metrics import retrieval, swapped_object
from sightline.evaluate.metrics.chair import Lexicon


def recall(ranks):
    counts = [retrieval.item_counts(rank) for rank in ranks]
    summed = {key: sum(count[key] for count in counts) for key in counts[0]}
    return {name: float(figure(summed)) for name, figure in retrieval.FIGURES.items()}


def test_ranks_by_hand_with_two_captions_per_picture():
    similarity = np.array([[0.9, 0.1, 0.5, 0.4], [0.2, 0.3, 0.8, 0.9]])
    owner = np.array([0, 0, 1, 1])
    np.testing.assert_array_equal(retrieval.image_to_text_ranks(similarity, owner), [1, 1])
    # caption 1 (of picture 0) scores 0.1 there and 0.3 on picture 1
    np.testing.assert_array_equal(retrieval.text_to_image_ranks(similarity, owner), [1, 2, 1, 1])


def test_captions_of_the_same_image_are_no_distractors():
    similarity = np.array([[0.5, 0.5, 0.6, 0.1], [0, 0, 1, 1]])
    assert retrieval.image_to_text_ranks(similarity, np.array([0, 0, 1, 1])).tolist() == [2, 1]


def test_ties_count_against_the_model():
    equal = np.ones((4, 4))
    assert retrieval.image_to_text_ranks(equal, np.arange(4)).tolist() == [4] * 4
    assert retrieval.text_to_image_ranks(equal, np.arange(4)).tolist() == [4] * 4


def test_similarity_ties_equal_embeddings_whatever_the_last_bits():
    image = np.array([[0.6, 0.8]], np.float32)
    text = np.array([[1.0, 0.0], [1.0, 1e-8]], np.float32)
    assert len(set(retrieval.similarity(image, text)[0])) == 1


def test_recall_at_k():
    recalls = recall([1, 2, 5, 6, 10, 11, 1, 1])
    assert {name: recalls[name] for name in ("r1", "r5", "r10")} == {"r1": 37.5, "r5": 62.5, "r10": 87.5}
    # 1 / log2(1 + rank): three of 1, then 0.63093, 0.38685, 0.35621, 0.28906, and nothing beyond ten
    assert recalls["ndcg10"] == pytest.approx(100 * 4.66305 / 8, abs=1e-3)
    expected = retrieval.chance(1000)
    assert (expected["r1"], expected["r5"], expected["r10"]) == (0.1, 0.5, 1.0)
    assert retrieval.chance(2)["ndcg10"] == pytest.approx(100 * (1 + 0.63093) / 2, abs=1e-3)
    assert retrieval.chance(4)["r10"] == 100


@given(st.integers(2, 12), st.integers(0, 10_000))
def test_ranks_agree_with_sorting_when_nothing_ties(size, seed):
    similarity = np.random.default_rng(seed).permutation(size * size).reshape(size, size).astype(float)
    order = np.argsort(-similarity, axis=1)
    expected = [1 + int(np.flatnonzero(order[i] == i)[0]) for i in range(size)]
    assert retrieval.image_to_text_ranks(similarity, np.arange(size)).tolist() == expected
    assert retrieval.text_to_image_ranks(similarity.T, np.arange(size)).tolist() == expected


def test_reranking():
    scores = np.array([[0.1, 0.9, 0.5], [0.7, 0.7, 0.1], [0.3, 0.2, 0.1]])
    right = np.array([[False, True, False], [True, False, False], [False, False, False]])
    # first lifted to 1; second ties and loses; third was not among the candidates: at least rank 4
    assert retrieval.reranked_ranks(scores, right, np.array([2, 1, 7])).tolist() == [1, 2, 7]
    assert retrieval.reranked_ranks(scores[2:], right[2:], np.array([2])).tolist() == [4]


def test_candidates_are_best_first_and_stable():
    assert retrieval.candidates(np.array([[0.5, 0.9, 0.5]]), 2).tolist() == [[1, 0]]


def test_retrieval_ceiling_is_limited_by_equal_captions():
    of_images, of_texts = oracle.ranks(["a", "b", "a"], np.array([0, 1, 2]), 3)
    assert of_texts.tolist() == [2, 1, 2] and of_images.tolist() == [2, 1, 2]


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_the_ceiling_is_that_of_the_whole_table(images, seed):
    """Few words, so that captions are shared, also twice by one picture."""
    draw = np.random.default_rng(seed)
    owner_T = np.concatenate([np.arange(images), draw.integers(images, size=8)])
    texts = [f"caption {draw.integers(4)}" for _ in owner_T]
    has = {(int(owner), text) for owner, text in zip(owner_T, texts, strict=True)}
    table_IT = np.array([[float((image, text) in has) for text in texts] for image in range(images)])
    of_images, of_texts = oracle.ranks(texts, owner_T, images)
    np.testing.assert_array_equal(of_images, retrieval.image_to_text_ranks(table_IT, owner_T))
    np.testing.assert_array_equal(of_texts, retrieval.text_to_image_ranks(table_IT, owner_T))


@pytest.mark.parametrize("block", [1, 60, 10**6])
def test_blocks_give_the_ranks_and_candidates_of_the_whole_table(monkeypatch, block):
    """Vectors of a few directions, so that many scores tie."""
    draw = np.random.default_rng(0)
    image_IE, text_TE = (draw.integers(1, 3, size=(rows, 3)).astype(np.float32) for rows in (31, 45))
    image_IE /= np.linalg.norm(image_IE, axis=1, keepdims=True)
    text_TE /= np.linalg.norm(text_TE, axis=1, keepdims=True)
    owner_T = np.concatenate([np.arange(31), draw.integers(31, size=14)])
    whole_IT = retrieval.similarity(image_IE, text_TE)
    monkeypatch.setattr(retrieval, "BLOCK", block)
    of_images, of_texts = retrieval.ranks(image_IE, text_TE, owner_T)
    np.testing.assert_array_equal(of_images, retrieval.image_to_text_ranks(whole_IT, owner_T))
    np.testing.assert_array_equal(of_texts, retrieval.text_to_image_ranks(whole_IT, owner_T))
    assert of_images.max() > 3
    np.testing.assert_array_equal(retrieval.nearest(image_IE, text_TE, 5), retrieval.candidates(whole_IT, 5))
    np.testing.assert_array_equal(
        retrieval.nearest(text_TE, image_IE, 5), retrieval.candidates(whole_IT.T, 5)
    )
    np.testing.assert_array_equal(retrieval.pair_similarity(image_IE, text_TE[:31]), whole_IT.diagonal())


LEXICON = Lexicon({kind: [] for kind in ("cube", "ball", "arrow", "box")})


def test_exchange_keeps_number_article_and_the_rest():
    text = "A cube, two red cubes and a ball."
    assert swapped_object.exchange(text, "cube", "arrow", LEXICON) == "an arrow, two red arrows and a ball."
    assert swapped_object.exchange("an arrow", "arrow", "box", LEXICON) == "a box"


def test_swap_takes_a_kind_that_is_not_there():
    kinds = ["cube", "ball", "arrow", "box"]
    for seed in range(20):
        changed = swapped_object.swap(
            "a cube and a ball", {"cube", "ball", "box"}, kinds, LEXICON, np.random.default_rng(seed)
        )
        assert changed in ("an arrow and a ball", "a cube and an arrow")
    assert swapped_object.swap("nothing", {"cube"}, kinds, LEXICON, np.random.default_rng(0)) is None
    assert swapped_object.swap("a cube", set(kinds), kinds, LEXICON, np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("original", "swapped", "right"), [(0.5, 0.4, 1.0), (0.5, 0.5, 0.0), (0.4, 0.5, 0.0)]
)
def test_swapped_tie_counts_against_the_model(original, swapped, right):
    assert swapped_object.item_counts(original, swapped)["correct"] == right


def test_majority_and_oracle():
    train = [{"type": "existence", "answer": answer} for answer in ("no", "yes", "no")]
    train += [{"type": "color", "answer": answer} for answer in ("red", "blue")]
    by_type = majority_baseline.majority(train)
    assert by_type == {"existence": "no", "color": "blue"}  # a tie: alphabetically first
    triples = [{"type": kind} for kind in ("pope_random", "color", "what")]
    assert majority_baseline.answers(triples, by_type) == ["no", "blue", ""]


def test_the_oracle_gives_one_answer_to_one_question():
    truths = ("dog", "dog", "cat")
    triples = [{"image": 1, "question": "What?", "answer": answer} for answer in truths]
    assert oracle.answers(triples) == ["dog"] * 3
