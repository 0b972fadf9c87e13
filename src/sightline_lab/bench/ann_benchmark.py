"""How fast and how right the search is against how much it holds: exact, inverted files, a graph.

The galleries are the pipeline's own embeddings: pictures of `val` as they are, then pictures of `train`, each
jittered anew whenever its turn comes, until there are enough; a smaller gallery is the beginning of a larger
one. Asked are the first captions of `val`, whose pictures are to be found, and pictures of `test`, which no
gallery holds. Exact search is the truth.

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
JITTER = 0.3  # length of the noise beside a unit vector: a cosine of 0.96 to where it started
BLOCK = 1 << 16  # vectors drawn at a time, from a generator of their own
ALL = 0.9995  # recall@10 beyond which more effort is only slower, and not measured
TIMED_FLAT = 100  # queries; exact search takes the longer the more there is, and its answers are known
WARM = 20  # unmeasured queries before
SIZES = (10_000, 100_000, 1_000_000)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128)  # lists
GRAPH = "HNSW32;efConstruction=100"  # HNSW, arXiv 1603.09320
WIDTHS = (16, 32, 64, 128, 256, 512)  # of a graph's search
Say = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """Unit embeddings: of the pictures that words look for, [Q, E], their words, of held-out pictures and of
    those that fill the gallery."""

    wanted_QE: np.ndarray
    words_QE: np.ndarray
    pictures_QE: np.ndarray
    filling_NE: np.ndarray

    def gallery(self, size: int, seed: int) -> np.ndarray:
        """The first `size` vectors, [N, E]; those of `wanted` come first."""
        own, width = self.wanted_QE[:size], self.wanted_QE.shape[1]
        rows_NE = np.empty((size, width), dtype=np.float32)
        rows_NE[: len(own)] = own
        for start in range(len(own), size, BLOCK):
            rng = np.random.default_rng(derive_seed(seed, "search bench", str(start)))
            noise_BE = rng.standard_normal((BLOCK, width), dtype=np.float32) * (JITTER / np.sqrt(width))
            turn_B = np.arange(start - len(own), start - len(own) + BLOCK) % len(self.filling_NE)
            moved_BE = self.filling_NE[turn_B] + noise_BE
            moved_BE /= np.linalg.norm(moved_BE, axis=1, keepdims=True)
            rows_NE[start : start + BLOCK] = moved_BE[: size - start]
        return rows_NE


def read(session: Session, raw: Path) -> Known:
    """Encodes the pictures. Raises ValueError where `val` lacks a picture with a caption."""
    items = Items(raw)
    shown = {
        name: [items[line] for line in items.split(name) if items[line]["image"] is not None]
        for name in ("train", "val", "test")
    }
    told = [item for item in shown["val"] if item["captions"]]
    if not (told and shown["train"] and shown["test"]):
        raise ValueError(f"{raw}: search-bench needs pictures in train, val and test, and captions in val")

    def embedded(chosen: Sequence[dict]) -> np.ndarray:
        parts = (chosen[start : start + 8 * BATCH] for start in range(0, len(chosen), 8 * BATCH))
        decoded = ([items.image(one) for one in part] for part in parts)
        return np.concatenate([session.embed_images(part, batch_size=BATCH) for part in decoded])

    words_QE = session.embed_texts([item["captions"][0] for item in told], batch_size=BATCH)
    return Known(embedded(told), words_QE, embedded(shown["test"]), embedded(shown["train"]))


def run(known: Known, sizes: Sequence[int], threads: int, seed: int, say: Say) -> dict[str, Any]:
    """The whole result; one row a size, kind of index and effort. Raises ValueError for a size that does not
    hold the pictures that are looked for."""
    least = len(known.wanted_QE) + K
    if min(sizes) < least:
        raise ValueError(f"search-bench: a size is {min(sizes)}, expected at least {least}")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    rows = []
    try:
        gallery_NE = known.gallery(max(sizes), seed)
        for size in sorted(sizes):
            rows += _of_size(known, gallery_NE[:size], say)
    finally:
        faiss.omp_set_num_threads(before)
    queries = {"words": len(known.words_QE), "pictures": len(known.pictures_QE)}
    pictures = len(known.filling_NE)
    return {"queries": queries, "pictures": pictures, "jitter": JITTER, "threads": threads, "rows": rows}


def merged(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new` with the sizes that only an earlier result has, where both are of one model, machine and way of
    asking; the load told is the larger."""
    same = ("model", "queries", "pictures", "jitter", "threads", "width")
    there, here = before["machine"], new["machine"]
    if any(before.get(key) != new[key] for key in same) or there["processor"] != here["processor"]:
        return new
    sizes = {row["size"] for row in new["rows"]}
    rows = [row for row in before["rows"] if row["size"] not in sizes] + new["rows"]
    load = max(there["load"], here["load"])
    return new | {"rows": sorted(rows, key=lambda row: row["size"]), "machine": here | {"load": load}}


