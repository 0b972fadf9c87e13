"""The contrastive loss of CLIP (arXiv 2103.00020, figure 3): each image finds its text and each text its
image.

Shapes: B images and t texts of this process, N images of all processes, T texts (C of each image in a row,
T = C N), E embedding width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def loss(
    image_BE: Tensor, text_BE: Tensor, scale: Tensor, gather: Callable[[Tensor], Tensor] | None = None,
    rank: int | None = None,
) -> Tensor:  # fmt: skip
    """Mean of both cross-entropies, in nats; scalar. Embeddings of unit length, scale = 1 / temperature.

    text_BE may hold C texts of each image one after the other: every text looks for its image, and the image
    for each of them among all texts.

    gather: rows of all processes, with gradients summed over them. Every process then computes the loss of
    the global batch, and the mean of the processes' gradients is that batch's gradient.

    rank: the number of this process, which then compares its own rows alone with all gathered ones, as
    open_clip's local_loss does: B x T and t x N similarities in place of N x T. The mean of the processes'
    losses, and of their gradients, is that of the global batch.
    """
    image_NE, text_TE = (image_BE, text_BE) if gather is None else (gather(image_BE), gather(text_BE))
    if rank is None:
        image_BE, text_BE = image_NE, text_TE
    first_image, first_text = len(image_BE) * (rank or 0), len(text_BE) * (rank or 0)
    logits_BT = scale * image_BE @ text_TE.T
    logits_tN = logits_BT.T if rank is None else scale * text_BE @ image_NE.T
    texts_CB = (first_text + torch.arange(len(text_BE), device=logits_BT.device)).view(len(image_BE), -1).T
    image_t = first_image + torch.arange(len(text_BE), device=logits_BT.device) // len(texts_CB)
    to_text = torch.stack([cross_entropy(logits_BT, text_B) for text_B in texts_CB]).mean()
    return (to_text + cross_entropy(logits_tN, image_t)) / 2
