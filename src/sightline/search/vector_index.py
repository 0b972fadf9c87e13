"""Nearest-neighbour search over unit embeddings with FAISS (https://arxiv.org/abs/2401.08281), torch-free.

B queries, N entries, E embedding width, K results. Scores are inner products: cosines, the vectors being of
unit length. An index remembers which model made its vectors and refuses every other one: embeddings of two
models live in unrelated spaces, and comparing them gives confident nonsense.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np

from sightline.core.artifacts import read_json, write_json

VECTORS, ENTRIES = "vectors.faiss", "index.json"
AUTO = "auto"  # the factory that `choose` names
FLAT_UP_TO = 100_000  # vectors; exact search of more takes longer than a person notices
FLAT = "Flat"
PROBED = 8  # inverted lists read: 99 % of the exact ten among a million (docs/reports/search-speed.md)


class SearchIndexError(ValueError):
    """An index that cannot be built, read, or used with this model."""


class VectorIndex:
    """Entries with their ids. `search` asks one query at a time, so an answer never depends on its
    neighbours."""

    def __init__(self, backend: faiss.Index, ids: Sequence[str], factory: str, width: int):
        self._backend, self.ids, self.factory, self.width = backend, list(ids), factory, width

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, queries_BE: np.ndarray, k: int) -> tuple[list[list[str]], np.ndarray]:
        """The ids and scores of the `k` nearest entries per query, best first; of equal ones the earlier
        entry.

        Returns (ids: B lists of at most K, scores_BK float32), K = min(k, N). Raises ValueError for k < 1, a
        wrong width, or a query that is not finite.
        """
        queries_BE = _checked(queries_BE, "search queries", self.width)
        if k < 1:
            raise SearchIndexError(f"search: k must be at least 1, got {k}")
        k = min(k, len(self))
        if k == 0:
            return [[] for _ in queries_BE], np.zeros((len(queries_BE), 0), dtype=np.float32)
        result_ids, result_scores = [], np.full((len(queries_BE), k), -np.inf, dtype=np.float32)
        for row, query_E in enumerate(queries_BE):
            scores_1K, positions_1K = self._backend.search(query_E[None], k)
            real = positions_1K[0] >= 0  # an inverted-file index returns -1 where its probed lists run dry
            scores_K, positions_K = scores_1K[0][real], positions_1K[0][real]
            order_K = np.lexsort((positions_K, -scores_K))
            result_scores[row, : len(order_K)] = scores_K[order_K]
            result_ids.append([self.ids[position] for position in positions_K[order_K]])
        return result_ids, result_scores

    def tune(self, settings: str) -> None:
        """Set FAISS's run-time parameters, such as efSearch=64. Raises RuntimeError for unknown ones."""
        _set_parameters(self._backend, settings)

    def vector(self, name: str) -> np.ndarray | None:
        """The vector of an entry, [E]; None where there is no such entry."""
        position = self._positions.get(name)
        return None if position is None else np.asarray(self._backend.reconstruct(position))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.ids)}

    def save(self, folder: Path, model_digest: str) -> None:
        """Write the vectors and the list of entries; the same index gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VECTORS).write_bytes(faiss.serialize_index(self._backend).tobytes())
        entries = {"factory": self.factory, "ids": self.ids, "model": model_digest, "width": self.width}
        write_json(folder / ENTRIES, entries)

    @classmethod
    def load(cls, folder: Path, model_digest: str) -> "VectorIndex":
        """Read an index that `model_digest` made; SearchIndexError names what is wrong with any other."""
        for name in (VECTORS, ENTRIES):
            if not (folder / name).is_file():
                raise SearchIndexError(
                    f"{folder / name}: no such file; rerun the index stage (`dvc repro index`)"
                )
        entries = read_json(folder / ENTRIES)
        kinds = {"factory": str, "ids": list, "model": str, "width": int}
        if not isinstance(entries, dict) or any(
            type(entries.get(key)) is not kind for key, kind in kinds.items()
        ):
            raise SearchIndexError(
                f"{folder / ENTRIES}: expected the keys {sorted(kinds)}; rerun the index stage"
            )
        if entries["model"] != model_digest:
            raise SearchIndexError(
                f"{folder}: this index was built with the model {entries['model'][:12]}, but the loaded "
                f"model is {model_digest[:12]}; their embeddings cannot be compared. Rerun the index stage"
            )
        try:
            backend = faiss.deserialize_index(np.frombuffer((folder / VECTORS).read_bytes(), dtype=np.uint8))
        except RuntimeError as error:
            raise SearchIndexError(
                f"{folder / VECTORS}: no readable FAISS index ({_first_line(error)})"
            ) from error
        if (backend.ntotal, backend.d) != (len(entries["ids"]), entries["width"]):
            raise SearchIndexError(
                f"{folder / VECTORS}: holds {backend.ntotal} vectors of {backend.d} numbers, but {ENTRIES} "
                f"says {len(entries['ids'])} of {entries['width']}; rerun the index stage"
            )
        return cls(backend, entries["ids"], entries["factory"], entries["width"])


def choose(count: int) -> str:
    """The factory of an index of so many vectors: exact, or inverted lists (Sivic and Zisserman 2003) when
    large. A graph (HNSW) takes six times as long to build and finds less."""
    return FLAT if count <= FLAT_UP_TO else f"IVF{lists(count)},Flat;nprobe={PROBED}"


def lists(count: int) -> int:
    """Inverted lists for so many vectors: the root of their number, rounded to a power of two."""
    return 2 ** round(math.log2(math.sqrt(count)))


def build(embeds_NE: np.ndarray, ids: Sequence[str], factory: str) -> VectorIndex:
    """Index unit vectors under their ids. `factory` is AUTO or a FAISS factory string, where wanted with
    run-time parameters behind a semicolon (IVF256,Flat;nprobe=8): Flat is exact, IVF and HNSW are not.

    Raises ValueError when numbers and ids differ in count, ids repeat, a vector is not of unit length, or
    FAISS does not know the factory string.
    """
    embeds_NE = _checked(embeds_NE, "index vectors", None)
    if len(embeds_NE) != len(ids):
        raise SearchIndexError(f"index: {len(embeds_NE)} vectors for {len(ids)} ids")
    if len(set(ids)) != len(ids):
        raise SearchIndexError(
            f"index: {len(ids) - len(set(ids))} ids appear more than once; ids must be unique"
        )
    lengths_N = np.sqrt(np.einsum("ne,ne->n", embeds_NE, embeds_NE))  # no second copy of a million vectors
    if len(ids) and not np.allclose(lengths_N, 1.0, atol=1e-3):  # float32 normalisation is good to 1e-6
        worst = int(np.abs(lengths_N - 1.0).argmax())
        raise SearchIndexError(
            f"index: the vector of {ids[worst]!r} has length {lengths_N[worst]:.4f}, expected 1"
        )
    width = embeds_NE.shape[1]
    factory = choose(len(ids)) if factory == AUTO else factory
    try:
        return VectorIndex(_filled(embeds_NE, factory), ids, factory, width)
    except RuntimeError as error:
        raise SearchIndexError(
            f"index.factory {factory!r} cannot index {len(ids)} vectors of {width} numbers: "
            f"{_first_line(error)}; use {AUTO}, Flat (exact), or see FAISS's factory strings"
        ) from error


def _filled(embeds_NE: np.ndarray, factory: str) -> faiss.Index:
    """A FAISS index of the vectors. Raises RuntimeError where FAISS cannot."""
    kind, _, settings = factory.partition(";")
    backend = faiss.index_factory(embeds_NE.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    if settings:
        _set_parameters(backend, settings)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # threads that link a graph at once would make another one every time
    try:
        if len(embeds_NE):
            if not backend.is_trained:
                backend.train(embeds_NE)
            backend.add(embeds_NE)
        if isinstance(backend, faiss.IndexIVF):
            backend.make_direct_map()  # so that a vector can be had by its place
    finally:
        faiss.omp_set_num_threads(threads)
    return backend


def _set_parameters(backend: faiss.Index, settings: str) -> None:
    # FAISS's stubs know the overload that takes a number alone.
    faiss.ParameterSpace().set_index_parameters(backend, settings)  # type: ignore[arg-type]


def fuse(image_NE: np.ndarray, text_NE: np.ndarray) -> np.ndarray:
    """The unit vectors half-way between items' images and texts, [..., E]."""
    total_NE = image_NE + text_NE
    return total_NE / np.maximum(np.linalg.norm(total_NE, axis=-1, keepdims=True), 1e-12)


def _checked(vectors: np.ndarray, what: str, width: int | None) -> np.ndarray:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or (width is not None and vectors.shape[1] != width):
        raise SearchIndexError(f"{what}: got shape {vectors.shape}, expected [rows, {width or 'width'}]")
    if not np.isfinite(vectors).all():
        raise SearchIndexError(f"{what}: some numbers are not finite")
    return vectors


def _first_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1][:200]
