"""A BERT trained from scratch (Devlin et al. 2018, arXiv 1810.04805): learned positions, masked-language
head whose output matrix is the input embedding. Pre-norm by default, which trains without a long warm-up;
`norm: post` with `eps: 1e-12` is the published form and equals the transformers implementation. Norms,
activation, positions and key-value heads are a LayerConfig.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sightline.models.feed_forward import usual_hidden
from sightline.models.layer_config import LayerConfig
from sightline.models.positions import token_positions
from sightline.models.tower import TextTower
from sightline.models.transformer import Encoder

EMBEDDING_STD = 0.02


def build(config: dict[str, Any]) -> Bert:
    """config: width, layers, heads, max_tokens, vocab_size; and where it is to differ, the fields of
    LayerConfig, hidden, dropout, tie_embeddings (the output matrix is the embedding)."""
    layer_config = LayerConfig.of(config)
    hidden = usual_hidden(config["width"], layer_config.activation)
    return Bert(
        {"hidden": hidden, "dropout": 0.0, "tie_embeddings": True, **layer_config._asdict(), **config}
    )


class MaskedLanguageHead(nn.Module):
    """Transform of the states and a bias per word; the output matrix belongs to the embedding, or, not tied,
    to the head."""

    def __init__(self, width: int, vocab_size: int, eps: float, tie_embeddings: bool = True):
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.activation = nn.GELU()
        self.norm = nn.LayerNorm(width, eps=eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.weight = None if tie_embeddings else nn.Parameter(EMBEDDING_STD * torch.randn(vocab_size, width))

    def forward(self, states_BTD: Tensor, embedding_VD: Tensor) -> Tensor:
        states_BTD = self.norm(self.activation(self.transform(states_BTD)))
        return nn.functional.linear(
            states_BTD, embedding_VD if self.weight is None else self.weight, self.bias
        )


class Bert(TextTower):
    """Token and position embeddings, norm, encoder."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.width = width = config["width"]
        self.max_tokens = config["max_tokens"]
        self.embedding = nn.Embedding(config["vocab_size"], width)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        layer_config = LayerConfig.of(config)
        # Sinusoids have a root mean square of 0.7: at full size nothing of a word would be left.
        self.positions = token_positions(layer_config.positions, self.max_tokens, width, EMBEDDING_STD)
        self.norm = layer_config.make_norm(width)
        self.dropout = nn.Dropout(config["dropout"])
        self.encoder = Encoder(
            config["layers"], width, config["heads"], config["hidden"], config["dropout"], layer_config
        )
        self.mlm_head = MaskedLanguageHead(
            width, config["vocab_size"], config["eps"], config["tie_embeddings"]
        )

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Raises IndexError for more than max_tokens tokens where positions have a table."""
        x_BTD = self.embedding(ids_BT)
        if self.positions is not None:
            x_BTD = x_BTD + self.positions(0, ids_BT.shape[1])
        return self.encoder(self.dropout(self.norm(x_BTD)), mask_BT[:, None, None, :])

    def word_embeddings(self) -> Tensor:
        return self.embedding.weight

    def mlm_logits(self, states_BTD: Tensor) -> Tensor:
        return self.mlm_head(states_BTD, self.embedding.weight)
