"""The tasks that are timed, on any Engine. B batch, T tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sightline.inference.engine import Engine, Memory

EAGER = "PyTorch"  # the form that the others are compared with
FIRST = 2  # the token that starts an answer; any one serves here


@dataclass(frozen=True)
class Inputs:
    """pixels_BCYX float32, ids_BS int64 and mask_BS bool of questions, captions_BS of texts to embed, and the
    number of tokens of every answer."""

    pixels_BCYX: np.ndarray
    ids_BS: np.ndarray
    captions_BS: np.ndarray
    tokens: int

    @classmethod
    def random(cls, batch: int, side: int, question: int, caption: int, vocab: int, tokens: int) -> Inputs:
        draw = np.random.default_rng(0)
        return cls(
            draw.normal(size=(batch, 3, side, side)).astype(np.float32),
            draw.integers(5, vocab, size=(batch, question)),
            draw.integers(5, vocab, size=(batch, caption)),
            tokens,
        )

    @property
    def batch(self) -> int:
        return len(self.pixels_BCYX)


def encode(engine: Engine, inputs: Inputs) -> Memory:
    """The decoder's memory of the pictures and questions."""
    mask_BS = np.ones(inputs.ids_BS.shape, dtype=bool)
    return engine.memory(engine.image_tokens(inputs.pixels_BCYX), inputs.ids_BS, mask_BS)


def generate(engine: Engine, memory: Memory, batch: int, tokens: int, keep: float = 1.0) -> np.ndarray:
    """Greedy tokens [B, T], exactly `tokens` of them whatever they are; SPIN with that share of the heads."""
    config = engine.config
    k_L = np.full(config["layers"], max(1, int(keep * config["heads"])), dtype=np.int64)
    token_B1, cache, generated = np.full((batch, 1), FIRST, dtype=np.int64), None, []
    for _ in range(tokens):
        step = engine.step(token_B1, cache, memory, k_L, 0.5, False)
        token_B1, cache = step.logits_BTV[:, -1].argmax(-1)[:, None], step.cache
        generated.append(token_B1)
    return np.concatenate(generated, axis=1)


def tasks(engine: Engine, inputs: Inputs) -> dict[str, Callable[[], object]]:
    """Task -> what to time: embeddings of pictures and texts, an answer's tokens once the question is read,
    with SPIN too, and everything up to the first token."""
    memory, batch = encode(engine, inputs), inputs.batch
    mask_BS = np.ones(inputs.captions_BS.shape, dtype=bool)
    return {
        "image": lambda: engine.embed_images(inputs.pixels_BCYX),
        "text": lambda: engine.embed_texts(inputs.captions_BS, mask_BS),
        "answer": lambda: generate(engine, memory, batch, inputs.tokens),
        "answer, SPIN": lambda: generate(engine, memory, batch, inputs.tokens, 0.5),
        "first token": lambda: generate(engine, encode(engine, inputs), batch, 1),
    }


def units(task: str, inputs: Inputs) -> int:
    """Embeddings or tokens that one call makes."""
    return inputs.batch * (inputs.tokens if task.startswith("answer") else 1)
