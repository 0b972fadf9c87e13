"""Positions: what is added to embeddings, and what turns queries and keys; each can be drawn.

B batch, T tokens, H heads, D width, d width of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sightline.models.positions import ROTARY_BASE, rotate, token_positions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PositionalEncoding(nn.Module):
    """Adds sinusoidal (Vaswani et al. 2017, section 3.5) or learned positions, then dropout.

    Raises ValueError for another encoding_type.
    """

    def __init__(
        self,
        d_model: int,
        max_seq_length: int = 5000,
        dropout: float = 0.0,
        encoding_type: str = "sinusoidal",
    ):
        super().__init__()
        if encoding_type not in ("sinusoidal", "learned"):
            raise ValueError(f"encoding_type is {encoding_type!r}: choose sinusoidal or learned")
        self.encoding_type, self.max_seq_length = encoding_type, max_seq_length
        positions = token_positions(encoding_type, max_seq_length, d_model)
        assert positions is not None  # both kinds are added to the embeddings
        self.positions = positions
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, start: int = 0) -> Tensor:
        """[B, T, D]; the first token has position `start`. Raises ValueError beyond max_seq_length."""
        _check_length(start + x_BTD.shape[1], self.max_seq_length)
        return self.dropout(x_BTD + self.positions(start, x_BTD.shape[1]))

    @torch.no_grad()
    def visualize_encodings(self, positions: int = 100) -> Figure:
        """A heat map of the first positions, as a matplotlib figure that is shown and saved nowhere."""
        table_TD = self.positions(0, min(positions, self.max_seq_length)).cpu()
        return _heat_map(table_TD, f"{self.encoding_type} positions", "dimension")


class SinusoidalEncoding(PositionalEncoding):
    """PositionalEncoding of sines and cosines."""

    def __init__(self, d_model: int, max_seq_length: int = 5000, dropout: float = 0.0):
        super().__init__(d_model, max_seq_length, dropout, "sinusoidal")


class RotaryPositionEncoding(nn.Module):
    """Turns queries and keys by their positions (Su et al. 2021, arXiv 2104.09864), so that their product
    depends on the distance alone. Has no weights. Raises ValueError for an odd head_dim."""

    def __init__(self, head_dim: int, max_seq_length: int = 5000, base: float = ROTARY_BASE):
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"head_dim is {head_dim}: rotary positions turn pairs, so it must be even")
        self.head_dim, self.max_seq_length, self.base = head_dim, max_seq_length, float(base)

    def forward(self, query_BTHd: Tensor, key_BTHd: Tensor) -> tuple[Tensor, Tensor]:
        """Both turned, of the shapes they had. Raises ValueError beyond max_seq_length."""
        _check_length(max(query_BTHd.shape[1], key_BTHd.shape[1]), self.max_seq_length)
        query, key = (rotate(x.transpose(1, 2), 0, self.base).transpose(1, 2) for x in (query_BTHd, key_BTHd))
        return query, key

    @torch.no_grad()
    def visualize_rotation(self, positions: int = 100) -> Figure:
        """How far every pair of dimensions has turned at the first positions: the cosine of its angle, as a
        matplotlib figure that is shown and saved nowhere."""
        ones_BHTd = torch.cat([torch.ones(self.head_dim // 2), torch.zeros(self.head_dim // 2)])
        length = min(positions, self.max_seq_length)
        turned_TF = rotate(ones_BHTd.expand(1, 1, length, -1), 0, self.base)[0, 0, :, : self.head_dim // 2]
        return _heat_map(turned_TF, "cosine of the rotation", "pair of dimensions")


def _check_length(length: int, longest: int) -> None:
    if length > longest:
        raise ValueError(
            f"{length} tokens, but max_seq_length is {longest}: shorten the text or build a longer encoding"
        )


def _heat_map(values_TF: Tensor, title: str, label: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values_TF.numpy(), aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
    axes.set(title=title, xlabel=label, ylabel="position")
    figure.colorbar(image)
    return figure
