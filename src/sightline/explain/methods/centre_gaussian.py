"""A control, not an explanation: a Gaussian at the picture's centre, where photographers put things. A method
that does not beat it may have learned that habit only."""

import numpy as np

from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.target import ExplainedAnswer, ExplainedModel

WIDTH = 0.25  # standard deviation, of a side


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    rows, cols = model.grid
    y, x = np.mgrid[:rows, :cols]
    away = ((y + 0.5) / rows - 0.5) ** 2 + ((x + 0.5) / cols - 0.5) ** 2
    return of_word(
        "centre_gaussian", answer.word(tokens), answer.seen, np.exp(-away / (2 * WIDTH**2)),
        [(word, 1.0) for word, _ in answer.question_words],
    )  # fmt: skip
