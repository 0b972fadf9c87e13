"""How likely the answering model would describe a picture in given words. Numpy alone.

N pairs of picture and text, B batch, S text tokens, T answer tokens.
"""

from collections.abc import Sequence

import numpy as np

from sightline.core.params.generation import SPIN_OFF
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.inference.batching import filled
from sightline.inference.encoding import Encoder
from sightline.inference.engine import log_softmax, take_memory


def score(
    encoder: Encoder, images: Sequence[np.ndarray], texts: Sequence[str], image_N: np.ndarray,
    text_N: np.ndarray, batch_size: int,
) -> np.ndarray:  # fmt: skip
    """Session.score_captions."""
    k_L, alpha = encoder.heads_kept(SPIN_OFF)
    written_NS, real_NS = encoder.tokenizer.batch_answers(texts, encoder.engine.config["max_answer"])
    written_NS[:, 0] = encoder.start
    written_NS[written_NS == encoder.tokenizer.eos] = encoder.end
    ids_1S, mask_1S = encoder.question_ids([DESCRIBE])
    ids_BS, mask_BS = (np.repeat(array, batch_size, axis=0) for array in (ids_1S, mask_1S))
    tokens_NPD, score_N = encoder.image_tokens(encoder.pixels(images), batch_size), np.zeros(len(image_N))
    for pictures, rows in filled(np.unique(image_N), batch_size):
        memory = encoder.engine.memory(tokens_NPD[rows], ids_BS, mask_BS)
        pairs = np.flatnonzero(np.isin(image_N, pictures))
        for chunk, rows in filled(pairs, batch_size):
            of_pair = take_memory(memory, np.searchsorted(pictures, image_N[rows]))
            words_BT, real_BT = written_NS[text_N[rows]], real_NS[text_N[rows]]
            longest = int(real_BT.sum(1).max())
            step = encoder.engine.step(words_BT[:, : longest - 1], None, of_pair, k_L, alpha, False)
            next_BT1 = words_BT[:, 1:longest, None]
            logprobs_BT = np.take_along_axis(log_softmax(step.logits_BTV), next_BT1, axis=2)[..., 0]
            score_N[chunk] = (logprobs_BT * real_BT[:, 1:longest]).sum(1)[: len(chunk)]
    return score_N
