"""Rows through a graph at one fixed batch shape; equal rows are computed once."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
    """(first position of every distinct key, number of the distinct key at every position)."""
    number: dict[Any, int] = {}
    first: list[int] = []
    for index, key in enumerate(keys):
        if key not in number:
            number[key] = len(first)
            first.append(index)
    return first, [number[key] for key in keys]


def picture_key(image: np.ndarray) -> tuple:
    """Equal for equal pictures."""
    return image.shape, hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()


Row = tuple[int, int, tuple[str, ...]]  # number of the question, number of the picture, retrieved captions


@dataclass(frozen=True)
class DistinctQuestions:
    """The inputs of a call, each picture and each question once; `rows` in the call's order, with repeats."""

    images: list[np.ndarray]
    questions: list[str]
    rows: list[Row]

    @classmethod
    def of(
        cls, images: Sequence[np.ndarray], questions: Sequence[str], captions: Sequence[Sequence[str]] | None
    ) -> "DistinctQuestions":
        """Raises ValueError unless there are as many images, questions and, where given, captions."""
        if len(images) != len(questions):
            raise ValueError(f"answer: {len(images)} images for {len(questions)} questions; give one of each")
        captions = [()] * len(images) if captions is None else captions
        if len(captions) != len(images):
            raise ValueError(
                f"answer: captions for {len(captions)} of {len(images)} questions; give all some"
            )
        pictures, picture_N = distinct([picture_key(image) for image in images])
        first, question_N = distinct(list(questions))
        rows = list(zip(question_N, picture_N, map(tuple, captions), strict=True))
        return cls([images[i] for i in pictures], [questions[i] for i in first], rows)
