"""Masked-language modelling (BERT, arXiv 1810.04805, section 3.1). B batch, T tokens, V vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

IGNORED = -100  # target of a token that is not predicted


def mask_tokens(
    ids_BT: Tensor,
    mask_BT: Tensor,
    share: float,
    mask_id: int,
    vocab_size: int,
    special_ids: list[int],
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Inputs and targets, [B, T] each: `share` of the tokens that are neither padding nor special are
    predicted; of those 80 % are replaced by the mask token, 10 % by a random token, 10 % stay."""
    device = ids_BT.device
    free_BT = mask_BT & ~torch.isin(ids_BT, torch.tensor(special_ids, device=device))
    chosen_BT = free_BT & (torch.rand(ids_BT.shape, generator=generator, device=device) < share)
    fate_BT = torch.rand(ids_BT.shape, generator=generator, device=device)
    random_BT = torch.randint(vocab_size, ids_BT.shape, generator=generator, device=device)
    inputs_BT = ids_BT.where(~(chosen_BT & (fate_BT < 0.8)), mask_id)
    inputs_BT = inputs_BT.where(~(chosen_BT & (fate_BT >= 0.9)), random_BT)
    return inputs_BT, ids_BT.where(chosen_BT, IGNORED)


def loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cross-entropy over the predicted tokens, in nats; scalar; 0 (with a gradient of 0) where there
    are none."""
    predicted = (targets_BT != IGNORED).sum().clamp(min=1)
    total = cross_entropy(
        logits_BTV.flatten(0, -2).float(), targets_BT.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / predicted
