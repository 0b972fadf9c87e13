"""The converted question-answer triples of one split, read on demand from a memory-mapped file."""

import json
import mmap
import re
from pathlib import Path

import numpy as np

ITEM = re.compile(rb'(?<!\\)"item": (\d+)')


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
        ends = [match.end() for match in re.finditer(rb"\n", self._data)]
        self._bounds = np.asarray([0, *ends], dtype=np.int64)
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

    def by_item(self) -> dict[int, list[int]]:
        """Line numbers of the triples of each item (keys: line numbers in data/raw/items.jsonl)."""
        items: dict[int, list[int]] = {}
        for index in range(len(self)):
            match = ITEM.search(self._data, self._bounds[index], self._bounds[index + 1])
            if match is None:
                raise ValueError(f"{self.path}: line {index + 1} names no item; rerun the convert stage")
            items.setdefault(int(match[1]), []).append(index)
        return items
