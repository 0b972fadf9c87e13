"""Occlusion (Zeiler and Fergus 2014, arXiv 1311.2901): what does hiding a part cost the word?

A window of 2 x 2 patches slides over the picture patch by patch and shows the mean colour; a patch has the
mean loss of log-probability over the windows that hide it. Each word of the question is removed on its own.
Windows overlap, so the map is finer than the grid; superpixels do not, and are left to kernel_shap and lime.
Needs no torch. Shapes: N windows, P patches, W words.
"""

import numpy as np

from sightline.explain import perturbation, segments
from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.target import ExplainedAnswer, ExplainedModel

WINDOW = 2  # patches a side


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    hidden_NP, words = windows(*model.grid), len(answer.question_words)
    patches = hidden_NP.shape[1]
    segment_YX = segments.patches(model.session.image_size, model.grid)
    present_NF = np.ones((1 + len(hidden_NP) + words, patches + words))
    present_NF[1 : 1 + len(hidden_NP), :patches] -= hidden_NP
    present_NF[1 + len(hidden_NP) :, patches:] -= np.eye(words)
    score_N = perturbation.scores(model, answer, tokens, segment_YX, present_NF)
    loss_N, loss_W = np.split(score_N[0] - score_N[1:], [len(hidden_NP)])
    loss_P = loss_N @ hidden_NP / hidden_NP.sum(axis=0)
    return of_word(
        "occlusion", answer.word(tokens), answer.seen, loss_P.reshape(model.grid),
        perturbation.by_word(answer, loss_W),
    )  # fmt: skip


def windows(rows: int, cols: int) -> np.ndarray:
    """Every place of the window, [N, P], 1 where it hides a patch."""
    side_r, side_c = (min(WINDOW, max(1, cells - 1)) for cells in (rows, cols))  # never the whole picture
    masks = []
    for top in range(rows - side_r + 1):
        for left in range(cols - side_c + 1):
            hidden = np.zeros((rows, cols))
            hidden[top : top + side_r, left : left + side_c] = 1
            masks.append(hidden.ravel())
    return np.stack(masks)
