"""What attention_rollout and gradient_attention share: one pass with the attention of every layer, the
encoder (text tower and joint block), and the map of what the answer's tokens have of the memory. They differ
in how a layer's heads become one matrix, and in how what attention brings is mixed with what was there.

Shapes: H heads, T answer tokens, P patches, Q question tokens, M = P + Q.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.target import ExplainedAnswer, ExplainedModel

if TYPE_CHECKING:
    from sightline.explain.gradients import Tape

Mix = Callable[[np.ndarray, np.ndarray], np.ndarray]  # what was there, what attention brings -> both
Streams = tuple[
    list[np.ndarray], ...
]  # text [Q, Q], joint [Q, M], decoder [T, T], cross [T, M], one per layer


def groups(tape: Tape) -> tuple[list, ...]:
    """Attentions of the pass, in the order of Streams. Raises ValueError for a causal language model."""
    if tape.attentions is None:
        raise ValueError(
            "this method follows the attention of our own decoder, and this model's decoder is a causal "
            "language model: choose cross_attention, integrated_gradients, grad_cam or occlusion"
        )
    return tape.attentions.text, tape.attentions.joint, tape.attentions.decoder, tape.attentions.cross


def encoded(
    patches: int, text: list[np.ndarray], joint: list[np.ndarray], memory: int, mix: Mix
) -> np.ndarray:
    """[M, M]: what every memory token has of every patch and question token."""
    question = np.eye(memory - patches)
    for attn in text:
        question = mix(question, attn @ question)
    reached = np.eye(memory)
    reached[patches:, patches:] = question
    for attn in joint:
        reached[patches:] = mix(reached[patches:], attn @ reached)
    return reached


def heatmap(
    name: str,
    model: ExplainedModel,
    answer: ExplainedAnswer,
    tokens: list[int],
    rule: Callable[..., np.ndarray],
    streams: Streams,
    *,
    scale: Callable[[np.ndarray], np.ndarray],
) -> Heatmap:
    """The map of the word at `tokens` from rule(P, *streams), [T, M]."""
    from sightline.explain import gradients

    rows, cols = model.grid
    text, joint, decoder, cross = streams
    from_M = rule(rows * cols, text, joint, decoder, cross)[tokens].mean(axis=0)
    patches = from_M[: rows * cols].reshape(rows, cols)
    question = gradients.words(answer, from_M[rows * cols :])
    word, scores = answer.word(tokens), model.spread(patches)
    return of_word(name, word, answer.seen, patches, question, scale=scale, scores=scores)
