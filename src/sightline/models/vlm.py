"""The interface of answering models; code above it does not depend on a particular decoder.

An answering model reads image tokens and a question into a memory, once per question, and decodes the answer
from it token by token. A decoder is a file of models/decoder with `build(config: dict) -> VLM`; `config`
rebuilds the architecture without reading any checkpoint.

Shapes: N images, B rows (questions), C,Y,X channels and sides, P patches, T tokens, M = P + T memory
tokens, L layers, H heads, G key-value heads, S cached tokens, D width, d width of a head, V vocabulary, K of
them that are scored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sightline.core import registry
from sightline.models.answer_tokens import AnswerTokens
from sightline.models.attention import KeyValue
from sightline.models.tower import TextTower, VisionTower
from sightline.models.transformer import LayerMemory
from sightline.spin.gate import SpinInputs

ABSENT = {"answers": False}  # config of an artifact without a model: none was trained, or none was pruned
OWN_DECODER = "cross_attention"  # of a config that names none


class Memory(NamedTuple):
    """The decoder's memory, by layer; mask_BM True = attend; image_BM True = an image token."""

    layers: list[LayerMemory]
    mask_BM: Tensor
    image_BM: Tensor

    @classmethod
    def of(cls, cross_k: Tensor, cross_v: Tensor, mask_BM: Tensor, image_BM: Tensor) -> Memory:
        """cross_k, cross_v: [L, B, G, M, d], as `joined` returns them."""
        pairs = [(cross_k[layer], cross_v[layer]) for layer in range(cross_k.shape[0])]
        return cls([LayerMemory(pair, None) for pair in pairs], mask_BM, image_BM)

    def repeated(self, times: int) -> Memory:
        """Every row `times` times, one after the other; the image's keys and values stay shared."""
        layers = [
            LayerMemory((keys.repeat_interleave(times, 0), values.repeat_interleave(times, 0)), shared)
            for (keys, values), shared in self.layers
        ]
        masks = (mask_BM.repeat_interleave(times, 0) for mask_BM in (self.mask_BM, self.image_BM))
        return Memory(layers, *masks)

    def take(self, rows: Tensor) -> Memory:
        """Some rows, in that order, each with its image's keys and values for itself."""
        layers = []
        for (keys, values), shared in self.layers:
            if shared is not None:
                images = rows // (len(keys) // len(shared[0]))
                shared = (shared[0].index_select(0, images), shared[1].index_select(0, images))
            layers.append(LayerMemory((keys.index_select(0, rows), values.index_select(0, rows)), shared))
        return Memory(layers, self.mask_BM.index_select(0, rows), self.image_BM.index_select(0, rows))

    def joined(self) -> KeyValue:
        """Keys and values of all tokens, [L, B, G, M, d] each, where every row has an image of its own."""
        keys, values = [], []
        for per_row, shared in self.layers:
            assert shared is not None  # VLM.memory gives every layer the image's
            keys.append(torch.cat((shared[0], per_row[0]), 2))
            values.append(torch.cat((shared[1], per_row[1]), 2))
        return torch.stack(keys), torch.stack(values)


class StepOutput(NamedTuple):
    """logits_BTV, of a model with `answer_tokens` logits_BTK; cache (key, value), [L, B, G, S + T, d] each;
    maps_LBHTM, attention on the memory, when asked for; gates_LBHT with SPIN."""

    logits: Tensor
    cache: KeyValue
    maps: Tensor | None
    gates: Tensor | None


class VLM(nn.Module, ABC):
    """config (all of it in config.json) holds at least layers, decoder_heads, key_value_heads, head_width,
    vocab_size, max_answer, max_question, vision, vision_width, grid and blind: blind models have learned
    constants in place of the image tower. `text` is the frozen tower that the decoder reads questions with;
    None: it has embeddings of its own. `answer_tokens`: those that `step` scores; None: all. `loader`: as of
    a tower, for the decoder alone."""

    loader = ""
    config: dict[str, Any]
    text: TextTower | None
    vision: VisionTower
    answer_tokens: AnswerTokens | None

    def __init__(self) -> None:
        super().__init__()
        self.answer_tokens = None

    def _build_image_side(self, config: dict[str, Any]) -> None:
        if config["blind"]:
            rows, cols = config["grid"]
            self.constants = nn.Parameter(torch.randn(rows * cols, config["vision_width"]))
        else:
            self.vision = registry.load("models/vision", config["vision"]["tower"]).build(config["vision"])

    def train(self, mode: bool = True) -> VLM:
        """Batch norms of the image tower keep the statistics of contrastive training even while its weights
        train: then training, evaluation and any split into processes compute the same function."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def enter(self, phase: int, freeze_vision: bool) -> None:
        """Freeze for a phase of training what does not train in it: in the first (0) the image tower."""
        if not self.config["blind"]:
            self.vision.freeze(phase == 0 or freeze_vision)

    def image_tokens(self, image_BCYX: Tensor) -> Tensor:
        """The image tower's patches, [B, P, D of the tower]; learned constants for a blind model."""
        if self.config["blind"]:
            return self.constants.expand(image_BCYX.shape[0], -1, -1)
        return self.vision.patches(self.vision(image_BCYX))

    def text_states(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor | None:
        """The frozen text tower's states of the questions, [B, T, D of the tower], without gradient."""
        if self.text is None:
            return None
        with torch.no_grad():
            return self.text(ids_BT, mask_BT)

    @abstractmethod
    def memory(
        self, image_tokens_NPD: Tensor, text_states_BTD: Tensor | None, ids_BT: Tensor, mask_BT: Tensor
    ) -> Memory:
        """The decoder's memory. Each image has B / N consecutive questions; its keys and values are
        computed once and shared by them. Images of no tokens (P = 0) leave the question alone."""

    @abstractmethod
    def step(
        self,
        tokens_BT: Tensor,
        cache: KeyValue | None,
        memory: Memory,
        spin: SpinInputs | None = None,
        need_maps: bool = False,
    ) -> StepOutput:
        """Decode T more tokens. cache None, or empty (S = 0), is the beginning of the answer."""

    def scores_of(self, tokens: Tensor) -> Tensor:
        """Where in a step's logits tokens are, of any shape."""
        return tokens if self.answer_tokens is None else self.answer_tokens.score_V[tokens]

    def tokens_of(self, scores: Tensor) -> Tensor:
        """The tokens at places of a step's logits, of any shape."""
        return scores if self.answer_tokens is None else self.answer_tokens.token_K[scores]

    def over_all_tokens(self, logits_BTK: Tensor) -> Tensor:
        """A step's logits as logits_BTV."""
        return logits_BTK if self.answer_tokens is None else self.answer_tokens.spread(logits_BTK)

    def empty_cache(self, batch: int) -> KeyValue:
        """Keys and values of no tokens, [L, B, G, 0, d] each."""
        config, weight = self.config, next(self.parameters())
        heads = config["key_value_heads"] or config["decoder_heads"]
        shape = (config["layers"], batch, heads, 0, config["head_width"])
        return weight.new_zeros(shape), weight.new_zeros(shape)


def build(config: dict[str, Any]) -> VLM:
    """The model of an artifact's config, with random weights."""
    return registry.load("models/decoder", config.get("decoder", OWN_DECODER)).build(config)
