"""Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928), taken through all that attends here.

A layer passes on half of what it got (the residual) and half of what its heads read on average, A' = A/2 +
I/2, and layers multiply: the text tower, the joint block (question tokens over [image ; question]), then
in the decoder self-attention and cross-attention by turns. It ends at the image tower's tokens: each speaks
about its own patch. Needs the PyTorch model: the shipped graphs show the cross-attention only.

Shapes: T answer tokens, P patches, Q question tokens, M = P + Q.
"""

import numpy as np

from sightline.explain.heatmap import Heatmap, above_average
from sightline.explain.methods import _streams
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    import torch

    from sightline.explain import gradients

    with torch.no_grad():
        tape = gradients.run(model, answer, tokens, gradients.pixels(model, answer.rgb))
    streams = tuple([attn[0].mean(0).double().numpy() for attn in group] for group in _streams.groups(tape))
    return _streams.heatmap(
        "attention_rollout", model, answer, tokens, rollout, streams, scale=above_average
    )  # fmt: skip


def rollout(
    patches: int,
    text: list[np.ndarray],
    joint: list[np.ndarray],
    decoder: list[np.ndarray],
    cross: list[np.ndarray],
) -> np.ndarray:
    """[T, M]: what every answer token has of every patch and question token. Attentions averaged over heads:
    text [Q, Q], joint [Q, M], decoder [T, T], cross [T, M], a list entry per layer."""
    length, memory = cross[0].shape
    reached = _streams.encoded(patches, text, joint, memory, _half)
    state = np.zeros((length, memory))
    for attn_self, attn_cross in zip(decoder, cross, strict=True):
        state = _half(_half(state, attn_self @ state), attn_cross @ reached)
    return state


def _half(was: np.ndarray, brought: np.ndarray) -> np.ndarray:
    return (was + brought) / 2
