"""The contrastive loss of CLIP (arXiv 2103.00020, figure 3): each image finds its text and each text its
image.

Shapes: B rows of this process, N rows of all processes, E embedding width.
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

    gather: rows of all processes, with gradients summed over them. Every process then computes the loss of
    the global batch, and the mean of the processes' gradients is that batch's gradient.
    """
    if gather is not None:
        image_BE, text_BE = gather(image_BE), gather(text_BE)
    logits_NN = scale * image_BE @ text_BE.T
    target_N = torch.arange(logits_NN.shape[0], device=logits_NN.device)
    return (cross_entropy(logits_NN, target_N) + cross_entropy(logits_NN.T, target_N)) / 2
