"""Image-text matching with hard negatives (ALBEF, arXiv 2107.07651, section 3.2). B rows, K pairs of each
kind."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def pairs(
    similarity_BB: Tensor, count: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """image_index, text_index and label (1.0 = belong together) of 3 * K pairs, K = min(count // 3, B), at
    least 1.

    K rows with their own text, the same images with a wrong text and the same texts with a wrong image;
    wrong ones are drawn with the probability that the dual encoder gives them. similarity_BB: logits,
    images by texts, B >= 2.
    """
    rows = similarity_BB.shape[0]
    if rows < 2:
        raise ValueError(
            "matching: a batch of one row has no wrong text to draw; use align.batch_size of 2 or more"
        )
    device = similarity_BB.device
    drawn_K = torch.randperm(rows, generator=generator, device=device)[: max(1, min(count // 3, rows))]
    negatives_BB = (
        similarity_BB.detach().float().masked_fill(torch.eye(rows, dtype=torch.bool, device=device), -1e9)
    )
    wrong_text_K = torch.multinomial(negatives_BB[drawn_K].softmax(1), 1, generator=generator)[:, 0]
    wrong_image_K = torch.multinomial(negatives_BB.T[drawn_K].softmax(1), 1, generator=generator)[:, 0]
    label = torch.zeros(3 * len(drawn_K), device=device)
    label[: len(drawn_K)] = 1.0
    return torch.cat([drawn_K, drawn_K, wrong_image_K]), torch.cat([drawn_K, wrong_text_K, drawn_K]), label


def loss(match_logits: Tensor, label: Tensor) -> Tensor:
    """Mean cross-entropy of each true pair against its wrong text and against its wrong image, in nats;
    scalar.

    Two-way choices in place of the paper's yes or no: a re-ranker only has to order pairs, and needs no
    threshold.
    """
    right_K = match_logits[label == 1].float()
    wrong_2K = match_logits[label == 0].float().view(2, -1)
    return softplus(wrong_2K - right_K).mean()
