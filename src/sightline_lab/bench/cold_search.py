"""What one search costs a process that starts cold, against the size of the index.

`python -m sightline_lab.bench.cold_search <folder>` opens an index of a user's own items as `sightline search
--index` does, asks one query and prints what that took; `run` makes the indexes of synthetic items and calls
it. The model's own start is left out: it does not depend on the index. Memory maps count as resident where
they were touched; `own` is what the process holds itself. The files are in the page cache, as `run` has just
written them.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLD_SIZES = (1_000, 100_000, 1_000_000)
BLOCK = 10_000  # items made at a time
REPEATS = 5  # processes, of which the median is reported
WORDS = "a red dress with long sleeves and a wide belt, made of cotton"
DIGEST = "0" * 64
MIB = 1 << 20


def measure(folder: Path) -> dict[str, float]:
    """In a process of its own: seconds until the index is open and until the hits are there, memory."""
    start = time.perf_counter()
    from sightline.search.user_index import open_user_index

    imported = time.perf_counter()
    index = open_user_index(folder, DIGEST)
    opened = time.perf_counter()
    width = index.vectors("fused").width
    query_1E = np.full((1, width), width**-0.5, dtype=np.float32)
    hits = index.search(query_1E, 5, "fused")[0]
    done = time.perf_counter()
    assert len(hits) == 5
    return {
        "import_s": imported - start, "open_s": opened - imported, "search_s": done - opened,
        "peak_mib": _status("VmHWM"), "own_mib": _status("RssAnon"),
    }  # fmt: skip


def _status(name: str) -> float:
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))


def blocks(size: int, width: int, seed: int) -> Iterator:
    """Synthetic items: random unit vectors of a text, a title of twelve words, no picture."""
    from sightline.search.index_writer import Block
    from sightline.search.item_index import Entry

    rng = np.random.default_rng(seed)
    for start in range(0, size, BLOCK):
        rows_BE = rng.standard_normal((min(BLOCK, size - start), width), dtype=np.float32)
        rows_BE /= np.linalg.norm(rows_BE, axis=1, keepdims=True)
        numbers = range(start, start + len(rows_BE))
        entries = [Entry(f"item-{number}", f"{WORDS}, {number}", [], False, True) for number in numbers]
        yield Block(entries, rows_BE[:0], rows_BE, [b""] * len(entries))


def run(sizes: Sequence[int], width: int, seed: int, echo: Callable[[str], None]) -> dict[str, Any]:
    """The width of the vectors, and a row for each size: the medians, the size on disk."""
    from sightline.search.user_index import write
    from sightline_lab.bench.paired_timing import rounded

    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder, start = Path(scratch) / "index", time.perf_counter()
            index = write(folder, DIGEST, width, blocks(size, width, seed), None)
            row: dict[str, Any] = {"size": size, "index": index.vectors("fused").factory}
            row["build_s"] = rounded(time.perf_counter() - start)
            del index
            disk = sum(path.stat().st_size for path in folder.iterdir()) / MIB
            command = [sys.executable, "-m", "sightline_lab.bench.cold_search", str(folder)]
            found = [
                json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                for _ in range(REPEATS)
            ]
        row |= {name: rounded(float(np.median([one[name] for one in found]))) for name in found[0]}
        rows.append(row | {"disk_mib": rounded(disk)})
        echo(f"{size:,} items, a cold search: {row['open_s'] + row['search_s']:.3f} s, "
             f"{row['peak_mib']:.0f} MiB")  # fmt: skip
    return {"width": width, "rows": rows}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
