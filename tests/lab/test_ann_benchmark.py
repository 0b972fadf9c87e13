"""The search benchmark: its galleries, its figures by hand, the page. No times."""

import numpy as np
import pytest

from sightline.search.vector_index import choose
from sightline_lab.bench import ann_benchmark, ann_page

MEASURED = ("build_s", "memory_mb", "p50_ms", "p95_ms")


def unit(rows, seed, width=16):
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def embeddings():
    wanted = unit(20, 0)
    return ann_benchmark.Embeddings(wanted, wanted, unit(15, 1), unit(50, 2))


def test_a_gallery_begins_a_larger_one_and_holds_jittered_pictures(embeddings, monkeypatch):
    monkeypatch.setattr(ann_benchmark, "BLOCK", 32)
    large = embeddings.gallery(400, seed=7)
    np.testing.assert_array_equal(large[:150], embeddings.gallery(150, seed=7))
    np.testing.assert_array_equal(large[:20], embeddings.target_QE)
    np.testing.assert_allclose(np.linalg.norm(large, axis=1), 1.0, atol=1e-6)
    assert len(np.unique(large, axis=0)) == 400
    origins = embeddings.filling_NE[np.arange(380) % 50]
    cosines = np.einsum("ne,ne->n", large[20:], origins)
    assert abs(cosines.mean() - 1 / np.sqrt(1 + ann_benchmark.JITTER**2)) < 0.01
    assert not np.array_equal(large[20:], embeddings.gallery(400, seed=8)[20:])


def test_figures_by_hand():
    truth = np.array([[0, 1, 2, 3], [1, 0, 2, 3], [5, 6, 7, 8]])
    nearest = np.array([[0, 1, 2, 9], [0, 1, -1, -1], [5, 6, 7, 8]])
    scores = ann_benchmark.search_figures(nearest, truth, words=2)
    assert (scores["recall_10"], scores["recall_10_words"], scores["recall_10_pictures"]) == (
        0.75,
        0.625,
        1.0,
    )
    assert (scores["r1"], scores["r5"]) == (50.0, 100.0)  # right is 0 for the first, 1 for the second
    assert scores["ndcg10"] == round(50 * (1 + 1 / np.log2(3)), 2)


def test_exact_search_is_the_truth_and_more_effort_finds_more(embeddings):
    lines = []
    result = ann_benchmark.run(embeddings, [300, 60], threads=1, seed=7, echo=lines.append)
    again = ann_benchmark.run(embeddings, [60, 300], threads=1, seed=7, echo=lines.append)
    plain = [[{k: v for k, v in row.items() if k not in MEASURED} for row in one["rows"]]
             for one in (result, again)]  # fmt: skip
    assert plain[0] == plain[1] and len(lines) == 2 * len(plain[0])
    for size in (60, 300):
        rows = [row for row in result["rows"] if row["size"] == size]
        assert {row["kind"] for row in rows} == {"flat", "IVF", "HNSW"}
        assert [row["index"] for row in rows if row["product"]] == ["Flat"]
        for kind in ("flat", "IVF", "HNSW"):
            recalls = [row["recall_10"] for row in rows if row["kind"] == kind]
            assert recalls == sorted(recalls) and recalls[-1] == 1.0
        assert rows[0]["r1"] == 100.0  # words are here the pictures they look for
        assert all(row["p95_ms"] >= row["p50_ms"] > 0 for row in rows)
    with pytest.raises(ValueError, match="a size is 29, expected at least 30"):
        ann_benchmark.run(embeddings, [29], threads=1, seed=7, echo=print)


def test_what_an_index_uses_when_large_is_among_the_candidates():
    names = [
        f"{factory};{effort}" for _, factory, efforts in ann_benchmark.kinds(10**6) for effort in efforts
    ]
    assert choose(10**6, 512) in names
    assert [factory for _, factory, _ in ann_benchmark.kinds(10**6)][1] == "IVF1024,Flat"


def row(index, recall, p50, product=False, size=10**6):
    kind = "flat" if index == "Flat" else index.split(";")[0]
    fields = {"size": size, "kind": kind, "index": index, "product": product, "build_s": 1.0}
    fields |= {
        "memory_mb": 2.0,
        "p50_ms": p50,
        "p95_ms": 9.0,
        "recall_10": recall,
        "recall_10_words": recall,
    }
    return fields | dict.fromkeys(("recall_10_pictures", "r1", "r5", "r10", "ndcg10"), 1.0)


def test_the_page_names_the_fastest_that_finds_enough_and_says_when_none_does():
    rows = [row("Flat", 1.0, 90.0), row("IVF;a", 0.985, 1.0), row("IVF;b", 0.992, 4.0),
            row("HNSW;c", 0.999, 6.0, product=True)]  # fmt: skip
    assert ann_page.fastest(rows, 10**6)["index"] == "IVF;b"
    result = {"rows": rows, "queries": {"words": 3, "pictures": 4}, "pictures": 5, "jitter": 0.3, "width": 16,
              "threads": 2, "machine": {"processor": "p", "load": 0.1}}  # fmt: skip
    page = ann_page.page(result)
    assert "`IVF;b` finds 99.20% of what exact search finds in 4 ms (median), at most the 5 ms" in page
    assert "uses finds 99.90% in 6 ms" in page and "| **`HNSW;c`** | 6 |" in page
    assert "no approximate index finds 99%" in ann_page.page(result | {"rows": rows[:2]})
    assert "**not** at most" in ann_page.page(result | {"rows": [rows[0], rows[3]]})


def test_sizes_of_an_earlier_run_are_kept_if_it_measured_the_same():
    def result(sizes, load, model="a"):
        rows = [{"size": size, "load": load} for size in sizes]
        machine = {"processor": "p", "load": load}
        same = {"queries": {"words": 1}, "pictures": 2, "jitter": 0.3, "threads": 2, "width": 4}
        return same | {"model": model, "machine": machine, "rows": rows}

    both = ann_benchmark.merged(result([10, 20], 0.5), result([5, 20], 0.1))
    assert both["rows"] == [{"size": 5, "load": 0.1}, {"size": 10, "load": 0.5}, {"size": 20, "load": 0.1}]
    assert both["machine"]["load"] == 0.5
    other = result([5], 0.1, "b")
    assert ann_benchmark.merged(result([10], 0.5), other) == other
