"""Learned positions of tokens and of image patches. T text tokens, P image patches, D width."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TokenPositions(nn.Module):
    """A learned vector per token position."""

    def __init__(self, max_tokens: int, width: int):
        super().__init__()
        self.table = nn.Embedding(max_tokens, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, start: int, length: int) -> Tensor:
        """Positions start .. start + length - 1, [T, D]. Raises IndexError beyond max_tokens."""
        return self.table(torch.arange(start, start + length, device=self.table.weight.device))


class PatchPositions(nn.Module):
    """A learned vector per image patch, started from the patch's coordinates.

    Row and column, each in [-1, 1], along two random directions of length 0.5 per number: from the first
    step on left, right, above and below are linear in the table.
    """

    def __init__(self, rows: int, cols: int, width: int):
        super().__init__()
        y_P, x_P = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
        coordinates_P2 = torch.stack([y_P.flatten(), x_P.flatten()], dim=1)
        self.table = nn.Parameter(coordinates_P2 @ (0.5 * torch.randn(2, width)))

    def forward(self) -> Tensor:
        return self.table
