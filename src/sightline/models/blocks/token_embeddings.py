"""Tokens as vectors. B batch, T tokens, D width."""

from __future__ import annotations

import math

from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """A vector per token, times sqrt(d_model) (Vaswani et al. 2017, section 3.4), Xavier uniform at first."""

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        nn.init.xavier_uniform_(self.embedding.weight)
        self.scale = math.sqrt(d_model)

    @property
    def weight(self) -> Tensor:
        """The unscaled table, [vocab_size, d_model]."""
        return self.embedding.weight

    def forward(self, ids_BT: Tensor) -> Tensor:
        """[B, T, D]. Raises IndexError for a token outside the vocabulary."""
        return self.embedding(ids_BT) * self.scale
