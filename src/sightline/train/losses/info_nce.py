"""The contrastive loss of CLIP (arXiv 2103.00020, figure 3): each image finds its text and each text its
image.

Shapes: B images of this process, N images of all processes, T texts (C of each image in a row, T = C N), E
embedding width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def loss(
    image_BE: Tensor, text_BE: Tensor, scale: Tensor, gather: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Mean of both cross-entropies, in nats; scalar. Embeddings of unit length, scale = 1 / temperature.

    text_BE may hold C texts of each image one after the other: every text looks for its image, and the image
    for each of them among all texts.

    gather: rows of all processes, with gradients summed over them. Every process then computes the loss of
    the global batch, and the mean of the processes' gradients is that batch's gradient.
    """
    if gather is not None:
        image_BE, text_BE = gather(image_BE), gather(text_BE)
    logits_NT = scale * image_BE @ text_BE.T
    texts_CN = torch.arange(len(text_BE), device=logits_NT.device).view(len(image_BE), -1).T
    image_T = torch.arange(len(text_BE), device=logits_NT.device) // len(texts_CN)
    to_text = torch.stack([cross_entropy(logits_NT, text_N) for text_N in texts_CN]).mean()
    return (to_text + cross_entropy(logits_NT.T, image_T)) / 2
