"""Row 19: a search index that is replaced again and again, its writer killed, while it is searched.

The writer runs by itself: `python -m ...index_changes FOLDER SEED FIRST`. Generation g of an index has ids of
the one before it, all but one, which was deleted, other vectors, and says g in every caption. N items, E
embedding width, K results.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from sightline.core.artifacts import MANIFEST
from sightline.core.runtime import derive_seed
from sightline.search import user_index
from sightline.search.index_writer import Block
from sightline.search.item_index import Entry, Hit
from sightline.search.user_index import ReloadingIndex
from sightline.search.vector_index import SearchIndexError
from sightline_lab.faults.battery import Broken, Case, Promise

WIDTH, ITEMS, READERS, QUERIES = 16, 120, 2, 50  # queries: that each reader makes at least
MODEL, OTHER = "5" * 64, "6" * 64  # digests of search models
START_S, LATEST_S = 60.0, 1.0  # until the writer has written, and how long it may go on then
DUPLICATES = 3  # items that share a vector
APART = 1e-5  # float32 sums of 16 in another order differ by less


def case(case: Case) -> int:
    """One index, its writer killed at a random moment; how many searches were judged."""
    folder, seed = case.scratch / "index", case.seed % 2**31
    _write(folder, seed, 0)
    command = [sys.executable, "-m", __spec__.name, str(folder), str(seed), "1"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    readers = [Reader(folder, seed, number) for number in range(READERS)]
    writer = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        for reader in readers:
            reader.start()
        _until_replaced(folder, writer)
        time.sleep(float(case.rng.uniform(0, LATEST_S)))
    finally:
        writer.send_signal(signal.SIGKILL)
        _, said = writer.communicate()
        for reader in readers:
            reader.over.set()
        for reader in readers:
            reader.join()
    if writer.returncode != -signal.SIGKILL:
        raise Broken(f"the writer ended with {writer.returncode}: {said[-300:]}")
    if broken := [reader.broken for reader in readers if reader.broken]:
        raise Broken(broken[0])
    if not all(reader.newest for reader in readers):
        raise Broken("the index was replaced, and a search still read the first one")
    newest = max(reader.newest for reader in readers)
    _write(folder, seed, newest + 2)  # the one that was killed may have been at the next
    last = Reader(folder, seed, READERS)
    last.search()
    if last.newest != newest + 2:
        raise Broken(f"generation {newest + 2} was written, but {last.newest} is read")
    if left := sorted(path.name for path in case.scratch.iterdir() if path.is_dir() and path != folder):
        raise Broken(f"the next write left {left}")
    _refused_or_empty(case.scratch, folder)
    return 1 + sum(reader.searches for reader in readers)


class Reader(threading.Thread):
    """Searches until it is `over`. broken: what was wrong with a result; newest: generation seen."""

    def __init__(self, folder: Path, seed: int, number: int) -> None:
        super().__init__(daemon=True)
        self._index, self._seed = ReloadingIndex(folder, MODEL), seed
        self._rng = np.random.default_rng([seed, number])
        self._vectors: dict[int, np.ndarray] = {}
        self.over, self.broken, self.searches, self.newest = threading.Event(), "", 0, 0

    def run(self) -> None:
        try:
            while not self.over.is_set() or self.searches < QUERIES:
                self.search()
            self.search()  # after the last replacement
        except Exception as error:  # told by the case, which the thread cannot end
            self.broken = f"a search: {type(error).__name__}: {error}"

    def search(self) -> None:
        """One query, of which every result is judged. Raises Broken."""
        query_1E = self._rng.normal(size=(1, WIDTH)).astype(np.float32)
        query_1E /= np.linalg.norm(query_1E)
        k = int(self._rng.choice([1, 7, ITEMS + 5]))
        (hits,) = self._index.item_index().search(query_1E, k, str(self._rng.choice(["image", "text"])))
        seen = {int(hit.text.split()[-1]) for hit in hits}
        if len(seen) != 1:
            raise Broken(f"results of the generations {sorted(seen)} at once")
        (generation,) = seen
        if generation < self.newest:
            raise Broken(f"generation {generation} after {self.newest}")
        self.newest = generation
        self._judge(hits, query_1E[0], k)
        self.searches += 1

    def _judge(self, hits: list[Hit], query_E: np.ndarray, k: int) -> None:
        """Against all vectors, one by one."""
        generation, ids = self.newest, _ids(self._seed, self.newest)
        if generation not in self._vectors:
            self._vectors = {generation: _vectors(self._seed, generation)}
        scores_N = self._vectors[generation] @ query_E
        best_K = np.sort(scores_N)[::-1][:k]
        if len(hits) != len(best_K):
            raise Broken(f"{len(hits)} results for k = {k} of {len(ids)} items")
        if deleted := [hit.id for hit in hits if hit.id not in ids]:
            raise Broken(f"generation {generation} has no {deleted[0]}, which was found")
        if len({hit.id for hit in hits}) != len(hits):
            raise Broken("an item was found twice")
        own_K = np.array([scores_N[ids[hit.id]] for hit in hits])
        for what, found_K in (("scores", np.array([hit.score for hit in hits])), ("items", own_K)):
            if not np.allclose(found_K, best_K, atol=APART):
                raise Broken(f"generation {generation}, k = {k}: other {what} than by exhaustive search")


def _until_replaced(folder: Path, writer: subprocess.Popen) -> None:
    """Wait for the writer's first index."""
    first, end = (folder / MANIFEST).stat().st_ino, time.monotonic() + START_S
    while time.monotonic() < end and writer.poll() is None:
        try:
            if (folder / MANIFEST).stat().st_ino != first:
                return
        except OSError:  # between two folders of the name
            pass
        time.sleep(0.005)
    raise Broken(f"the writer replaced nothing within {START_S:g} s")


