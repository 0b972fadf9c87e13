"""The tokens that a decoder scores, where its tokenizer has many more than the answers it learns from.

The tokenizer of a pretrained text encoder has 30,000 tokens and more, answers a few thousand of them. A score
for each of these is enough, and one that all other tokens share evenly: so every text has a likelihood,
whatever its words.

Shapes: V tokens of the tokenizer, K scores; the last is that of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def scored(used: Iterable[int], vocab_size: int) -> list[int] | None:
    """`used` in order, then a token that stands for all others; None where every token is used."""
    kept = set(used)
    others = next((token for token in range(vocab_size) if token not in kept), None)
    return None if others is None else [*sorted(kept), others]


class AnswerTokens(nn.Module):
    """tokens: as `scored` gives them. They are part of a model's config, so that no weights hold them."""

    token_K: Tensor
    score_V: Tensor
    share_V: Tensor

    def __init__(self, tokens: Sequence[int], vocab_size: int):
        super().__init__()
        token_K = torch.tensor(tokens)
        score_V = torch.full((vocab_size,), len(tokens) - 1)
        score_V[token_K] = torch.arange(len(tokens))
        others_V = score_V == len(tokens) - 1
        share_V = torch.where(others_V, -math.log(int(others_V.sum())), 0.0)
        for name, tensor in (("token_K", token_K), ("score_V", score_V), ("share_V", share_V)):
            self.register_buffer(name, tensor, persistent=False)

    def spread(self, logits_BTK: Tensor) -> Tensor:
        """Logits of all tokens, [B, T, V], of the same distribution: the others have equal parts of the last
        score's."""
        return logits_BTK.index_select(-1, self.score_V) + self.share_V
