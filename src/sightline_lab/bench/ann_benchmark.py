"""Latency and recall of the search against the size of the gallery: exact, inverted files, a graph.

The galleries are the pipeline's own embeddings: pictures of `val` as they are, then pictures of `train`, each
jittered anew whenever its turn comes, until there are enough; a smaller gallery is the beginning of a larger
one. The queries are the first captions of `val`, whose pictures are the targets, and pictures of `test`,
which no gallery holds. Exact search is the ground truth.

N vectors, E embedding width, Q queries, K results.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sightline.core.runtime import derive_seed
from sightline.data.shards import Items
from sightline.evaluate.metrics import retrieval
from sightline.inference.session import Session
from sightline.search import vector_index as indexes
from sightline.search.bundle import BATCH
from sightline.search.vector_index import VectorIndex
from sightline_lab.bench.paired_timing import rounded

K = 10
JITTER = 0.3  # norm of the noise added to a unit vector: a cosine of 0.96 to the original
BLOCK = 1 << 16  # vectors drawn at a time, from a generator of their own
ALL = 0.9995  # recall@10 beyond which more effort is only slower, and not measured
TIMED_FLAT = 100  # queries; exact search is slow at large sizes, and its results are already known
WARM = 20  # unmeasured queries before
SIZES = (10_000, 100_000, 1_000_000)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128)  # lists
GRAPH = "HNSW32;efConstruction=100"  # HNSW, arXiv 1603.09320
WIDTHS = (16, 32, 64, 128, 256, 512)  # of a graph's search
Echo = Callable[[str], None]


@dataclass(frozen=True)
class Embeddings:
    """Unit embeddings: of the pictures that text queries target, [Q, E], of these texts, of held-out pictures
    and of those that fill the gallery."""

    target_QE: np.ndarray
    words_QE: np.ndarray
    pictures_QE: np.ndarray
    filling_NE: np.ndarray

    def gallery(self, size: int, seed: int) -> np.ndarray:
        """The first `size` vectors, [N, E]; the targets come first."""
        first_NE, width = self.target_QE[:size], self.target_QE.shape[1]
        rows_NE = np.empty((size, width), dtype=np.float32)
        rows_NE[: len(first_NE)] = first_NE
        for start in range(len(first_NE), size, BLOCK):
            rng = np.random.default_rng(derive_seed(seed, "search bench", str(start)))
            noise_BE = rng.standard_normal((BLOCK, width), dtype=np.float32) * (JITTER / np.sqrt(width))
            turn_B = np.arange(start - len(first_NE), start - len(first_NE) + BLOCK) % len(self.filling_NE)
            moved_BE = self.filling_NE[turn_B] + noise_BE
            moved_BE /= np.linalg.norm(moved_BE, axis=1, keepdims=True)
            rows_NE[start : start + BLOCK] = moved_BE[: size - start]
        return rows_NE


def read(session: Session, raw: Path) -> Embeddings:
    """Encodes the pictures. Raises ValueError where `val` lacks a picture with a caption."""
    items = Items(raw)
    with_image = {
        name: [items[line] for line in items.split(name) if items[line]["image"] is not None]
        for name in ("train", "val", "test")
    }
    captioned = [item for item in with_image["val"] if item["captions"]]
    if not (captioned and with_image["train"] and with_image["test"]):
        raise ValueError(f"{raw}: search-bench needs pictures in train, val and test, and captions in val")

    def embedded(chosen: Sequence[dict]) -> np.ndarray:
        parts = (chosen[start : start + 8 * BATCH] for start in range(0, len(chosen), 8 * BATCH))
        decoded = ([items.image(one) for one in part] for part in parts)
        return np.concatenate([session.embed_images(part, batch_size=BATCH) for part in decoded])

    words_QE = session.embed_texts([item["captions"][0] for item in captioned], batch_size=BATCH)
    return Embeddings(
        embedded(captioned), words_QE, embedded(with_image["test"]), embedded(with_image["train"])
    )


def run(embeddings: Embeddings, sizes: Sequence[int], threads: int, seed: int, echo: Echo) -> dict[str, Any]:
    """The whole result; one row a size, kind of index and effort. Raises ValueError for a size that does not
    hold all targets."""
    least = len(embeddings.target_QE) + K
    if min(sizes) < least:
        raise ValueError(f"search-bench: a size is {min(sizes)}, expected at least {least}")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    rows = []
    try:
        gallery_NE = embeddings.gallery(max(sizes), seed)
        for size in sorted(sizes):
            rows += _size_rows(embeddings, gallery_NE[:size], echo)
    finally:
        faiss.omp_set_num_threads(before)
    queries = {"words": len(embeddings.words_QE), "pictures": len(embeddings.pictures_QE)}
    pictures = len(embeddings.filling_NE)
    return {"queries": queries, "pictures": pictures, "jitter": JITTER, "threads": threads, "rows": rows}


def merged(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new` with the sizes that only an earlier result has, where both are of one model, machine and set of
    queries; the reported load is the larger."""
    same = ("model", "queries", "pictures", "jitter", "threads", "width")
    there, here = before["machine"], new["machine"]
    if any(before.get(key) != new[key] for key in same) or there["processor"] != here["processor"]:
        return new
    sizes = {row["size"] for row in new["rows"]}
    rows = [row for row in before["rows"] if row["size"] not in sizes] + new["rows"]
    load = max(there["load"], here["load"])
    return new | {"rows": sorted(rows, key=lambda row: row["size"]), "machine": here | {"load": load}}