def _of_size(known: Known, gallery_NE: np.ndarray, say: Say) -> list[dict[str, Any]]:
    size = len(gallery_NE)
    queries_QE = np.concatenate([known.words_QE, known.pictures_QE])
    truth_QK = faiss.knn(queries_QE, gallery_NE, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    ids = [str(place) for place in range(size)]
    rows = []
    for kind, factory, efforts in kinds(size):
        held_kb, start = faiss.get_mem_usage_kb(), time.perf_counter()
        index = indexes.build(gallery_NE, ids, factory)
        built = {
            "build_s": rounded(time.perf_counter() - start),
            "memory_mb": rounded((faiss.get_mem_usage_kb() - held_kb) / 1024),
        }
        found_all = False
        for effort in efforts:
            name = (f"{factory},{effort}" if ";" in factory else f"{factory};{effort}") if effort else factory
            product = name == indexes.choose(size)
            if found_all and not product:
                continue
            if effort:
                index.tune(effort)
            exact = kind == "flat"
            found_QK, seconds_Q = _asked(index, queries_QE, TIMED_FLAT if exact else len(queries_QE))
            found_QK = truth_QK if exact else found_QK
            row = {"size": size, "kind": kind, "index": name, **built, "product": product}
            row |= scored(found_QK, truth_QK, len(known.words_QE)) | _latency(seconds_Q)
            rows.append(row)
            found_all = row["recall_10"] >= ALL
            say(f"{size:,} {name}: recall@10 {row['recall_10']:.4f}, p50 {row['p50_ms']:g} ms")
        del index  # before the next one is built: two do not fit beside a million vectors
    return rows


def kinds(size: int) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(kind, factory, run-time efforts from little to much)."""
    lists = indexes.lists(size)
    yield "flat", indexes.FLAT, [""]
    yield "IVF", f"IVF{lists},Flat", [f"nprobe={count}" for count in PROBES if count <= lists]
    yield "HNSW", GRAPH, [f"efSearch={width}" for width in WIDTHS]


def scored(found_QK: np.ndarray, truth_QK: np.ndarray, words: int) -> dict[str, float]:
    """recall@10, the share of the exact ten that was found, over all queries, over words (the first ones) and
    over pictures; and what words are worth: R@K and nDCG@10 of the picture they tell of, query i's at place
    i."""
    pairs = zip(found_QK, truth_QK, strict=True)
    recall_Q = np.array([len(np.intersect1d(found, truth)) / len(truth) for found, truth in pairs])
    ranks = [int((*np.flatnonzero(found == place), K)[0]) + 1 for place, found in enumerate(found_QK[:words])]
    per_item = [retrieval.item_counts(rank) for rank in ranks]
    counts = {name: np.sum([counts[name] for counts in per_item]) for name in per_item[0]}
    return {
        "recall_10": round(float(recall_Q.mean()), 4),
        "recall_10_words": round(float(recall_Q[:words].mean()), 4),
        "recall_10_pictures": round(float(recall_Q[words:].mean()), 4),
        **{name: round(float(figure(counts)), 2) for name, figure in retrieval.FIGURES.items()},
    }


def _asked(index: VectorIndex, queries_QE: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places [Q, K] (-1: nothing) and seconds [Q] of `count` single queries, evenly spread."""
    chosen = np.linspace(0, len(queries_QE) - 1, min(count, len(queries_QE))).astype(int)
    for place in chosen[:WARM]:
        index.search(queries_QE[place][None], K)
    found_QK, seconds_Q = np.full((len(chosen), K), -1), np.zeros(len(chosen))
    for row, place in enumerate(chosen):
        start = time.perf_counter()
        ids, _ = index.search(queries_QE[place][None], K)
        seconds_Q[row] = time.perf_counter() - start
        found_QK[row, : len(ids[0])] = list(map(int, ids[0]))
    return found_QK, seconds_Q


def _latency(seconds_Q: np.ndarray) -> dict[str, float]:
    p50, p95 = 1000 * np.percentile(seconds_Q, [50, 95])
    return {"p50_ms": rounded(p50), "p95_ms": rounded(p95)}