def _refused_or_empty(scratch: Path, folder: Path) -> None:
    """An index of another model is refused; one whose last item went finds nothing."""
    try:
        ReloadingIndex(folder, OTHER)
    except SearchIndexError:
        pass
    else:
        raise Broken("another model's index was opened")
    user_index.write(scratch / "empty", MODEL, WIDTH, [], None)
    query_1E = np.eye(1, WIDTH, dtype=np.float32)
    found = ReloadingIndex(scratch / "empty", MODEL).item_index().search(query_1E, 5)
    if found != [[]]:
        raise Broken(f"an empty index found {found}")


def _ids(seed: int, generation: int) -> dict[str, int]:
    """The items of a generation by their places; the last item is never deleted."""
    order = np.random.default_rng(seed).permutation(ITEMS)
    gone = {int(number) for number in order[: min(generation, ITEMS - 1)]}
    kept = [number for number in range(ITEMS) if number not in gone]
    return {f"item {number}": place for place, number in enumerate(kept)}


def _vectors(seed: int, generation: int) -> np.ndarray:
    """Unit vectors [N, E] of a generation, some of them equal."""
    rng = np.random.default_rng(derive_seed(seed, "index", generation))
    vectors_NE = rng.normal(size=(len(_ids(seed, generation)), WIDTH)).astype(np.float32)
    vectors_NE[:DUPLICATES] = vectors_NE[0]
    return vectors_NE / np.linalg.norm(vectors_NE, axis=1, keepdims=True)


def _write(folder: Path, seed: int, generation: int) -> None:
    """One generation in place of what is there, as `sightline index` does it."""
    vectors_NE = _vectors(seed, generation)
    entries = [Entry(id, "", [f"generation {generation}"], True, True) for id in _ids(seed, generation)]
    block = Block(entries, vectors_NE, vectors_NE, [b""] * len(entries))
    with user_index.writing(folder):
        user_index.write(folder, MODEL, WIDTH, [block], None)


def main(folder: str, seed: str, first: str) -> None:
    for generation in itertools.count(int(first)):
        _write(Path(folder), int(seed), generation)


PROMISE = Promise(
    19, "A changing index", "A search while the index is replaced, and after its writer was killed, reads "
    "the old one or the new one: its results are those of exhaustive search over one of them, never an item "
    "that was deleted; the next write works; another model's index is refused, an empty one finds nothing.",
    "searches", 6, 2000, case,
)  # fmt: skip

if __name__ == "__main__":
    main(*sys.argv[1:])
