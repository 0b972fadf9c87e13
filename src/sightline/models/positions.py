"""Position encodings of tokens and of image patches.

Shapes: B batch, H heads, T tokens, M keys, P image patches, D width, d width of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

ROTARY_BASE = 10000.0


class TokenPositions(nn.Module):
    """A learned vector per token position."""

    def __init__(self, max_tokens: int, width: int):
        super().__init__()
        self.table = nn.Embedding(max_tokens, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, start: int, length: int) -> Tensor:
        """Positions start .. start + length - 1, [T, D]. Raises IndexError beyond max_tokens."""
        return self.table(torch.arange(start, start + length, device=self.table.weight.device))


class SinusoidalPositions(nn.Module):
    """Sines and cosines of fixed wavelengths (Vaswani et al. 2017, section 3.5); nothing of it is saved."""

    table: Tensor

    def __init__(self, max_tokens: int, width: int, gain: float = 1.0):
        super().__init__()
        self.register_buffer("table", gain * sinusoids(max_tokens, width), persistent=False)

    def forward(self, start: int, length: int) -> Tensor:
        """As TokenPositions."""
        return self.table[torch.arange(start, start + length, device=self.table.device)]


def token_positions(
    kind: str, max_tokens: int, width: int, gain: float = 1.0
) -> TokenPositions | SinusoidalPositions | None:
    """The position vectors added to the embeddings for LayerConfig.positions; None where attention alone uses
    positions, or nothing does. gain: of the sinusoids, which are up to 1, to match the embeddings."""
    if kind == "learned":
        return TokenPositions(max_tokens, width)
    if kind == "sinusoidal":
        return SinusoidalPositions(max_tokens, width, gain)
    if kind in ("rotary", "alibi", "none"):
        return None
    raise ValueError(f"positions are {kind!r}: choose learned, sinusoidal, rotary, alibi or none")


def sinusoids(length: int, width: int) -> Tensor:
    """sin in the even columns and cos in the odd ones, [T, D]; wavelengths from 2 pi to 10000 * 2 pi."""
    rate_F = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle_TF = torch.arange(length)[:, None] * rate_F
    return torch.stack([angle_TF.sin(), angle_TF.cos()], 2).flatten(1)[:, :width]


def rotate(x_BHTd: Tensor, start: int, base: float = ROTARY_BASE) -> Tensor:
    """Rotary positions (Su et al. 2021, arXiv 2104.09864): number i and i + d/2 of a head turn together, by
    position * base^(-2i/d), as in Llama. The first token has position `start`. d must be even."""
    half = x_BHTd.shape[3] // 2
    rate_F = base ** (-torch.arange(half, device=x_BHTd.device) / half)
    position_T = torch.arange(start, start + x_BHTd.shape[2], device=x_BHTd.device)
    angle_TF = position_T[:, None] * rate_F
    cos_TF, sin_TF = angle_TF.cos(), angle_TF.sin()
    first, second = x_BHTd[..., :half], x_BHTd[..., half:]
    turned = torch.cat([first * cos_TF - second * sin_TF, second * cos_TF + first * sin_TF], 3)
    return turned.to(x_BHTd.dtype)


def alibi_slopes(heads: int) -> Tensor:
    """Distance penalty of each head (Press et al. 2021, arXiv 2108.12409), [H]: 2^(-8h/H) for a
    power of two, else those of the next smaller power and every other one of the next larger, as in BLOOM."""
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * head / whole) for head in range(1, whole + 1)]
    slopes += [2.0 ** (-4.0 * head / whole) for head in range(1, 2 * (heads - whole), 2)]
    return torch.tensor(slopes)


def alibi_bias(slopes_H: Tensor, queries: int, keys: int) -> Tensor:
    """ALiBi's bias of the logits, [H, T, M]: minus slope times distance. The queries are the last of the
    keys. In an encoder, which also looks ahead, a text and its reversal are therefore the same."""
    key_M = torch.arange(keys, device=slopes_H.device)
    query_T = torch.arange(keys - queries, keys, device=slopes_H.device)
    return -slopes_H[:, None, None] * (query_T[:, None] - key_M[None, :]).abs()


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
