"""The sigmoid contrastive loss (SigLIP, arXiv 2303.15343): every pair of the batch is a yes-or-no question.

Where the paper learns a bias that starts at -10, the bias here is fixed at the prior log-odds of a pair
that matches, -log(N - 1), unless a model brings one along.

Shapes: B images of this process, N images of all processes, T texts (C of each image in a row, T = C N), E
embedding width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def loss(
    image_BE: Tensor, text_BE: Tensor, scale: Tensor, gather: Callable[[Tensor], Tensor] | None = None,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Sum over all pairs divided by T, in nats; scalar. Embeddings of unit length, scale = 1 / temperature.

    Several texts of an image, and gather: as for info_nce.
    """
    if gather is not None:
        image_BE, text_BE = gather(image_BE), gather(text_BE)
    rows = image_BE.shape[0]
    prior = -math.log(max(rows - 1, 1)) if bias is None else bias
    logits_NT = scale * image_BE @ text_BE.T + prior
    positive_NT = torch.eye(rows, device=logits_NT.device).repeat_interleave(len(text_BE) // rows, 1)
    return -logsigmoid((2 * positive_NT - 1) * logits_NT).sum() / len(text_BE)
