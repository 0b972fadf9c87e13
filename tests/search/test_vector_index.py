"""The search index: exact search equals brute force, foreign and damaged indexes are refused."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.search.vector_index import AUTO, FLAT_UP_TO, SearchIndexError, VectorIndex, build, choose, fuse


def unit(seed, rows, width=16):
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def names(rows):
    return [f"item-{row}" for row in range(rows)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(1, 150))
def test_flat_search_is_brute_force(seed, rows, k):
    entries, queries = unit(seed, rows), unit(seed + 1, 3)
    found, scores = build(entries, names(rows), "Flat").search(queries, k)
    truth = queries.astype(np.float64) @ entries.astype(np.float64).T
    for row in range(3):
        best = np.argsort(-truth[row], kind="stable")[: min(k, rows)]
        # Sixteen float32 products: 1e-6 bounds their rounding; entries nearer than that may change places.
        np.testing.assert_allclose(scores[row], truth[row][best], atol=1e-6)
        assert len(set(found[row])) == len(found[row]) == min(k, rows)
        for name, score in zip(found[row], scores[row], strict=True):
            assert abs(truth[row][names(rows).index(name)] - score) < 1e-6


def test_an_entry_finds_itself_and_equal_entries_come_in_order():
    entries = unit(0, 50)
    entries[7] = entries[3]
    found, scores = build(entries, names(50), "Flat").search(entries, 2)
    assert [f[0] for f in found] == [name if name != "item-7" else "item-3" for name in names(50)]
    assert found[3] == found[7] == ["item-3", "item-7"]
    np.testing.assert_allclose(scores[:, 0], 1.0, atol=1e-6)


def test_a_query_does_not_feel_its_neighbours():
    index, queries = build(unit(0, 500), names(500), "Flat"), unit(1, 40)
    together_ids, together = index.search(queries, 10)
    for row in range(40):
        ids, scores = index.search(queries[row : row + 1], 10)
        assert ids[0] == together_ids[row] and np.array_equal(scores[0], together[row])


@pytest.mark.parametrize("factory", ["IVF8,Flat", "HNSW16"])
def test_approximate_factories_work_and_say_less_than_brute_force(factory):
    index = build(unit(0, 400), names(400), factory)
    found, scores = index.search(unit(1, 5), 10)
    assert all(0 < len(ids) <= 10 for ids in found)
    assert scores.shape == (5, 10)


def test_how_many_vectors_decide_how_they_are_searched(monkeypatch):
    assert [choose(count) for count in (0, 1, FLAT_UP_TO, FLAT_UP_TO + 1, 10**6)] == [
        *["Flat"] * 3,
        "IVF256,Flat;nprobe=8",
        "IVF1024,Flat;nprobe=8",
    ]
    monkeypatch.setattr("sightline.search.vector_index.FLAT_UP_TO", 99)
    factories = [build(unit(0, rows), names(rows), AUTO).factory for rows in (99, 100)]
    assert factories == ["Flat", "IVF8,Flat;nprobe=8"]


@pytest.mark.parametrize("factory", ["HNSW32;efConstruction=100,efSearch=256", "IVF4,Flat;nprobe=4"])
def test_a_large_index_is_the_same_every_time_and_keeps_its_settings(tmp_path, factory):
    entries, queries = unit(0, 400), unit(1, 20)
    faiss.omp_set_num_threads(2)
    index = build(entries, names(400), factory)
    assert faiss.omp_get_max_threads() == 2
    faiss.omp_set_num_threads(1)
    for name, made in (("a", index), ("b", build(entries, names(400), factory))):
        made.save(tmp_path / name, "d" * 64)
    assert (tmp_path / "a" / "vectors.faiss").read_bytes() == (tmp_path / "b" / "vectors.faiss").read_bytes()
    loaded = VectorIndex.load(tmp_path / "a", "d" * 64)
    assert loaded.factory == factory
    exact = build(entries, names(400), "Flat").search(queries, 10)[0]
    # All lists are probed, and the graph's search is wider than half of it: nothing is missed here.
    assert loaded.search(queries, 10)[0] == exact
    np.testing.assert_array_equal(loaded.vector("item-7"), entries[7])
    loaded.tune("nprobe=1" if "IVF" in factory else "efSearch=1")
    assert loaded.search(queries, 10)[0] != exact


def test_empty_index_answers_nothing():
    ids, scores = build(np.zeros((0, 16), np.float32), [], "Flat").search(unit(0, 2), 3)
    assert ids == [[], []] and scores.shape == (2, 0)


def test_save_and_load_give_the_same_answers_and_bytes(tmp_path):
    index = build(unit(0, 30), names(30), "Flat")
    index.save(tmp_path / "a", "d" * 64)
    VectorIndex.load(tmp_path / "a", "d" * 64).save(tmp_path / "b", "d" * 64)
    for name in ("vectors.faiss", "index.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    again = VectorIndex.load(tmp_path / "b", "d" * 64)
    assert again.search(unit(2, 4), 5)[0] == index.search(unit(2, 4), 5)[0]


def test_another_models_index_is_refused(tmp_path):
    build(unit(0, 3), names(3), "Flat").save(tmp_path, "a" * 64)
    with pytest.raises(SearchIndexError, match=r"aaaaaaaaaaaa.*bbbbbbbbbbbb.*[Rr]erun the index stage"):
        VectorIndex.load(tmp_path, "b" * 64)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise", "other"])
def test_a_damaged_index_is_refused(tmp_path, damage):
    build(unit(0, 30), names(30), "Flat").save(tmp_path, "d" * 64)
    vectors = tmp_path / "vectors.faiss"
    data = vectors.read_bytes()
    if damage == "missing":
        vectors.unlink()
    elif damage == "other":
        build(unit(0, 29), names(29), "Flat").save(tmp_path / "x", "d" * 64)
        vectors.write_bytes((tmp_path / "x" / "vectors.faiss").read_bytes())
    else:
        vectors.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "noise": b"\x07" * 999}[damage])
    with pytest.raises(SearchIndexError, match=r"vectors\.faiss"):
        VectorIndex.load(tmp_path, "d" * 64)


@pytest.mark.parametrize(
    "embeds,ids,factory,word",
    [
        (unit(0, 3), names(2), "Flat", "3 vectors for 2 ids"),
        (unit(0, 2), ["a", "a"], "Flat", "more than once"),
        (unit(0, 2) * 2, names(2), "Flat", "length 2.0"),
        (unit(0, 2), names(2), "Nonsense", "Nonsense"),
        (np.full((1, 4), np.nan, np.float32), ["a"], "Flat", "not finite"),
    ],
)
def test_what_cannot_be_indexed_is_named(embeds, ids, factory, word):
    with pytest.raises(SearchIndexError, match=word):
        build(embeds, ids, factory)


@pytest.mark.parametrize("k,width,word", [(0, 16, "k must be"), (1, 8, r"expected \[rows, 16\]")])
def test_impossible_queries_are_named(k, width, word):
    with pytest.raises(SearchIndexError, match=word):
        build(unit(0, 3), names(3), "Flat").search(unit(0, 1, width), k)


def test_fused_vectors_are_unit_and_between():
    image, text = unit(0, 5), unit(1, 5)
    fused = fuse(image, text)
    np.testing.assert_allclose(np.linalg.norm(fused, axis=1), 1.0, atol=1e-6)  # float32 normalisation
    np.testing.assert_allclose((fused * image).sum(1), (fused * text).sum(1), atol=1e-6)
