"""Text from an encoder-decoder of the model library, by the decoding loops of every engine. torch.

Shapes: B batch, T target tokens, S source tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.inference.decoding import beam, greedy, sampling
from sightline.inference.engine import ArrayCache, DecodingInputs, GeneratedTokens, Memory, Step
from sightline.models.blocks.transformer_modules import EncoderDecoderTransformer

METHODS: dict[str, Callable[..., list[GeneratedTokens]]] = {
    "greedy": greedy.generate,
    "sampling": sampling.generate,
    "beam": beam.generate,
}


@torch.no_grad()
def generate(
    model: EncoderDecoderTransformer, source_BS: Tensor, inputs: DecodingInputs, *,
    method: str = "greedy", source_mask: Tensor | None = None, seed: int = 0, **settings: Any,
) -> list[list[int]]:  # fmt: skip
    """The tokens written for each source, without those that begin and end it.

    source_mask: [B, S], True = a token. method: greedy, sampling (settings: temperature, top_p; every row
    draws from a generator of its own, seeded with `seed` and its number) or beam (settings: beams,
    length_penalty). Computed without dropout and with cached keys and values; the model's mode is as before
    afterwards.

    Raises ValueError for another method or settings out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: choose one of {', '.join(METHODS)}")
    if method == "sampling":
        rows = range(len(source_BS))
        settings["generators"] = [np.random.default_rng([seed, row]) for row in rows]
    training = model.training
    engine = BlockEngine(model.eval())
    try:
        written = METHODS[method](engine, engine.read(source_BS, source_mask), inputs, **settings)
    finally:
        model.train(training)
    return [row.ids for row in written]


class BlockEngine:
    """An EncoderDecoderTransformer behind the numpy face of inference.engine: `step`, and `read`, which makes
    the memory. It has no SPIN: `k_L` and `alpha` change nothing."""

    def __init__(self, model: EncoderDecoderTransformer):
        self.model, self.device = model, model.get_device()

    def read(self, source_BS: Tensor, mask: Tensor | None) -> Memory:
        source_BS = source_BS.to(self.device)
        mask_BS = torch.ones_like(source_BS, dtype=torch.bool) if mask is None else mask.to(self.device)
        pairs = self.model.decoder.decoder.memory_keys_values(self.model.encoder(source_BS, mask_BS))
        keys, values = (torch.stack(parts).float().cpu().numpy() for parts in zip(*pairs, strict=True))
        mask_array = mask_BS.cpu().numpy()
        return Memory(keys, values, mask_array, np.zeros_like(mask_array))

    def step(
        self, tokens_BT: np.ndarray, cache: ArrayCache | None, memory: Memory, k_L: np.ndarray, alpha: float,
        need_maps: bool,
    ) -> Step:  # fmt: skip
        pairs = list(zip(self._tensor(memory.cross_k), self._tensor(memory.cross_v), strict=True))
        past = None if cache is None else (self._tensor(cache.self_k), self._tensor(cache.self_v))
        mask_BS = self._tensor(memory.mask_BM)
        out = self.model.decoder.step(self._tensor(tokens_BT), past, pairs, mask_BS)
        logits_BTV = self.model.output(out.x).float().cpu().numpy()
        return Step(logits_BTV, ArrayCache(*(part.float().cpu().numpy() for part in out.cache)), None, None)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
