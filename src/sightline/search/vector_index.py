"""Nearest-neighbour search over unit embeddings with FAISS (https://arxiv.org/abs/2401.08281), torch-free.

B queries, N vectors, E embedding width, K results. Scores are inner products: cosines, the vectors being of
unit length. An index on disk is read through a memory map, without a copy of its vectors: opening a million
reads the centroids and the table of places, and a search the lists that it visits.

A very large index has product codes in its lists (Jegou et al. 2011), and the vectors in a file beside it:
the codes tell which few are worth comparing, the vectors how like they are, so scores are exact in any index.
"""

import math
from pathlib import Path

import faiss
import numpy as np

from sightline.core.atomic_io import full
from sightline.core.checked_files import CheckedFile

AUTO = "auto"  # the factory that `choose` names
FLAT_UP_TO = 100_000  # vectors; exact search of more takes longer than a person notices
QUANTIZED_ABOVE = 10_000_000  # vectors; the lists of more hold codes of half a byte a number
SHORTLIST = 20  # vectors compared for each result that is asked for, where lists hold codes
TRAINED_ON = 64  # vectors for each list that the lists and codes of such an index are learned from
FLAT = "Flat"
ROWS = 1 << 14  # vectors looked at together while an index is made
PROBED = 8  # inverted lists read: 99 % of the exact ten among a million (docs/reports/search-speed.md)


class SearchIndexError(ValueError):
    """An index that cannot be built, read, or used with this model."""


class VectorIndex:
    """Vectors by their position. `search` asks one query at a time, so an answer never depends on its
    neighbours."""

    def __init__(
        self, backend: faiss.Index, factory: str, file: CheckedFile | None = None,
        vectors_NE: np.ndarray | None = None, vectors_file: CheckedFile | None = None,
    ):  # fmt: skip
        """`file`: what the backend reads its lists from, None for one in memory. `vectors_NE`: the vectors of
        an index with codes, `vectors_file` where they lie."""
        self._backend, self.factory, self._file = backend, factory, file
        self._vectors_NE, self._vectors_file = vectors_NE, vectors_file

    def __len__(self) -> int:
        return self._backend.ntotal

    @property
    def has_codes(self) -> bool:
        """Whether the vectors must be kept beside the index, as its lists hold codes of them."""
        return isinstance(self._backend, faiss.IndexIVFPQ)

    @property
    def width(self) -> int:
        return self._backend.d

    def search(self, queries_BE: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Positions (int64) and scores (float32) of the `k` nearest vectors for each query, best first; of
        equal ones the earlier. At most K = min(k, N) of them.

        Raises ValueError for k < 1, a wrong width, or a query that is not finite, and ArtifactError where
        the vectors that it reads are damaged.
        """
        queries_BE = _checked(queries_BE, "search queries", self.width)
        if k < 1:
            raise SearchIndexError(f"search: k must be at least 1, got {k}")
        k = min(k, len(self))
        if k == 0:
            return [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in queries_BE]
        results = []
        for query_E in queries_BE:
            if self._file is not None:
                self._check_visited(query_E, self._file)
            asked = min(k * SHORTLIST, len(self)) if self.has_codes else k
            scores_1K, positions_1K = self._backend.search(query_E[None], asked)
            real = positions_1K[0] >= 0  # an inverted-file index returns -1 where its probed lists run dry
            scores_K, positions_K = scores_1K[0][real], positions_1K[0][real]
            if self.has_codes:
                scores_K = self._rows(positions_K) @ query_E
            order_K = np.lexsort((positions_K, -scores_K))[:k]
            results.append((positions_K[order_K], scores_K[order_K]))
        return results

    def tune(self, settings: str) -> None:
        """Set FAISS's run-time parameters, such as efSearch=64. Raises RuntimeError for unknown ones."""
        _set_parameters(self._backend, settings)

    def vector(self, position: int) -> np.ndarray:
        """The vector at a position, [E]."""
        if self.has_codes:
            return self._rows(np.array([position]))[0]
        if self._file is not None:
            if isinstance(self._backend, faiss.IndexIVF):
                number = self._backend.direct_map.get(position) >> 32
                self._file.check(*_extent(self._backend, number, self._file.bytes_N))
            else:
                self._file.check()
        return np.asarray(self._backend.reconstruct(position))

    def vectors(self, start: int, stop: int) -> np.ndarray:
        """The vectors at the positions [start, stop), [rows, E]."""
        if start == stop:
            return np.zeros((0, self.width), np.float32)
        if self.has_codes:
            return self._rows(np.arange(start, stop))
        if self._file is not None:
            self._file.check()
        return np.asarray(self._backend.reconstruct_batch(np.arange(start, stop)))

    def save(self, path: Path) -> int:
        """Write the index; the same index gives the same bytes. Returns how many of the first bytes an
        `open` reads. Raises ArtifactError for a full disk."""
        try:
            faiss.write_index(self._backend, str(path))
            # FAISS is silent about what fails when it closes the file, so the file is looked at.
            bytes_N = np.memmap(path, dtype=np.uint8, mode="r")
            backend = _parsed(bytes_N)
        except (RuntimeError, ValueError) as error:
            raise full(path, len(self) * self.width * 4) from error
        if not isinstance(backend, faiss.IndexIVF):
            return len(bytes_N)
        return min(_extent(backend, number, bytes_N)[0] for number in range(backend.nlist))

    @classmethod
    def open(
        cls, file: CheckedFile, head: int, factory: str, count: int, width: int,
        vectors: CheckedFile | None = None,
    ) -> "VectorIndex":  # fmt: skip
        """The index in a file that `save` wrote, `head` bytes of which are read now; `vectors`: those of an
        index with codes, float32.

        Raises ArtifactError for a damaged one, SearchIndexError for another one."""
        file.check(0, head)
        try:
            backend = _parsed(file.bytes_N)
        except RuntimeError as error:
            raise SearchIndexError(f"{file.path}: no readable FAISS index ({_first_line(error)})") from error
        if (backend.ntotal, backend.d) != (count, width):
            raise SearchIndexError(
                f"{file.path}: holds {backend.ntotal} vectors of {backend.d} numbers, expected {count} of "
                f"{width}; make the index again"
            )
        if not isinstance(backend, faiss.IndexIVFPQ):
            return cls(backend, factory, file)
        if vectors is None or vectors.size != 4 * count * width:
            raise SearchIndexError(
                f"{file.path}: holds codes of {count} vectors, which do not lie beside it; make the "
                "index again"
            )
        return cls(backend, factory, file, vectors.bytes_N.view("<f4").reshape(count, width), vectors)

    def _rows(self, positions_K: np.ndarray) -> np.ndarray:
        """The vectors at some positions, [K, E], checked where they lie on the disk."""
        assert self._vectors_NE is not None
        if self._vectors_file is not None:
            row = 4 * self.width
            for position in positions_K.tolist():
                self._vectors_file.check(position * row, (position + 1) * row)
        return np.asarray(self._vectors_NE[positions_K])

    def _check_visited(self, query_E: np.ndarray, file: CheckedFile) -> None:
        """Check what a search reads: the lists nearest to the query, or all."""
        if not isinstance(self._backend, faiss.IndexIVF):
            file.check()
            return
        _, lists_1L = self._backend.quantizer.search(query_E[None], self._backend.nprobe)
        for number in lists_1L[0][lists_1L[0] >= 0]:
            file.check(*_extent(self._backend, int(number), file.bytes_N))


def _parsed(bytes_N: np.ndarray) -> faiss.Index:
    """The index in mapped bytes, which it goes on reading."""
    # FAISS's stubs do not know this reader.
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(bytes_N), len(bytes_N))  # type: ignore[attr-defined]
    return faiss.read_index(reader)


