"""Attention weighed by its gradient (Chefer, Gur and Wolf 2021, arXiv 2103.15679): the rules for encoder and
decoder, with the text tower and the joint block as the encoder.

A layer's relevance is the positive part of attention times its gradient, averaged over heads (equation 5);
within a stream it adds up, R += A R (equation 6); what another stream brings comes through the normalised
relevance of the asking tokens, R += N(R)^T A R_other (equation 10). A head that SPIN gates has a smaller
gradient and so less relevance. Needs the PyTorch model.

Shapes: H heads, T answer tokens, P patches, Q question tokens, M = P + Q.
"""

import numpy as np

from sightline.explain.heatmap import Heatmap, evidence
from sightline.explain.methods import _streams
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    from sightline.explain import gradients

    tape = gradients.run(model, answer, tokens, gradients.pixels(model, answer.rgb))
    groups = _streams.groups(tape)
    slopes = iter(gradients.of(tape, [attn for group in groups for attn in group]))
    streams = tuple(
        [np.maximum(attn.detach().numpy() * next(slopes), 0.0)[0].mean(axis=0) for attn in group]
        for group in groups
    )
    return _streams.heatmap("gradient_attention", model, answer, tokens, relevance, streams, scale=evidence)


def relevance(
    patches: int,
    text: list[np.ndarray],
    joint: list[np.ndarray],
    decoder: list[np.ndarray],
    cross: list[np.ndarray],
) -> np.ndarray:
    """[T, M] from every layer's weighed attention:
    text [Q, Q], joint [Q, M], decoder [T, T], cross [T, M]."""
    length, memory = cross[0].shape
    reached = _streams.encoded(patches, text, joint, memory, np.add)
    answer_state, state = np.eye(length), np.zeros((length, memory))
    for attn_self, attn_cross in zip(decoder, cross, strict=True):
        answer_state, state = answer_state + attn_self @ answer_state, state + attn_self @ state
        state = state + _normal(answer_state).T @ attn_cross @ _normal(reached)
    return state


def _normal(relevance: np.ndarray) -> np.ndarray:
    """Rows of what came on top of the identity sum to 1, then the identity again (equations 8 and 9)."""
    eye = np.eye(len(relevance))
    more = relevance - eye
    total = more.sum(axis=1, keepdims=True)
    return np.divide(more, total, out=np.zeros_like(more), where=total > 0) + eye
