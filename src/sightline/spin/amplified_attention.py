"""PAI's attention: more weight on the image (Liu et al. 2024, arXiv 2407.21771). B batch, H heads, T queries,
M memory tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def amplified(logits_BHTM: Tensor, image_BM: Tensor, strength: float) -> Tensor:
    """Attention logits with more weight on the image: logit + strength * |logit| where image_BM is True
    (equation 4). [B, H, T, M]."""
    return logits_BHTM + strength * logits_BHTM.abs() * image_BM[:, None, None, :]
