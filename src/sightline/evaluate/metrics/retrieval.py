"""Caption retrieval in both directions. Letters: I images, T texts, Q queries, K candidates, E embedding
width.

Ties count against the model: the rank of the right answer is one more than the number of wrong ones that
score as high.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from sightline.evaluate.metrics.ratios import Counts, share

BLOCK = 1 << 22  # similarities in memory at a time, 32 MiB
_DECIMALS = 6  # similarities closer than the error of a float32 matrix product are ties


def similarity(image_IE: np.ndarray, text_TE: np.ndarray) -> np.ndarray:
    """Cosine similarities [I, T] of unit-norm embeddings, rounded so that equal captions tie on any
    machine."""
    return np.round(image_IE.astype(np.float64) @ text_TE.astype(np.float64).T, _DECIMALS)


def image_to_text_ranks(similarity_IT: np.ndarray, owner_T: np.ndarray) -> np.ndarray:
    """Rank [I] of each image's best own caption; its other captions are no rivals. owner_T: image of each
    text."""
    match_IT = owner_T[None, :] == np.arange(len(similarity_IT))[:, None]
    best_I = np.where(match_IT, similarity_IT, -np.inf).max(axis=1)
    return 1 + np.sum((similarity_IT >= best_I[:, None]) & ~match_IT, axis=1)


def text_to_image_ranks(similarity_IT: np.ndarray, owner_T: np.ndarray) -> np.ndarray:
    """Rank [T] of each caption's own image."""
    match_T = similarity_IT[owner_T, np.arange(len(owner_T))]
    return np.sum(similarity_IT >= match_T[None, :], axis=0)


def ranks(image_IE: np.ndarray, text_TE: np.ndarray, owner_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """image_to_text_ranks [I] and text_to_image_ranks [T] of unit embeddings, of which BLOCK similarities are
    in memory at a time."""
    of_images = [
        image_to_text_ranks(similarity(image_IE[rows], text_TE), owner_T - rows.start)
        for rows in _blocks(len(image_IE), len(text_TE))
    ]
    of_texts = [
        text_to_image_ranks(similarity(image_IE, text_TE[rows]), owner_T[rows])
        for rows in _blocks(len(text_TE), len(image_IE))
    ]
    return np.concatenate(of_images), np.concatenate(of_texts)


def nearest(query_QE: np.ndarray, key_KE: np.ndarray, top: int) -> np.ndarray:
    """`candidates` of unit embeddings, in blocks as `ranks`."""
    blocks = _blocks(len(query_QE), len(key_KE))
    return np.concatenate([candidates(similarity(query_QE[rows], key_KE), top) for rows in blocks])


def pair_similarity(one_NE: np.ndarray, other_NE: np.ndarray) -> np.ndarray:
    """Cosine similarity of each row with the same row of the other, [N], rounded as `similarity`."""
    return np.round(np.einsum("ne,ne->n", one_NE.astype(np.float64), other_NE.astype(np.float64)), _DECIMALS)


def _blocks(rows: int, columns: int) -> list[slice]:
    """Rows of a table in parts of at most BLOCK numbers, one row at least; one part where there is none."""
    height = max(1, BLOCK // max(1, columns))
    return [slice(start, min(start + height, rows)) for start in range(0, max(1, rows), height)]


def candidates(similarity_QK: np.ndarray, top: int) -> np.ndarray:
    """Indices [Q, top] of the best candidates of each query, best first; equal scores in index order."""
    return np.argsort(-similarity_QK, axis=1, kind="stable")[:, :top]


def reranked_ranks(scores_QK: np.ndarray, right_QK: np.ndarray, first_ranks_Q: np.ndarray) -> np.ndarray:
    """Ranks [Q] after the K best candidates are put in the order of `scores_QK` (right_QK marks the right
    ones).

    A query whose right answer is not among its candidates keeps its first rank, at least K + 1.
    """
    best_Q = np.where(right_QK, scores_QK, -np.inf).max(axis=1)
    ranks_Q = 1 + np.sum((scores_QK >= best_Q[:, None]) & ~right_QK, axis=1)
    outside_Q = np.maximum(first_ranks_Q, scores_QK.shape[1] + 1)
    return np.where(right_QK.any(axis=1), ranks_Q, outside_Q)


def item_counts(rank: int) -> dict[str, float]:
    """Counts of one query. Its gain is nDCG@10 (Jarvelin and Kekalainen 2002) with one right answer."""
    hits = {f"hit_{k}": float(rank <= k) for k in (1, 5, 10)}
    return {"queries": 1.0, **hits, "gain_10": gain(rank) if rank <= 10 else 0.0}


def gain(rank: int) -> float:
    """Discounted gain of a right answer at this rank; 1 at the first."""
    return 1.0 / math.log2(1 + rank)


def _per_query(counts: Counts, key: str) -> np.ndarray:
    return share(counts[key], counts["queries"])


FIGURES: dict[str, Callable[[Counts], np.ndarray]] = {
    **{f"r{k}": partial(_per_query, key=f"hit_{k}") for k in (1, 5, 10)},
    "ndcg10": partial(_per_query, key="gain_10"),
}


def sample_size(counts: Counts) -> np.ndarray:
    """Number of queries."""
    return counts["queries"]


def chance(gallery: int) -> dict[str, float]:
    """Expected figures, percent, of a random order with one right answer among `gallery`."""
    mean_gain = sum(gain(rank) for rank in range(1, min(10, gallery) + 1)) / gallery
    return {f"r{k}": 100.0 * min(k, gallery) / gallery for k in (1, 5, 10)} | {"ndcg10": 100.0 * mean_gain}
