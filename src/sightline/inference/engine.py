"""What a decoder must offer so that every decoding method runs on it, PyTorch and ONNX Runtime alike.

Shapes: L decoder layers, B batch rows, H heads, T text tokens, P image patches, M memory tokens
(image patches, then question tokens), D width, E embedding width, V vocabulary, C,Y,X channels and sides.
Everything is numpy; an engine is in evaluation mode and holds no state between calls.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np


@dataclass(frozen=True)
class Memory:
    """What the decoder reads: keys and values of every cross-attention layer, computed once per question."""

    cross_k: np.ndarray  # [L, B, H, M, Dh] float32; H fewer than the heads where queries share them
    cross_v: np.ndarray  # [L, B, H, M, Dh] float32
    mask_BM: np.ndarray  # bool, True where there is something to attend to
    image_BM: np.ndarray  # bool, True on image tokens

    @cached_property
    def by_layer(self) -> list[np.ndarray]:
        """Keys of every layer, then values of every layer, [B, H, M, Dh] each: taken apart once, read at
        every step."""
        return [*self.cross_k, *self.cross_v]


class Cache(Protocol):
    """Keys and values of the decoder's self-attention so far, in the form that suits the engine that made
    them."""

    def take(self, rows: np.ndarray) -> "Cache":
        """Those of some rows, in that order and as often as named."""


class ArrayCache(NamedTuple):
    """A cache of numpy arrays; an empty one (T = 0) means prefill."""

    self_k: np.ndarray  # [L, B, H, T, Dh] float32
    self_v: np.ndarray  # [L, B, H, T, Dh] float32

    def take(self, rows: np.ndarray) -> "ArrayCache":
        return ArrayCache(self.self_k[:, rows], self.self_v[:, rows])


CacheT = TypeVar("CacheT", bound=Cache)


class Step(NamedTuple, Generic[CacheT]):
    """The result of one decoder call over T new tokens; `maps` and `gates` only where they were asked for."""

    logits_BTV: np.ndarray
    cache: CacheT
    maps_LBHTM: np.ndarray | None
    gates_LBHT: np.ndarray | None


class Engine(Protocol[CacheT]):
    """A vision-language decoder and a dual encoder behind one numpy face.

    `config` holds at least `layers` and `heads` of the decoder, and neither where there is none and the
    model only searches. `k_L` is the number of heads kept in each
    layer (int64; all of them = no gate) and `alpha` the factor on the others: both are run-time inputs.
    """

    config: dict[str, Any]

    def image_tokens(self, pixels_BCYX: np.ndarray) -> np.ndarray: ...

    def memory(self, image_tokens_BPD: np.ndarray, ids_BT: np.ndarray, mask_BT: np.ndarray) -> Memory: ...

    def step(
        self, tokens_BT: np.ndarray, cache: CacheT | None, memory: Memory, k_L: np.ndarray, alpha: float,
        need_maps: bool,
    ) -> Step[CacheT]: ...  # fmt: skip

    def embed_images(self, pixels_BCYX: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def embed_texts(self, ids_BT: np.ndarray, mask_BT: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def match(self, tokens_BPD: np.ndarray, states_BTD: np.ndarray, mask_BT: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class DecodingInputs:
    """What a decoding loop needs beside the memory: the tokens that begin and end an answer, the most tokens
    it may have, and the inputs of the SPIN gate as `Engine` explains them (by default those of a decoder
    without one)."""

    bos: int
    eos: int
    max_tokens: int
    k_L: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    alpha: float = 1.0


@dataclass(frozen=True)
class GeneratedTokens:
    """One generated answer.

    `ids` leave out the end token; `logprobs` hold one natural logarithm per produced token, the end token's
    last where the answer ended by itself. `maps_LHTM[:, :, t]` and `gates_LHT[:, :, t]` belong to the query
    that produced `ids[t]`.
    """

    ids: list[int]
    logprobs: list[float]
    finished: bool
    maps_LHTM: np.ndarray | None
    gates_LHT: np.ndarray | None

    def confidence(self) -> float:
        """Probability of the whole answer when it is at most `SHORT_ANSWER` tokens long, else the geometric
        mean per token: a long description's product would only measure its length. In [0, 1]."""
        if not self.logprobs:
            return 0.0
        total = float(np.sum(self.logprobs))
        return float(np.exp(total if len(self.ids) <= SHORT_ANSWER else total / len(self.logprobs)))


SHORT_ANSWER = 4  # tokens; the converter's short answers are one to three words


def log_softmax(logits_BV: np.ndarray) -> np.ndarray:
    """Natural log-probabilities over the last axis, in float64 so that a sum of many stays exact enough."""
    shifted = logits_BV.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def take_memory(memory: Memory, rows: np.ndarray) -> Memory:
    """The memory of some rows, in that order and as often as named."""
    return Memory(
        memory.cross_k[:, rows], memory.cross_v[:, rows], memory.mask_BM[rows], memory.image_BM[rows]
    )  # fmt: skip
