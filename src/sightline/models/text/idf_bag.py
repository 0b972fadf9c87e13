"""A bag of counted words: every token is its embedding times how rare it is in the captions, and a text is
their mean, which is its embedding beside the image's without a projection in between.

The weight is the inverse document frequency (Spärck Jones 1972); with the linear image projection this is a
bilinear model of TF-IDF vectors, as in WSABIE (Weston et al. 2011). docs/reports/flickr8k.md has what it
reached on few captions, beside an attention over them. The masked-word head predicts from the mean of the
others (CBOW, Mikolov et al. 2013, arXiv 1301.3781).

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sightline.models.positions import token_positions
from sightline.models.tower import TextTower

EMBEDDING_STD = 0.02


def build(config: dict[str, Any]) -> IdfBag:
    """config: width (align.embed_dim, see TextTower.projected), max_tokens, vocab_size, positions (learned
    where it is not named)."""
    return IdfBag({"positions": "learned", **config})


class IdfBag(TextTower):
    """Weighted token embeddings; positions, which tell the answering model the order of a question's words,
    where the config asks for a table of them."""

    projected = False
    rarity_V: Tensor

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.width, self.max_tokens = config["width"], config["max_tokens"]
        self.embedding = nn.Embedding(config["vocab_size"], self.width)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        self.positions = token_positions(config["positions"], self.max_tokens, self.width, EMBEDDING_STD)
        self.register_buffer("rarity_V", torch.ones(config["vocab_size"]))
        self.bias = nn.Parameter(torch.zeros(config["vocab_size"]))

    def count(self, documents: Iterable[list[int]]) -> None:
        """rarity = ln(n / documents with the token) of n documents: 0 for what stands in all of them, the
        beginning and end of a text included, and for what stands in none, as the mask."""
        counts_V, num_documents = torch.zeros_like(self.rarity_V), 0
        for ids in documents:
            counts_V[sorted(set(ids))] += 1
            num_documents += 1
        self.rarity_V.copy_(torch.log(num_documents / counts_V.clamp(min=1)) * (counts_V > 0))

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Raises IndexError for more than max_tokens tokens where positions have a table."""
        x_BTD = self.embedding(ids_BT) * self.rarity_V[ids_BT][..., None]
        return x_BTD if self.positions is None else x_BTD + self.positions(0, ids_BT.shape[1])

    def word_embeddings(self) -> Tensor:
        return self.embedding.weight

    def mlm_logits(self, states_BTD: Tensor) -> Tensor:
        """From the mean of all states: those of the mask and the padding are nothing but positions."""
        mean_B1D = states_BTD.mean(1, keepdim=True)
        logits_B1V = nn.functional.linear(mean_B1D, self.embedding.weight, self.bias)
        return logits_B1V.expand(-1, states_BTD.shape[1], -1)
