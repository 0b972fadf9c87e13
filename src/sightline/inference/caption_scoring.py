"""How likely the answering model would describe a picture in given words. Numpy alone, as session.

N pairs of picture and text, B batch, S text tokens, T answer tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sightline.core.params.generation import SPIN_OFF
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.inference.batching import filled
from sightline.inference.engine import log_softmax, take_memory

if TYPE_CHECKING:
    from sightline.inference.session import Session


def score(
    session: Session, images: Sequence[np.ndarray], texts: Sequence[str], image_N: np.ndarray,
    text_N: np.ndarray, batch_size: int,
) -> np.ndarray:  # fmt: skip
    """Session.score_captions."""
    written_NS, real_NS = session.tokenizer.batch(list(texts), session.engine.config["max_answer"])
    ids_1S, mask_1S = session.question_ids([DESCRIBE])
    ids_BS, mask_BS = (np.repeat(array, batch_size, axis=0) for array in (ids_1S, mask_1S))
    k_L, alpha = session.heads_kept(SPIN_OFF)
    tokens_NPD, score_N = session.image_tokens(session.pixels(images), batch_size), np.zeros(len(image_N))
    for pictures, rows in filled(np.unique(image_N), batch_size):
        memory = session.engine.memory(tokens_NPD[rows], ids_BS, mask_BS)
        pairs = np.flatnonzero(np.isin(image_N, pictures))
        for chunk, rows in filled(pairs, batch_size):
            of_pair = take_memory(memory, np.searchsorted(pictures, image_N[rows]))
            words_BT, real_BT = written_NS[text_N[rows]], real_NS[text_N[rows]]
            longest = int(real_BT.sum(1).max())
            step = session.engine.step(words_BT[:, : longest - 1], None, of_pair, k_L, alpha, False)
            next_BT1 = words_BT[:, 1:longest, None]
            logprobs_BT = np.take_along_axis(log_softmax(step.logits_BTV), next_BT1, axis=2)[..., 0]
            score_N[chunk] = (logprobs_BT * real_BT[:, 1:longest]).sum(1)[: len(chunk)]
    return score_N
