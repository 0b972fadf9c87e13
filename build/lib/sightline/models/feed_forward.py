"""The position-wise feed-forward network (Vaswani et al. 2017, section 3.3, with GELU). B batch, T tokens,
D width."""

from __future__ import annotations

from torch import Tensor, nn


class FeedForward(nn.Module):
    """x_BTD -> [B, T, D]: width -> hidden -> width."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.reduce = nn.Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.reduce(self.dropout(self.activation(self.expand(x_BTD))))