def _extent(backend: faiss.IndexIVF, number: int, bytes_N: np.ndarray) -> tuple[int, int]:
    """Where an inverted list begins and ends in the bytes: its vectors, then their positions."""
    lists = backend.invlists
    assert lists is not None
    count = lists.list_size(number)
    if not count:
        return len(bytes_N), len(bytes_N)
    base = bytes_N.ctypes.data
    return int(lists.get_codes(number)) - base, int(lists.get_ids(number)) - base + 8 * count


def choose(count: int, width: int) -> str:
    """The factory of an index of so many vectors: exact, or inverted lists (Sivic and Zisserman 2003) when
    large, with product codes in them when very large. A graph (HNSW) takes six times as long to build and
    finds less."""
    if count <= FLAT_UP_TO:
        return FLAT
    codes = next(parts for parts in range(max(1, width // 2), 0, -1) if width % parts == 0)
    # np: without polysemous training, which takes most of the time and which a search here does not use.
    held = f"PQ{codes}np" if count > QUANTIZED_ABOVE else "Flat"
    return f"IVF{lists(count)},{held};nprobe={PROBED}"


def lists(count: int) -> int:
    """Inverted lists for so many vectors: the root of their number, rounded to a power of two."""
    return 2 ** round(math.log2(math.sqrt(count)))


def build(embeds_NE: np.ndarray, factory: str) -> VectorIndex:
    """Index unit vectors, which may be a memory map. `factory` is AUTO or a FAISS factory string, where
    wanted with run-time parameters behind a semicolon (IVF256,Flat;nprobe=8): Flat is exact, IVF and HNSW are
    not.

    Raises SearchIndexError when a vector is not finite or not of unit length, or FAISS does not know the
    factory string.
    """
    count, width = embeds_NE.shape
    for start in range(0, count, ROWS):
        rows_BE = _checked(embeds_NE[start : start + ROWS], "index vectors", width)
        lengths_B = np.sqrt(np.einsum("be,be->b", rows_BE, rows_BE))
        if not np.allclose(lengths_B, 1.0, atol=1e-3):  # float32 normalisation is good to 1e-6
            worst = int(np.abs(lengths_B - 1.0).argmax())
            raise SearchIndexError(
                f"index: vector {start + worst} has length {lengths_B[worst]:.4f}, expected 1"
            )
    factory = choose(count, width) if factory == AUTO else factory
    try:
        backend = _filled(embeds_NE, factory)
        beside = embeds_NE if isinstance(backend, faiss.IndexIVFPQ) else None
        return VectorIndex(backend, factory, vectors_NE=beside)
    except RuntimeError as error:
        raise SearchIndexError(
            f"index.factory {factory!r} cannot index {count} vectors of {width} numbers: "
            f"{_first_line(error)}; use {AUTO}, Flat (exact), or see FAISS's factory strings"
        ) from error


def _filled(embeds_NE: np.ndarray, factory: str) -> faiss.Index:
    """A FAISS index of the vectors: as large as they are, or as their codes. Raises RuntimeError where FAISS
    cannot."""
    kind, _, settings = factory.partition(";")
    backend = faiss.index_factory(embeds_NE.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    if settings:
        _set_parameters(backend, settings)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # threads that link a graph at once would make another one every time
    try:
        if isinstance(backend, faiss.IndexIVFPQ):
            backend.train(embeds_NE[:: max(1, len(embeds_NE) // (TRAINED_ON * backend.nlist))])
            for start in range(0, len(embeds_NE), ROWS):
                backend.add(embeds_NE[start : start + ROWS])
        elif len(embeds_NE):
            if not backend.is_trained:
                backend.train(embeds_NE)
            backend.add(embeds_NE)  # at once: growing step by step would take twice the memory
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
