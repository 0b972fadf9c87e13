"""Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928), taken through all that attends here.

A layer passes on half of what it got (the residual) and half of what its heads read on average, A' = A/2 +
I/2, and layers multiply: the text tower, the joint block (question tokens over [image ; question]), then
in the decoder self-attention and cross-attention by turns. It ends at the image tower's tokens: each speaks
about its own patch. Needs the PyTorch model: the shipped graphs show the cross-attention only.

Shapes: T answer tokens, P patches, Q question tokens, M = P + Q.
"""

import numpy as np

from sightline.explain.heatmap import Heatmap, above_average, of_word
from sightline.explain.subject import Case, Subject


def explain(subject: Subject, case: Case, tokens: list[int]) -> Heatmap:
    import torch

    from sightline.explain import gradients

    with torch.no_grad():
        tape = gradients.run(subject, case, tokens, gradients.pixels(subject, case.rgb))
    text, joint, own, cross = (
        [attn[0].mean(0).double().numpy() for attn in group]
        for group in (tape.text, tape.joint, tape.own, tape.cross)
    )
    rows, cols = subject.grid
    cross = gradients.of_layers(cross, len(own))
    from_M = rollout(rows * cols, text, joint, own, cross)[tokens].mean(axis=0)
    patches = from_M[: rows * cols].reshape(rows, cols)
    return of_word(
        "attention_rollout", case.word(tokens), case.rgb.shape[:2], patches,
        gradients.words(case, from_M[rows * cols :]), above_average, subject.spread(patches),
    )  # fmt: skip


def rollout(
    patches: int,
    text: list[np.ndarray],
    joint: list[np.ndarray],
    own: list[np.ndarray],
    cross: list[np.ndarray],
) -> np.ndarray:
    """[T, M]: what every answer token has of every patch and question token. Attentions averaged over heads:
    text [Q, Q], joint [Q, M], own [T, T], cross [T, M], a list entry per layer."""
    length, memory = cross[0].shape
    question = np.eye(memory - patches)
    for attn in text:
        question = (question + attn @ question) / 2
    reached = np.eye(memory)
    reached[patches:, patches:] = question
    for attn in joint:
        reached[patches:] = (reached[patches:] + attn @ reached) / 2
    state, said = np.zeros((length, memory)), np.eye(length)
    for attn_self, attn_cross in zip(own, cross, strict=True):
        state, said = (state + attn_self @ state) / 2, (said + attn_self @ said) / 2
        state, said = (state + attn_cross @ reached) / 2, said / 2
    return state
