"""The sigmoid contrastive loss (SigLIP, arXiv 2303.15343): every pair of the batch is a yes-or-no question.

Where the paper learns a bias that starts at -10, the bias here is fixed at the prior log-odds of a pair
that matches, -log(N - 1), so that the loss needs no parameter of its own.

Shapes: B rows of this process, N rows of all processes, E embedding width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def loss(
    image_BE: Tensor, text_BE: Tensor, scale: Tensor, gather: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Sum over all pairs divided by N, in nats; scalar. Embeddings of unit length, scale = 1 / temperature.

    gather: as for info_nce.
    """
    if gather is not None:
        image_BE, text_BE = gather(image_BE), gather(text_BE)
    rows = image_BE.shape[0]
    logits_NN = scale * image_BE @ text_BE.T - math.log(max(rows - 1, 1))
    sign_NN = 2 * torch.eye(rows, device=logits_NN.device) - 1
    return -logsigmoid(sign_NN * logits_NN).sum() / rows
