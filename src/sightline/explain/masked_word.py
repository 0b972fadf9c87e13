"""Which words carry a masked word? The text tower alone, by integrated gradients (arXiv 1703.01365) from a
text in which every other word is masked too, to the text as it is.

Shapes: B steps of the line, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sightline.data.tokenizer import Tokenizer

if TYPE_CHECKING:
    from sightline.models.tower import TextTower

MASK, STEPS = "[MASK]", 32


class Filled(NamedTuple):
    """The likeliest words for the mask with their probabilities, and what every given word adds to the
    log-probability of the first."""

    words: list[tuple[str, float]]
    carried_by: list[tuple[str, float]]


def explain(tower: TextTower, tokenizer: Tokenizer, text: str, count: int = 5) -> Filled:
    """`text` holds one [MASK], whatever the tokenizer calls it. Raises ValueError when it does not, and for a
    tower whose tokenizer has no mask token."""
    import torch

    from sightline.explain.gradients import fading, hooked, word_table

    before, *rest = text.split(MASK)
    if len(rest) != 1:
        raise ValueError(f"explain --masked: {text!r} holds {MASK} {len(rest)} times; write it once")
    ids, position = tokenizer.encode_masked(before, rest[0])
    words = tokenizer.words(ids)
    limit = tower.config["max_tokens"]
    if len(ids) > limit:
        raise ValueError(f"explain --masked: {len(ids)} tokens, but the text tower reads {limit}")
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    along_B = np.append((nodes + 1) / 2, 1.0)  # the last row is the text as it is
    word_T = np.zeros(len(ids))
    word_T[[at for _, positions in words for at in positions]] = 1.0
    presence_BT = torch.from_numpy((1 - word_T + along_B[:, None] * word_T).astype(np.float32))
    presence_BT.requires_grad_()

    ids_BT = torch.tensor([ids] * len(along_B))
    with hooked([(word_table(tower), fading(presence_BT, tokenizer.mask))]):
        states_BTD = tower(ids_BT, torch.ones(ids_BT.shape, dtype=torch.bool))
    log_prob_BV = tower.mlm_logits(states_BTD)[:, position].log_softmax(-1)
    log_prob_V = log_prob_BV[-1].detach().clone()
    log_prob_V[sorted(tokenizer.special_ids)] = -torch.inf
    best = log_prob_V.topk(count)
    slope_BT = torch.autograd.grad(log_prob_BV[:-1, best.indices[0]].sum(), presence_BT)[0].numpy()[:-1]
    of_token_T = weights / 2 @ slope_BT * word_T
    names = [tokenizer.decode([i]) or tokenizer.pieces([i])[0] for i in best.indices.tolist()]
    filled = zip(names, best.values.exp().tolist(), strict=True)
    return Filled(list(filled), [(word, float(of_token_T[positions].sum())) for word, positions in words])