def _size_rows(embeddings: Embeddings, gallery_NE: np.ndarray, echo: Echo) -> list[dict[str, Any]]:
    size = len(gallery_NE)
    queries_QE = np.concatenate([embeddings.words_QE, embeddings.pictures_QE])
    truth_QK = faiss.knn(queries_QE, gallery_NE, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    rows = []
    for kind, factory, efforts in kinds(size):
        before_kb, start = faiss.get_mem_usage_kb(), time.perf_counter()
        index = indexes.build(gallery_NE, factory)
        built = {
            "build_s": rounded(time.perf_counter() - start),
            "memory_mb": rounded((faiss.get_mem_usage_kb() - before_kb) / 1024),
        }
        complete = False
        for effort in efforts:
            name = (f"{factory},{effort}" if ";" in factory else f"{factory};{effort}") if effort else factory
            product = name == indexes.choose(size, gallery_NE.shape[1])
            if complete and not product:
                continue
            if effort:
                index.tune(effort)
            exact = kind == "flat"
            nearest_QK, seconds_Q = _timed_search(index, queries_QE, TIMED_FLAT if exact else len(queries_QE))
            nearest_QK = truth_QK if exact else nearest_QK
            row = {"size": size, "kind": kind, "index": name, **built, "product": product}
            row |= search_figures(nearest_QK, truth_QK, len(embeddings.words_QE)) | _latency(seconds_Q)
            rows.append(row)
            complete = row["recall_10"] >= ALL
            echo(f"{size:,} {name}: recall@10 {row['recall_10']:.4f}, p50 {row['p50_ms']:g} ms")
        del index  # before the next one is built: two do not fit beside a million vectors
    return rows


def kinds(size: int) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(kind, factory, run-time efforts from little to much)."""
    lists = indexes.lists(size)
    yield "flat", indexes.FLAT, [""]
    yield "IVF", f"IVF{lists},Flat", [f"nprobe={count}" for count in PROBES if count <= lists]
    yield "HNSW", GRAPH, [f"efSearch={width}" for width in WIDTHS]


def search_figures(nearest_QK: np.ndarray, truth_QK: np.ndarray, words: int) -> dict[str, float]:
    """recall@10, the share of the exact ten that is retrieved, over all queries, over text queries (the first
    ones) and over pictures; and R@K and nDCG@10 of each text query's target (query i has target i)."""
    pairs = zip(nearest_QK, truth_QK, strict=True)
    recall_Q = np.array([len(np.intersect1d(nearest, truth)) / len(truth) for nearest, truth in pairs])
    ranks = [
        int((*np.flatnonzero(nearest == query), K)[0]) + 1 for query, nearest in enumerate(nearest_QK[:words])
    ]
    per_item = [retrieval.item_counts(rank) for rank in ranks]
    counts = {name: np.sum([counts[name] for counts in per_item]) for name in per_item[0]}
    return {
        "recall_10": round(float(recall_Q.mean()), 4),
        "recall_10_words": round(float(recall_Q[:words].mean()), 4),
        "recall_10_pictures": round(float(recall_Q[words:].mean()), 4),
        **{name: round(float(figure(counts)), 2) for name, figure in retrieval.FIGURES.items()},
    }


def _timed_search(index: VectorIndex, queries_QE: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices [Q, K] (-1: none) and seconds [Q] of `count` single queries, evenly spread."""
    chosen = np.linspace(0, len(queries_QE) - 1, min(count, len(queries_QE))).astype(int)
    for query in chosen[:WARM]:
        index.search(queries_QE[query][None], K)
    nearest_QK, seconds_Q = np.full((len(chosen), K), -1), np.zeros(len(chosen))
    for row, query in enumerate(chosen):
        start = time.perf_counter()
        positions_K, _ = index.search(queries_QE[query][None], K)[0]
        seconds_Q[row] = time.perf_counter() - start
        nearest_QK[row, : len(positions_K)] = positions_K
    return nearest_QK, seconds_Q


def _latency(seconds_Q: np.ndarray) -> dict[str, float]:
    p50, p95 = 1000 * np.percentile(seconds_Q, [50, 95])
    return {"p50_ms": rounded(p50), "p95_ms": rounded(p95)}
