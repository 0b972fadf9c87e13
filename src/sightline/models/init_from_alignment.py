"""The start of the answering model from the dual encoder's alignment of words and patches.

Shapes: V vocabulary, W words of the word head, D width, F all heads' width, E and G d key-value heads' width,
R singular values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sightline.models.attention import Attention
from sightline.models.dual_encoder import DualEncoder
from sightline.models.positions import TokenPositions

if TYPE_CHECKING:
    from sightline.models.decoder.cross_attention import CrossAttentionVLM

# Measured side by side, see docs/log.md.
QUESTION_SHARE = 0.5  # of the text tower's states
SHARPNESS = 2.0  # queries are the keys' directions, this much longer
IMAGE_GAIN = 3.0  # how much louder than the question's own words a patch is in the joint block
MARK_LENGTH = 20.0
SMALL_SCALE = 0.1  # of the layers that start small
RANK = 1e-4  # singular values below this share of the first count as zero


@torch.no_grad()
def init_from_alignment(
    model: CrossAttentionVLM, clip: DualEncoder, word_ids: list[list[int]], plurals: Mapping[int, int]
) -> None:
    """Start the model as an associative memory over the words of the dual encoder's word head.

    Word embeddings come from the text tower, made orthogonal, but a plural resembles its word. A patch enters
    as the sum of the words that its word head predicts. Every attention over the memory starts with query =
    key and output = value transposed, with orthogonal matrices: similar vectors attend to each other, and the
    attended vector is copied. The question's words are in its memory as they are, with a small share of the
    text tower's states. In the joint block a word attends to the patches that show it and gets a mark, and
    the answer's first token attends to that mark (if positions are learned): from the first step on an answer
    begins with the patches of the question's words. Layers without such a start (feed-forward,
    self-attention) start small.

    word_ids: the tokens of every word of clip.config["words"]; plurals: as in vlm.from_clip. Random
    numbers come from torch's generator.
    """
    words_VD = _orthogonal(_fit_width(clip.text.word_embeddings().detach().float(), model.config["width"]))
    for word, token in plurals.items():
        words_VD[token] = nn.functional.normalize(words_VD[token] + words_VD[word_ids[word]].mean(0), dim=0)
    model.embedding.weight.copy_(words_VD)
    if not model.config["tie_embeddings"]:
        model.output.copy_(model.scored(words_VD))  # the output matrix reads the same vectors
    if word_ids:  # captions that agree on no word leave the word head without one
        patch_weights_WD = clip.word_head.weight.detach().float()
        word_vectors_WD = torch.stack([words_VD[ids].mean(0) for ids in word_ids])
        model.image_projection.weight.copy_(word_vectors_WD.T @ (patch_weights_WD - patch_weights_WD.mean(0)))
        model.image_projection.bias.zero_()
    model.question_projection.weight.mul_(QUESTION_SHARE)
    model.question_projection.bias.zero_()
    attentions = [layer.cross_attention for layer in model.decoder.layers]
    small_layers = [layer.feed_forward.reduce for layer in model.decoder.layers]
    small_layers += [layer.self_attention.output for layer in model.decoder.layers]
    if model.joint is not None:
        attentions.append(model.joint.attention)
        small_layers.append(model.joint.feed_forward.reduce)
        mark_D = MARK_LENGTH * nn.functional.normalize(torch.randn(model.config["width"]), dim=0)
        model.joint.image_norm.weight.fill_(IMAGE_GAIN)
        model.joint.image_norm.bias.copy_(mark_D)
        if isinstance(model.token_positions, TokenPositions):
            model.token_positions.table.weight[0] += mark_D
    for attention in attentions:
        nn.init.orthogonal_(attention.key.weight)
        nn.init.orthogonal_(attention.value.weight)
        attention.query.weight.copy_(SHARPNESS * _for_every_query(attention, attention.key.weight))
        copying_FD = _for_every_query(attention, attention.value.weight)
        attention.output.weight.copy_(copying_FD.T / (attention.heads // attention.key_value_heads))
        for layer in (attention.query, attention.key, attention.value, attention.output):
            layer.bias.zero_()
    for layer in small_layers:
        layer.weight.mul_(SMALL_SCALE)
        layer.bias.mul_(SMALL_SCALE)


def _orthogonal(words_VD: Tensor) -> Tensor:
    """The centred embeddings of unit length, then with all their singular values made equal, and again of
    unit length: as far as the width allows, no word resembles another (embeddings of kinds as they come have
    cosines up to 0.7)."""
    words_VD = nn.functional.normalize(words_VD - words_VD.mean(0), dim=1)
    left_VR, values_R, right_RD = torch.linalg.svd(words_VD, full_matrices=False)
    kept_R = values_R > RANK * values_R[0]
    return nn.functional.normalize(left_VR[:, kept_R] @ right_RD[kept_R], dim=1)


def _for_every_query(attention: Attention, weight_ED: Tensor) -> Tensor:
    """A matrix of the key-value heads, [G d, D], as the query heads read it, [H d, D]."""
    groups_GdD = weight_ED.unflatten(0, (attention.key_value_heads, attention.head_width))
    return groups_GdD.repeat_interleave(attention.heads // attention.key_value_heads, 0).flatten(0, 1)


def _fit_width(words_VD: Tensor, width: int) -> Tensor:
    """Word embeddings at another width, by a random matrix with orthonormal rows or columns, which keeps
    their inner products nearly as they were."""
    if words_VD.shape[1] == width:
        return words_VD
    return words_VD @ nn.init.orthogonal_(torch.empty(words_VD.shape[1], width))
