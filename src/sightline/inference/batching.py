"""Rows through a graph at one fixed batch shape, and what is asked twice computed once."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def in_batches(
    call: Callable[..., tuple[np.ndarray, ...]], inputs: list[np.ndarray], batch_size: int
) -> list[np.ndarray]:
    """`call` on slices of exactly `batch_size` rows; the last one is filled with copies of its first row.
    Raises ValueError for a batch size below 1."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    parts = [
        [output[: len(chunk)] for output in call(*(array[rows] for array in inputs))]
        for chunk, rows in filled(np.arange(len(inputs[0])), batch_size)
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def filled(items_N: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of at most `batch_size` items, each also filled up to it with copies of its first one."""
    for start in range(0, len(items_N), batch_size):
        chunk = items_N[start : start + batch_size]
        yield chunk, np.concatenate([chunk, np.repeat(chunk[:1], batch_size - len(chunk))])


def distinct(keys: list) -> tuple[list[int], list[int]]:
    """(first place of every distinct key, number of the distinct key at every place)."""
    number: dict[Any, int] = {}
    first: list[int] = []
    for place, key in enumerate(keys):
        if key not in number:
            number[key] = len(first)
            first.append(place)
    return first, [number[key] for key in keys]


def picture_key(image: np.ndarray) -> tuple:
    """Equal for equal pictures."""
    return image.shape, hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
