"""Raw cross-attention: where the decoder's heads put their weight while a word of the answer was written.

The map of a word is the mean over its tokens, the layers and the heads, each head weighed by its SPIN gate
(a silenced head has little say in the word, so little say in the map). `of_heads` looks at some of them.
Attention is a cue, not a proof: Jain and Wallace, 2019 (arXiv 1902.10186). Needs no torch. Shapes: L layers,
H heads, T answer tokens, M memory tokens (image patches, then question).
"""

import numpy as np

from sightline.explain.heatmap import Heatmap, above_average, of_word
from sightline.explain.subject import Case, Subject

TINY = 1e-30  # where every head is silenced the map is dark


def explain(subject: Subject, case: Case, tokens: list[int]) -> Heatmap:
    """Every layer and head."""
    return of_heads(subject, case, tokens, np.ones(case.gates_LHT.shape[:2]))


def of_heads(subject: Subject, case: Case, tokens: list[int], weight_LH: np.ndarray) -> Heatmap:
    """The heads in proportion to `weight_LH`: all ones but for a row of zeros leaves out a layer."""
    rows, cols = subject.grid
    weight_LHT = case.gates_LHT[..., tokens] * weight_LH[..., None]
    weight_LHT /= weight_LHT.sum(axis=(0, 1)) + TINY
    maps_AM = case.maps_LHTM[:, :, tokens].reshape(weight_LHT.size, -1)  # A: all layers, heads and tokens
    share_M = weight_LHT.ravel() @ maps_AM / len(tokens)
    patches, share_Q = share_M[: rows * cols].reshape(rows, cols), share_M[rows * cols :].tolist()
    found = of_word(
        "cross_attention", case.word(tokens), case.rgb.shape[:2], patches,
        [(word, sum(share_Q[place] for place in positions)) for word, positions in case.asked], above_average,
        subject.spread(patches),
    )  # fmt: skip
    # Attention also falls on the template's tokens, so the image's share is of all of it.
    return Heatmap(
        found.patch_map, found.pixel_map, found.text_scores,
        found.provenance | {"image_share": float(patches.sum())}, found.scores,
    )  # fmt: skip
