"""Raw cross-attention: where the decoder's heads put their weight while a word of the answer was written.

The map of a word is the mean over its tokens, the layers and the heads, each head weighed by its SPIN gate
(a silenced head adds little to the word, so little to the map). `of_heads` looks at some of them.
Words are drawn together: one by one costs a long answer more than all the rest of its explanation.
Attention is a cue, not a proof: Jain and Wallace, 2019 (arXiv 1902.10186). Needs no torch. Shapes: L layers,
H heads, T answer tokens, M memory tokens (image patches, then question), N words, S side of the square.
"""

import numpy as np

from sightline.explain.heatmap import Heatmap, above_average, of_question, on_picture
from sightline.explain.target import ExplainedAnswer, ExplainedModel

TINY = 1e-30  # where every head is silenced the map is dark


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    """Every layer and head."""
    return explain_words(model, answer, [tokens])[0]


def explain_words(model: ExplainedModel, answer: ExplainedAnswer, words: list[list[int]]) -> list[Heatmap]:
    """Every layer and head, for the words at these tokens."""
    config = model.session.engine.config
    return of_heads(model, answer, words, np.ones((config["layers"], config["heads"])))


def of_heads(
    model: ExplainedModel, answer: ExplainedAnswer, words: list[list[int]], weight_LH: np.ndarray
) -> list[Heatmap]:
    """The heads in proportion to `weight_LH`: all ones but for a row of zeros leaves out a layer."""
    if not words:
        return []
    rows, cols = model.grid
    share_NM = np.stack([part_TM.mean(axis=0) for part_TM in _shares(answer, words, weight_LH)])
    patches_NRC = share_NM[:, : rows * cols].reshape(-1, rows, cols)
    scores_NSS = model.spread(patches_NRC)
    patch_maps, square_maps = above_average(patches_NRC), above_average(scores_NSS)
    image_N, question_NQ = patches_NRC.sum(axis=(1, 2)).tolist(), share_NM[:, rows * cols :].tolist()
    return [
        Heatmap(
            patch_maps[n],
            on_picture(square_maps[n], answer.seen),
            of_question(
                [
                    (word, sum(question_NQ[n][position] for position in positions))
                    for word, positions in answer.question_words
                ]
            ),
            # Attention also falls on the template's tokens, so the image's share is of all of it.
            {"method": "cross_attention", "word": answer.word(tokens), "image_share": image_N[n]},
            scores_NSS[n],
            answer.seen,
        )
        for n, tokens in enumerate(words)
    ]


def _shares(answer: ExplainedAnswer, words: list[list[int]], weight_LH: np.ndarray) -> list[np.ndarray]:
    """What every token of every word took from the memory, [T, M] a word."""
    assert answer.gates_LHT is not None and answer.maps_LHTM is not None  # an answer with words has them
    tokens = [token for positions in words for token in positions]
    weight_LHT = answer.gates_LHT[..., tokens] * weight_LH[..., None]
    weight_LHT /= weight_LHT.sum(axis=(0, 1)) + TINY
    heads = weight_LH.size
    maps_TAM = answer.maps_LHTM[:, :, tokens].transpose(2, 0, 1, 3).reshape(len(tokens), heads, -1)
    share_TM = (weight_LHT.transpose(2, 0, 1).reshape(len(tokens), 1, heads) @ maps_TAM)[:, 0]
    return np.split(share_TM, np.cumsum([len(positions) for positions in words])[:-1])
