"""A linear classifier of questions, which joins the rules: it knows wordings by what they have in common.

Features are hashed: sequences of words, parts of words, the same sequences with the names of the lists
(deploy/safety/english.yaml) in the place of words, and pairs of what stands together. Each category has its
own logistic regression over them. D buckets, K categories, F features of a text.
"""

import zlib
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.serve.safety.phrase_rules import SMALL

BUCKETS = 1 << 15
WINDOW = 30  # words that are judged together, so that the time grows with the length of a text and no faster
ORDERS, LIST_ORDERS, LETTERS = (1, 2, 3), (1, 2, 3, 4), (3, 4, 5)
BEGIN, END = "^", "$"


class QuestionClassifier:
    """The weights of all categories, in int8 with a scale for each."""

    def __init__(self, weights_DK: np.ndarray, scale_K: np.ndarray, bias_K: np.ndarray) -> None:
        self._weights_DK, self._scale_K, self._bias_K = weights_DK, scale_K, bias_K

    def probabilities(self, annotated: str) -> np.ndarray:
        """How likely a text, as `Lexicon.annotated` makes it, is of each category, [K]: in the window where
        it is most likely."""
        parts = annotated.split()
        starts = range(0, max(1, len(parts) - WINDOW // 2), WINDOW // 2)
        scores_WK = np.stack([self._scores(parts[start : start + WINDOW]) for start in starts])
        return 1.0 / (1.0 + np.exp(-scores_WK.max(axis=0)))

    def _scores(self, parts: Sequence[str]) -> np.ndarray:
        buckets_F = buckets(parts)
        sums_K = self._weights_DK[buckets_F].sum(axis=0, dtype=np.int64)
        return sums_K * self._scale_K / np.sqrt(len(buckets_F)) + self._bias_K

    def save(self, path: Path) -> None:
        tensors = {"weights": self._weights_DK, "scale": self._scale_K, "bias": self._bias_K}
        artifacts.save_weights(path, tensors)

    @classmethod
    def load(cls, path: Path, categories: int) -> "QuestionClassifier":
        """Raises ValueError for a file that is damaged or holds something else."""
        tensors = artifacts.load_weights(path)
        expected = {
            "weights": ("int8", (BUCKETS, categories)), "scale": ("float32", (categories,)),
            "bias": ("float32", (categories,)),
        }  # fmt: skip
        found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()}
        if found != expected or not all(np.isfinite(tensors[name]).all() for name in ("scale", "bias")):
            raise ValueError(
                f"{path}: expected the weights of a classifier of questions, {expected}, found {found}; "
                "train them in a checkout: `sightline lab safety --train`"
            )
        return cls(tensors["weights"], tensors["scale"], tensors["bias"])


def quantized(weights_DK: np.ndarray, bias_K: np.ndarray) -> QuestionClassifier:
    """The classifier of float weights."""
    scale_K = np.maximum(np.abs(weights_DK).max(axis=0), 1e-6) / 127
    rounded_DK = np.round(weights_DK / scale_K).astype(np.int8)
    return QuestionClassifier(rounded_DK, scale_K.astype(np.float32), bias_K.astype(np.float32))


def buckets(parts: Sequence[str]) -> np.ndarray:
    """The buckets of the features of annotated words, each once in order, [F]."""
    found = {zlib.crc32(feature.encode()) % BUCKETS for feature in _features(parts)}
    return np.array(sorted(found), np.int64)


def _features(parts: Sequence[str]) -> Iterator[str]:
    words, lists = [], []
    for part in parts:
        word, *names = part.split("/")
        words.append(word)
        lists.append([name for name in names if name != SMALL])
    yield from _sequences("words ", words, ORDERS)
    named = ["+".join(names) or word for word, names in zip(words, lists, strict=True)]
    yield from _sequences("lists ", named, LIST_ORDERS)
    for word in set(words):
        framed = f"<{word}>"
        for order in LETTERS:
            for start in range(len(framed) - order + 1):
                yield f"letters {framed[start : start + order]}"
    together = sorted({*words, *(f"<{name}>" for names in lists for name in names)})
    yield from (f"both {one} {other}" for one, other in combinations(together, 2))


def _sequences(kind: str, words: Sequence[str], orders: Sequence[int]) -> Iterator[str]:
    framed = [BEGIN, *words, END]
    for order in orders:
        for start in range(len(framed) - order + 1):
            yield kind + " ".join(framed[start : start + order])
