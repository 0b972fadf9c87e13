"""Controls of SPIN: gates that suppress as many heads as the published rule, chosen without or against it.

A finding about SPIN counts only if the same gate over random heads, or over the heads that attend most to the
image, does not have it too. Both are rules of `spin.gate.SpinInputs` and run in PyTorch only. Shapes: B
batch, H heads, T queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightline.spin.gate import RESOLUTION, gate

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RandomHeads:
    """Rule that keeps K random heads of every row, query and layer, the same ones for the same seed."""

    seed: int

    def __call__(self, scores_BHT: Tensor, k: Tensor, alpha: Tensor, layer: int) -> Tensor:
        return gate(random_scores(scores_BHT, self.seed, layer), k, alpha)


def inverse(scores_BHT: Tensor, k: Tensor, alpha: Tensor, layer: int) -> Tensor:
    """Rule that keeps the K heads that attend least to the image; scores: attention mass."""
    return gate(inverse_scores(scores_BHT), k, alpha)


def inverse_scores(scores_BHT: Tensor) -> Tensor:
    """Attention mass that is not on the image, [B, H, T]."""
    return 1.0 - scores_BHT


def random_scores(scores_BHT: Tensor, seed: int, layer: int) -> Tensor:
    """A number in [0, 1) for every head, row and query, [B, H, T] float32: a hash (MurmurHash3's last step)
    of the row's rounded scores, the seed, the layer and the head. So it depends neither on neighbours nor on
    the order of calls, and differs from token to token as SPIN's own choice does."""
    bits = 0xFFFFFFFF
    head_H1 = scores_BHT.new_ones(scores_BHT.shape[1], 1).cumsum(0).long()
    row_B1T = ((scores_BHT / RESOLUTION).round().long() * (2 * head_H1 + 1)).sum(1, keepdim=True)
    hash_BHT = (row_B1T * 0x9E3779B1 + head_H1 * 0x7FEB352D + (seed * 64 + layer) * 0x846CA68B) & bits
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hash_BHT = ((hash_BHT ^ (hash_BHT >> shift)) * factor) & bits
    return ((hash_BHT ^ (hash_BHT >> 16)).double() / (bits + 1)).float()
