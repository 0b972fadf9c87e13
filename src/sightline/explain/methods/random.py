"""A control, not an explanation: noise, the same for the same answer and seed. What any method must beat."""

import numpy as np

from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def explain(subject: ExplainedModel, case: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    # The picture's sum tells apart cases with the same answer.
    rng = np.random.default_rng([subject.seed, int(case.rgb.sum()), *case.ids, *tokens])
    return of_word(
        "random", case.word(tokens), case.rgb.shape[:2], rng.random(subject.grid),
        [(word, rng.random()) for word, _ in case.question_words],
    )  # fmt: skip
