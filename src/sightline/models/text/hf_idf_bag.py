"""A pretrained text encoder as it came (hf) with a bag of counted words (idf_bag) beside it.

A token is the sum of its embedding times how rare it is and of a linear map of the encoder's state; a text is
the mean of its tokens, which is its embedding beside the image's. The encoder knows which words mean alike;
the bag learns which of them tell the pictures at hand apart.

The encoder never trains, so `align` reads every caption once.

Shapes: B batch, T tokens, D width, H the encoder's width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sightline.models.text import hf, idf_bag
from sightline.models.tower import TextTower

# Of the map at the start: so a text's two parts are about as long as each other (docs/log.md).
MAP_STD = 0.005

tokenizer_path = hf.tokenizer_path


def build(config: dict[str, Any]) -> HuggingFaceIdfBag:
    """config: width (align.embed_dim, see TextTower.projected), max_tokens, vocab_size (of the encoder's
    tokenizer) and checkpoint, as of hf; or encoder, as a built tower's config has it. Raises as hf.build."""
    encoder = hf.build(config["encoder"] if "encoder" in config else config)
    keys = ("tower", "width", "max_tokens", "vocab_size")
    kept = {key: config[key] for key in keys if key in config}
    return HuggingFaceIdfBag({**kept, "encoder": encoder.config}, encoder)


class HuggingFaceIdfBag(TextTower):
    """The sum of both. Masked words are predicted by the bag's rule; the encoder takes part in that as it
    is."""

    projected = False
    divided = True

    def __init__(self, config: dict[str, Any], encoder: hf.HuggingFaceText):
        super().__init__()
        self.config, self.encoder = config, encoder
        self.width, self.max_tokens = config["width"], config["max_tokens"]
        self.bag = idf_bag.build({key: config[key] for key in ("width", "max_tokens", "vocab_size")})
        self.map = nn.Linear(encoder.width, self.width)
        nn.init.normal_(self.map.weight, std=MAP_STD)
        nn.init.zeros_(self.map.bias)
        self.encoder.freeze()

    def freeze(self, frozen: bool = True) -> None:
        super().freeze(frozen)
        self.encoder.freeze()

    def count(self, documents: Iterable[list[int]]) -> None:
        self.bag.count(documents)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.upper(self.lower(ids_BT, mask_BT), ids_BT, mask_BT)

    def lower(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        with torch.no_grad():
            return self.encoder(ids_BT, mask_BT)

    def upper(self, lower_BTH: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.bag(ids_BT, mask_BT) + self.map(lower_BTH)

    def word_embeddings(self) -> Tensor:
        return self.bag.word_embeddings()

    def mlm_logits(self, states_BTD: Tensor) -> Tensor:
        return self.bag.mlm_logits(states_BTD)
