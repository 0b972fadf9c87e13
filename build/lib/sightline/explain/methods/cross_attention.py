"""Raw cross-attention: where the decoder's heads put their weight while each word of the answer was written.

The map of a word is the mean over its tokens, the layers and the heads, each head weighed by its SPIN gate
(a silenced head has little say in the word, so little say in the map). Attention is a cue, not a proof:
Jain and Wallace, 2019 (arXiv 1902.10186). Shapes: L layers, H heads, T answer tokens, M memory tokens
(image patches, then question).
"""

from typing import Any

import numpy as np

from sightline.explain.heatmap import Explanation, Heatmap, above_average, on_picture
from sightline.export.session import Answer, Session


def explain(
    session: Session, rgb: np.ndarray, question: str, spin: dict[str, Any], max_new: int
) -> Explanation:
    """Answer `question` about `rgb` [Y, X, 3] uint8 and explain every word of the answer.

    `spin` as in params.yaml; `max_new`: longest answer in tokens.
    """
    answer = session.answer([rgb], [question], spin=spin, max_new=max_new, need_maps=True)[0]
    return of_answer(session, answer, question, *rgb.shape[:2])


def of_answer(session: Session, answer: Answer, question: str, height: int, width: int) -> Explanation:
    """The explanation of an answer that brought its maps, for a picture of [height, width] pixels."""
    config = session.engine.config
    if answer.maps_LHTM is None:  # the model ended its answer before the first word
        return Explanation(
            question, answer.text, answer.confidence, [], np.zeros((config["layers"], config["heads"]))
        )
    rows, cols = config["grid"]
    gates_LHT, maps_LHTM = answer.gates_LHT, answer.maps_LHTM
    weight_LHTM = maps_LHTM * gates_LHT[..., None]
    total_T = np.maximum(gates_LHT.sum(axis=(0, 1)), np.finfo(np.float32).tiny)
    share_TM = weight_LHTM.sum(axis=(0, 1)) / total_T[:, None]
    words = []
    for word, positions in session.tokenizer.words(answer.ids):
        share_M = share_TM[positions].mean(axis=0)
        patch_map = above_average(share_M[: rows * cols].reshape(rows, cols))
        words.append(
            Heatmap(
                patch_map,
                on_picture(patch_map, height, width),
                _question_scores(session, answer.question_ids, share_M[rows * cols :]),
                {
                    "method": "cross_attention",
                    "word": word,
                    "image_share": float(share_M[: rows * cols].sum()),
                },
            )
        )
    return Explanation(question, answer.text, answer.confidence, words, (gates_LHT < 1).mean(axis=-1))


def _question_scores(
    session: Session, question_ids: list[int], share_Q: np.ndarray
) -> list[tuple[str, float]]:
    """Words of the question, template and padding left out, with their share of what fell on them."""
    words = session.tokenizer.words(question_ids)
    raw = np.array([float(share_Q[positions].sum()) for _, positions in words])
    total = max(float(raw.sum()), np.finfo(np.float64).tiny)
    return [(word, float(value / total)) for (word, _), value in zip(words, raw, strict=True)]
