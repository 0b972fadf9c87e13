"""Which words of the caption does some patch show? Multiple-instance learning: an image shows a word if one
of its patches does (log-sum-exp pooling: Pinheiro and Collobert 2015, arXiv 1411.6228).

Shapes: B batch, P patches, W words that are predicted.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def loss(word_logits_BPW: Tensor, targets_BW: Tensor) -> Tensor:
    """Binary cross-entropy over all words, per word that is shown, in nats; scalar. targets: 1.0 where a
    caption has the word.

    Per shown word, since the many words that an image does not show soon cost nothing: a mean over the
    vocabulary would weigh less the longer the word list is. The number shown is the batch's mean; in
    data-parallel training each process takes its own. An image's logit is the log of the mean over patches of
    exp(logit), so that an image of equal patches has theirs.
    """
    pooled_BW = word_logits_BPW.float().logsumexp(1) - math.log(word_logits_BPW.shape[1])
    total = binary_cross_entropy_with_logits(pooled_BW, targets_BW, reduction="sum")
    return total / targets_BW.sum().clamp(min=1)
