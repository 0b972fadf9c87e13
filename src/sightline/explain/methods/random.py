"""A control, not an explanation: noise, the same for the same answer and seed. What any method must beat."""

import numpy as np

from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    # The picture's sum tells apart cases with the same answer.
    rng = np.random.default_rng([model.seed, int(answer.rgb.sum()), *answer.ids, *tokens])
    return of_word(
        "random", answer.word(tokens), answer.seen, rng.random(model.grid),
        [(word, rng.random()) for word, _ in answer.question_words],
    )  # fmt: skip
