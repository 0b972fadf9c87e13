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
    bias: Tensor | None = None, rank: int | None = None,
) -> Tensor:  # fmt: skip
    """Sum over all pairs divided by T, in nats; scalar. Embeddings of unit length, scale = 1 / temperature.

    Several texts of an image, gather and rank: as for info_nce. With a rank the pairs are those of this
    process's images with all texts, and the sum is divided by the number of its texts.
    """
    image_NE, text_TE = (image_BE, text_BE) if gather is None else (gather(image_BE), gather(text_BE))
    rows, own = len(image_NE), len(text_TE) if rank is None else len(text_BE)
    prior = -math.log(max(rows - 1, 1)) if bias is None else bias
    if rank is None:
        image_BE = image_NE
    logits_BT = scale * image_BE @ text_TE.T + prior
    number_B = torch.arange(len(image_BE), device=logits_BT.device) + len(image_BE) * (rank or 0)
    owner_T = torch.arange(len(text_TE), device=logits_BT.device) // (len(text_TE) // rows)
    positive_BT = (number_B[:, None] == owner_T).float()
    return -logsigmoid((2 * positive_BT - 1) * logits_BT).sum() / own
