"""Forward passes of the PyTorch model that can be differentiated to its parts: pixels, question words, image
tokens, attention. Hooks live inside one call and are gone after it, also after an exception.

Shapes: B rows, C,Y,X channels and sides, Q question tokens, P patches, D width, H heads, T tokens that ask,
M tokens that are attended to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sightline.explain.target import ExplainedAnswer, ExplainedModel
from sightline.models.attention import Attention
from sightline.models.decoder.cross_attention import CrossAttentionVLM
from sightline.models.tower import TextTower
from sightline.models.vlm import VLM
from sightline.spin.gate import SpinInputs


@dataclass(frozen=True)
class Tape:
    """log_prob_B of the word; image_BPD, what the image tower gave; presence_BQ, a factor 1 on every question
    token; of our own decoder, attentions."""

    log_prob: Tensor
    image: Tensor
    presence: Tensor
    attentions: Attentions | None


@dataclass(frozen=True)
class Attentions:
    """attention_BHTM of every layer, in order."""

    text: list[Tensor]
    joint: list[Tensor]
    decoder: list[Tensor]  # its decoder's self-attention
    cross: list[Tensor]  # two of a layer that reads image and question apart


@contextmanager
def hooked(hooks: Sequence[tuple[nn.Module, Callable]]) -> Iterator[None]:
    """Forward hooks for the time of the block."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def pixels(model: ExplainedModel, rgb: np.ndarray) -> Tensor:
    """The picture as the model sees it, [1, C, Y, X]."""
    return torch.from_numpy(model.session.pixels([rgb]))


def run(
    model: ExplainedModel,
    answer: ExplainedAnswer,
    tokens: list[int],
    pixels_BCYX: Tensor,
    presence_BQ: Tensor | None = None,
) -> Tape:
    """The word at `tokens` after the answer's words before it, about one or more pictures.

    `presence_BQ` fades question tokens to the mask token (at 0); default: all are there.
    """
    if model.trained is None:
        raise ValueError(
            "this method needs gradients, so the PyTorch model: choose a method that needs the session only"
        )
    vlm, tokenizer = model.trained(), model.session.tokenizer
    batch = len(pixels_BCYX)
    ids_BQ = torch.tensor([answer.question_ids] * batch)
    if presence_BQ is None:
        presence_BQ = torch.ones(ids_BQ.shape, requires_grad=True)

    attention_of: dict[nn.Module, Tensor] = {}
    # Attention weights pass through their dropout, which does nothing here: where they can be seen.
    recorders = [
        (each.dropout, lambda module, _, out: attention_of.__setitem__(module, out))
        for each in vlm.modules()
        if isinstance(each, Attention)
    ]
    fade = fading(presence_BQ, tokenizer.mask)
    with hooked(recorders):
        image_BPD = vlm.image_tokens(pixels_BCYX)
        mask_BQ = torch.ones(ids_BQ.shape, dtype=torch.bool)
        with hooked([(table, fade) for table in _word_tables(vlm)]):
            states_BQD = None if vlm.text is None else vlm.text(ids_BQ, mask_BQ)
            memory = vlm.memory(image_BPD, states_BQD, ids_BQ, mask_BQ)
        ids = answer.ids[: max(tokens) + 1]
        k_L, alpha = model.session.heads_kept(model.spin)
        out = vlm.step(
            torch.tensor([[model.session.start, *ids[:-1]]] * batch), None, memory,
            SpinInputs(torch.from_numpy(k_L), torch.tensor(alpha), model.spin.score),
        )  # fmt: skip
    log_prob_BTV = vlm.over_all_tokens(out.logits).log_softmax(-1)
    log_prob_B = cast(Tensor, sum(log_prob_BTV[:, token, ids[token]] for token in tokens))
    attentions = _attentions(vlm, attention_of) if isinstance(vlm, CrossAttentionVLM) else None
    return Tape(log_prob_B, image_BPD, presence_BQ, attentions)


def _word_tables(vlm: VLM) -> list[nn.Module]:
    """The embeddings that a question goes through."""
    if isinstance(vlm, CrossAttentionVLM):
        return [word_table(vlm.text), vlm.embedding]
    language_model: Any = vlm.language_model  # torch types no part of it
    return [language_model.get_input_embeddings()]


def _attentions(vlm: CrossAttentionVLM, recorded: dict[nn.Module, Tensor]) -> Attentions:
    """What the dropouts of the attentions recorded."""
    layers = vlm.decoder.layers
    text = [each for each in vlm.text.modules() if isinstance(each, Attention)]
    joint = [cast(Attention, vlm.joint.attention)] if vlm.joint is not None else []
    decoder = [cast(Attention, layer.self_attention) for layer in layers]
    cross = [cast(Attention, layer.cross_attention) for layer in layers]
    return Attentions(
        *([recorded[each.dropout] for each in group] for group in (text, joint, decoder, cross))
    )


def of(tape: Tape, parts: list[Tensor]) -> list[np.ndarray]:
    """Derivatives of the rows' log-probabilities to these parts of the pass; 0 where nothing depends."""
    slopes = torch.autograd.grad(tape.log_prob.sum(), parts, allow_unused=True)
    pairs = zip(parts, slopes, strict=True)
    return [np.zeros(part.shape) if slope is None else slope.numpy() for part, slope in pairs]


def words(answer: ExplainedAnswer, of_token_Q: np.ndarray) -> list[tuple[str, float]]:
    """Scores of question tokens, summed to words; those of the template are left out."""
    return [(word, float(of_token_Q[positions].sum())) for word, positions in answer.question_words]


def fading(presence_BQ: Tensor, mask: int | None) -> Callable:
    """A forward hook on an embedding: tokens fade to the one of id `mask`, or to nothing where there is none,
    where their presence is 0."""

    def fade(module: nn.Embedding, _: tuple, out_BQD: Tensor) -> Tensor:
        nothing_D = torch.zeros_like(module.weight[0]) if mask is None else module.weight[mask]
        count = presence_BQ.shape[1]
        faded_BQD = nothing_D + presence_BQ[..., None] * (out_BQD[:, :count] - nothing_D)
        if out_BQD.shape[1] == count:
            return faded_BQD
        return torch.cat([faded_BQD, out_BQD[:, count:]], 1)  # a tower that reads its padding, too

    return fade


def word_table(tower: TextTower) -> nn.Module:
    """A text tower's input embedding, whichever tower it is."""
    start = tower.word_embeddings().data_ptr()
    tables = (module for module in tower.modules() if isinstance(module, nn.Embedding))
    return next(table for table in tables if table.weight.data_ptr() == start)
