"""The search index: exact search equals brute force, foreign and damaged indexes are refused."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core import checked_files
from sightline.core.atomic_io import ArtifactError
from sightline.search.vector_index import (
    AUTO,
    FLAT_UP_TO,
    QUANTIZED_ABOVE,
    SearchIndexError,
    VectorIndex,
    build,
    choose,
    fuse,
)
from tests.support.indexes import unit


def saved(index, folder):
    """The index written to a folder and opened there."""
    folder.mkdir(exist_ok=True)
    head = index.save(folder / "vectors.faiss")
    checked_files.record(folder, ["vectors.faiss"])
    return reopened(folder, index, head)


def reopened(folder, index, head):
    file = checked_files.open_all(folder)["vectors.faiss"]
    return VectorIndex.open(file, head, index.factory, len(index), index.width)


def positions(results):
    return [found.tolist() for found, _ in results]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(1, 150))
def test_flat_search_is_brute_force(seed, rows, k):
    entries, queries = unit(seed, rows), unit(seed + 1, 3)
    truth = queries.astype(np.float64) @ entries.astype(np.float64).T
    results = build(entries, "Flat").search(queries, k)
    assert len(results) == len(queries)
    for row, (found, scores) in enumerate(results):
        best = np.argsort(-truth[row], kind="stable")[: min(k, rows)]
        # Sixteen float32 products: 1e-6 bounds their rounding; entries nearer than that may change places.
        np.testing.assert_allclose(scores, truth[row][best], atol=1e-6)
        assert len(set(found.tolist())) == len(found) == min(k, rows)
        np.testing.assert_allclose(truth[row][found], scores, atol=1e-6)


def test_an_entry_finds_itself_and_equal_entries_come_in_order():
    entries = unit(0, 50)
    entries[7] = entries[3]
    found = build(entries, "Flat").search(entries, 2)
    assert [int(near[0]) for near, _ in found] == [row if row != 7 else 3 for row in range(50)]
    assert positions(found)[3] == positions(found)[7] == [3, 7]
    np.testing.assert_allclose([scores[0] for _, scores in found], 1.0, atol=1e-6)


def test_a_query_does_not_feel_its_neighbours():
    index, queries = build(unit(0, 500), "Flat"), unit(1, 40)
    together = index.search(queries, 10)
    for row in range(40):
        alone = index.search(queries[row : row + 1], 10)[0]
        assert all(np.array_equal(one, other) for one, other in zip(alone, together[row], strict=True))


@pytest.mark.parametrize("factory", ["IVF8,Flat", "HNSW16"])
def test_approximate_factories_work_and_say_less_than_brute_force(factory):
    found = build(unit(0, 400), factory).search(unit(1, 5), 10)
    assert all(0 < len(near) == len(scores) <= 10 for near, scores in found)


def test_how_many_vectors_decide_how_they_are_searched(monkeypatch):
    counts = (0, 1, FLAT_UP_TO, FLAT_UP_TO + 1, 10**6, QUANTIZED_ABOVE, QUANTIZED_ABOVE + 1)
    assert [choose(count, 512) for count in counts] == [
        *["Flat"] * 3,
        "IVF256,Flat;nprobe=8",
        "IVF1024,Flat;nprobe=8",
        "IVF4096,Flat;nprobe=8",
        "IVF4096,PQ256np;nprobe=8",
    ]
    assert choose(QUANTIZED_ABOVE + 1, 15) == "IVF4096,PQ5np;nprobe=8"
    monkeypatch.setattr("sightline.search.vector_index.FLAT_UP_TO", 99)
    factories = [build(unit(0, rows), AUTO).factory for rows in (99, 100)]
    assert factories == ["Flat", "IVF8,Flat;nprobe=8"]


@pytest.mark.parametrize("factory", ["HNSW32;efConstruction=100,efSearch=256", "IVF4,Flat;nprobe=4"])
def test_a_large_index_is_the_same_every_time_and_keeps_its_settings(tmp_path, factory):
    entries, queries = unit(0, 400), unit(1, 20)
    faiss.omp_set_num_threads(2)
    index = build(entries, factory)
    assert faiss.omp_get_max_threads() == 2
    faiss.omp_set_num_threads(1)
    loaded, _ = saved(index, tmp_path / "a"), saved(build(entries, factory), tmp_path / "b")
    assert (tmp_path / "a" / "vectors.faiss").read_bytes() == (tmp_path / "b" / "vectors.faiss").read_bytes()
    exact = positions(build(entries, "Flat").search(queries, 10))
    # All lists are probed, and the graph's search is wider than half of it: nothing is missed here.
    assert positions(loaded.search(queries, 10)) == exact
    np.testing.assert_array_equal(loaded.vector(7), entries[7])
    np.testing.assert_array_equal(loaded.vectors(3, 90), entries[3:90])
    loaded.tune("nprobe=1" if "IVF" in factory else "efSearch=1")
    assert positions(loaded.search(queries, 10)) != exact


def test_empty_index_answers_nothing(tmp_path):
    index = build(np.zeros((0, 16), np.float32), "Flat")
    for one in (index, saved(index, tmp_path)):
        assert positions(one.search(unit(0, 2), 3)) == [[], []] and one.vectors(0, 0).shape == (0, 16)


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat;nprobe=3", "HNSW16"])
def test_an_index_on_disk_answers_as_the_one_in_memory_to_the_bit(tmp_path, factory):
    index, queries = build(unit(0, 300), factory), unit(2, 4)
    loaded = saved(index, tmp_path)
    on_disk, in_memory = loaded.search(queries, 5), index.search(queries, 5)
    assert len(on_disk) == len(queries)
    for one, other in zip(on_disk, in_memory, strict=True):
        assert all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    index = build(unit(0, 30), "Flat")
    head = index.save(tmp_path / "vectors.faiss")
    checked_files.record(tmp_path, ["vectors.faiss"])
    path = tmp_path / "vectors.faiss"
    data = path.read_bytes()
    harm = {"missing": None, "empty": b"", "cut": data[:99], "noise": b"\x07" * len(data)}[damage]
    path.unlink()
    if harm is not None:
        path.write_bytes(harm)
    with pytest.raises(ArtifactError, match=r"vectors\.faiss"):
        reopened(tmp_path, index, head)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_said():
    with pytest.raises(ArtifactError, match="no space left on the disk: 64000 bytes"):
        build(unit(0, 1000), "Flat").save(Path("/dev/full"))


def test_another_index_than_the_header_tells_of_is_refused(tmp_path):
    other = build(unit(0, 29), "Flat")
    saved(other, tmp_path)
    with pytest.raises(SearchIndexError, match=r"holds 29 vectors of 16 numbers, expected 30"):
        reopened(tmp_path, build(unit(0, 30), "Flat"), 0)
    (tmp_path / "vectors.faiss").write_bytes(b"\x07" * 999)
    checked_files.record(tmp_path, ["vectors.faiss"])  # someone who may write the hashes, too
    with pytest.raises(SearchIndexError, match="no readable FAISS index"):
        reopened(tmp_path, other, 999)


@pytest.mark.parametrize(
    "embeds,factory,word",
    [
        (unit(0, 2) * 2, "Flat", "vector 0 has length 2.0"),
        (unit(0, 2), "Nonsense", "Nonsense"),
        (np.full((1, 4), np.nan, np.float32), "Flat", "not finite"),
    ],
)
def test_what_cannot_be_indexed_is_named(embeds, factory, word):
    with pytest.raises(SearchIndexError, match=word):
        build(embeds, factory)


@pytest.mark.parametrize("k,width,word", [(0, 16, "k must be"), (1, 8, r"expected \[rows, 16\]")])
def test_impossible_queries_are_named(k, width, word):
    with pytest.raises(SearchIndexError, match=word):
        build(unit(0, 3), "Flat").search(unit(0, 1, width), k)


def test_fused_vectors_are_unit_and_between():
    image, text = unit(0, 5), unit(1, 5)
    fused = fuse(image, text)
    np.testing.assert_allclose(np.linalg.norm(fused, axis=1), 1.0, atol=1e-6)  # float32 normalisation
    np.testing.assert_allclose((fused * image).sum(1), (fused * text).sum(1), atol=1e-6)


@pytest.fixture
def codes(monkeypatch):
    """Indexes of more than 500 vectors hold codes."""
    monkeypatch.setattr("sightline.search.vector_index.FLAT_UP_TO", 100)
    monkeypatch.setattr("sightline.search.vector_index.QUANTIZED_ABOVE", 500)


def test_an_index_with_codes_finds_what_its_lists_hold_and_scores_it_exactly(codes):
    entries, queries = unit(0, 1500), unit(1, 40)
    index, lists = build(entries, AUTO), build(entries, "IVF32,Flat;nprobe=8")
    assert index.factory == "IVF32,PQ8np;nprobe=8" and index.has_codes and not lists.has_codes
    found, exact = index.search(queries, 10), build(entries, "Flat").search(queries, 10)
    same = [
        len({*near} & {*best}) for (near, _), (best, _) in zip(found, lists.search(queries, 10), strict=True)
    ]
    right = [len({*near} & {*best}) for (near, _), (best, _) in zip(found, exact, strict=True)]
    # Codes of half a byte a number put nearly every neighbour that the lists hold among the first 200. What
    # lies in none of the 8 lists of 32 that are read is missed with codes and without.
    assert sum(same) / 400 > 0.98 and sum(right) / 400 > 0.7
    for query_E, (near, scores) in zip(queries, found, strict=True):
        assert len(near) == 10
        np.testing.assert_allclose(scores, entries[near] @ query_E, atol=1e-6)
        assert (np.diff(scores) <= 0).all()
    np.testing.assert_array_equal(index.vector(7), entries[7])
    np.testing.assert_array_equal(index.vectors(3, 90), entries[3:90])


def test_below_the_threshold_nothing_changes(codes):
    entries, queries = unit(0, 500), unit(1, 5)
    index = build(entries, AUTO)
    assert index.factory == "IVF16,Flat;nprobe=8" and not index.has_codes
    for one, other in zip(
        index.search(queries, 5), build(entries, index.factory).search(queries, 5), strict=True
    ):
        assert all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))
