"""The converted question-answer triples of one split, read on demand from a memory-mapped file."""

import json
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

ITEM = re.compile(rb'(?<!\\)"item": (\d+)')
SCAN_BYTES = 1 << 20


class LinesByItem(Mapping[int, list[int]]):
    """Item -> line numbers of its triples, ascending: 16 bytes a triple, where a dict of lists has hundreds.

    item_N: the item of each triple.
    """

    def __init__(self, item_N: np.ndarray) -> None:
        self._lines_N = np.argsort(item_N, kind="stable")
        self._items, starts = np.unique(item_N[self._lines_N], return_index=True)
        self._bounds = np.append(starts, len(item_N))

    def __getitem__(self, item: int) -> list[int]:
        position = int(np.searchsorted(self._items, item))
        if position == len(self._items) or self._items[position] != item:
            raise KeyError(item)
        return self._lines_N[self._bounds[position] : self._bounds[position + 1]].tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self._items.tolist())

    def __len__(self) -> int:
        return len(self._items)


class Triples:
    """`len`, `[i]` -> dict, `by_item()`; only line offsets are held in memory."""

    def __init__(self, folder: Path | str, split: str) -> None:
        path = Path(folder) / f"{split}.jsonl"
        if not path.is_file():
            splits = sorted(file.stem for file in Path(folder).glob("*.jsonl") if file.stem != "rejected")
            raise ValueError(
                f"{path}: no such split; found {', '.join(splits) or 'none'}; rerun the convert stage"
            )
        with path.open("rb") as file:
            empty = path.stat().st_size == 0
            self._data: mmap.mmap | bytes = (
                b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            )
        ends = [np.zeros(1, dtype=np.int64)]
        for start in range(0, len(self._data), SCAN_BYTES):
            chunk = np.frombuffer(self._data[start : start + SCAN_BYTES], dtype=np.uint8)
            ends.append(np.flatnonzero(chunk == ord("\n")) + start + 1)
        self._bounds = np.concatenate(ends)
        self.path = path

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: triple {index} of {len(self)}")
        line = self._data[self._bounds[index] : self._bounds[index + 1]]
        try:
            return json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"{self.path}: line {index + 1} is no JSON ({error}); rerun the convert stage"
            ) from error

    def by_item(self) -> LinesByItem:
        """Line numbers of the triples of each item (keys: line numbers in data/raw/items.jsonl)."""
        item_N = np.zeros(len(self), dtype=np.int64)
        for index in range(len(self)):
            match = ITEM.search(self._data, self._bounds[index], self._bounds[index + 1])
            if match is None:
                raise ValueError(f"{self.path}: line {index + 1} names no item; rerun the convert stage")
            item_N[index] = int(match[1])
        return LinesByItem(item_N)
