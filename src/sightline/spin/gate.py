"""SPIN: image-guided head suppression at decoding time (arXiv 2505.16411).

For every layer and query, heads are ranked by their attention to the image; the first K pass unchanged,
the others are multiplied by alpha between the per-head output and the output projection. Differences from
the published code: the score is the post-softmax mass on the image tokens (`logit_sum`, the published one,
is kept for parity; it is not invariant to a constant added to a head's logits); every query of every batch
row is ranked on its own (the published code gates only the last query at prefill, which in this decoder is
the same, since its prompt is one token).

A `GateRule` turns scores into factors: `published` unless `SpinInputs` names another, such as the controls of
`spin.controls`. Other rules run in PyTorch only.

Shapes: B batch, H heads, T queries, M memory tokens, L layers. Importing this module does not import torch:
the functions use tensor methods only, and only operations that export to ONNX (a comparison and a sum, no
top-k).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

SCORES = ("mass", "logit_sum")
RESOLUTION = 1e-4  # scores are rounded to this, so that PyTorch and ONNX Runtime agree on what a tie is


def heads_kept(
    keep: float | None, top_k: int | None, layers: Sequence[int], num_layers: int, num_heads: int
) -> list[int]:
    """K for every layer: floor(keep * H), at least 1, or top_k, in `layers`; H in the layers that are not
    gated.

    Raises ValueError unless exactly one of keep (in (0, 1]) and top_k (1..H) is given and layers exist.
    """
    if (keep is None) == (top_k is None):
        raise ValueError(f"spin: give exactly one of keep and top_k, got keep={keep!r} and top_k={top_k!r}")
    if keep is not None and not 0 < keep <= 1:
        raise ValueError(f"spin.keep is {keep}: it is a share of the heads, in (0, 1]; 1 turns SPIN off")
    if top_k is not None and not 1 <= top_k <= num_heads:
        raise ValueError(
            f"spin.top_k is {top_k}: this model has {num_heads} heads per layer, so use 1..{num_heads}"
        )
    unknown = [layer for layer in layers if not 0 <= layer < num_layers]
    if unknown:
        raise ValueError(f"spin.layers names {unknown}: this model has the layers 0..{num_layers - 1}")
    if top_k is None:
        assert keep is not None  # exactly one of them is given
        top_k = share_kept(keep, num_heads)
    return [top_k if layer in layers else num_heads for layer in range(num_layers)]


def share_kept(keep: float, num_heads: int) -> int:
    """floor(keep * H), at least 1. The small term undoes binary rounding: 0.29 * 100 is 28.999999999999996
    and means 29."""
    return max(1, math.floor(keep * num_heads + 1e-9))


def scores(attn_BHTM: Tensor, logits_BHTM: Tensor, image_BM: Tensor, kind: str = "mass") -> Tensor:
    """Attention of each head to the image, [B, H, T]: attention mass in [0, 1], float32, or the sum of
    logits, float64 (sums reach thousands, and `gate` tells ties in steps of 1e-4).

    attn is the softmax of logits; image_BM is True at the image tokens. Raises ValueError for an unknown
    kind.
    """
    if kind not in SCORES:
        raise ValueError(f"spin.score is {kind!r}: choose one of {', '.join(SCORES)}")
    values_BHTM = attn_BHTM.float() if kind == "mass" else logits_BHTM.double()
    return values_BHTM.where(image_BM[:, None, None, :], 0.0).sum(-1)


def gate(scores_BHT: Tensor, k: Tensor, alpha: Tensor) -> Tensor:
    """Factor per head, [B, H, T]: exactly 1.0 for the K heads of largest score, alpha for the others.

    Scores are rounded to 1e-4; equal ones rank by head index, the lower first (exact for float32 scores below
    838, 2**23 steps, and any float64 ones that occur). k: int tensor of one number, alpha: float tensor, both
    known only at run time. With k = H the result is all ones.
    """
    num_heads = scores_BHT.shape[1]
    rounded_BHT = (scores_BHT / RESOLUTION).round()
    mine_BH1T, other_B1HT = rounded_BHT[:, :, None, :], rounded_BHT[:, None, :, :]
    # Whole numbers: half a step more lets a lower index win a tie and nothing else.
    ahead_HH1 = 0.5 * scores_BHT.new_ones(num_heads, num_heads).tril(-1)[:, :, None]
    rank_BHT = (other_B1HT + ahead_HH1 > mine_BH1T).sum(2)
    return alpha.new_ones(()).where(rank_BHT < k, alpha)


class GateRule(Protocol):
    """Factor per head, [B, H, T], from the scores [B, H, T] of a layer, its K (int tensor of one number),
    alpha (float tensor) and its number."""

    def __call__(self, scores_BHT: Tensor, k: Tensor, alpha: Tensor, layer: int) -> Tensor: ...


def published(scores_BHT: Tensor, k: Tensor, alpha: Tensor, layer: int) -> Tensor:
    """The rule of the paper, the same in every layer: `gate`."""
    return gate(scores_BHT, k, alpha)


class SpinInputs(NamedTuple):
    """Run-time inputs of the gate: K per layer (int tensor [L]; K = H leaves a layer alone), alpha (scalar
    tensor), score (one of SCORES) and the rule; `amplify` is the strength of spin.amplified_attention (0:
    none)."""

    k_L: Tensor
    alpha: Tensor
    score: str = "mass"
    rule: GateRule = published
    amplify: float = 0.0


def near_ties(maps_LBHTM: np.ndarray, image_BM: np.ndarray, k_L: np.ndarray) -> int:
    """How many (layer, row, query) have less than twice the rounding step between the last kept and the
    first suppressed head's mass: there two runtimes whose masses differ in the last bits may suppress
    different heads."""
    count = 0
    for maps_BHTM, k in zip(maps_LBHTM, k_L, strict=True):
        mass_BHT = (maps_BHTM * image_BM[:, None, None, :]).sum(-1)
        if k < mass_BHT.shape[1]:
            sorted_BHT = -np.sort(-mass_BHT, axis=1)
            count += int((sorted_BHT[:, k - 1] - sorted_BHT[:, k] < 2 * RESOLUTION).sum())
    return count
