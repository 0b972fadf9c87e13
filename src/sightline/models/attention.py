"""Multi-head attention: plain matmul and softmax (Vaswani et al. 2017, arXiv 1706.03762, section 3.2).

Plain operations and not a fused kernel: at these sizes the fused backward dominated the training step, and
the SPIN gate needs the weights anyway. Shapes: B batch, T queries, M memory tokens, H heads, G key-value
heads (H unless grouped), D width, d width of a head, N images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sightline.models.positions import alibi_bias, alibi_slopes, rotate

KeyValue = tuple[Tensor, Tensor]  # key_BGMd, value_BGMd
GateFn = Callable[[Tensor, Tensor], Tensor]  # (attn_BHTM, logits_BHTM) -> gate_BHT
LogitsFn = Callable[[Tensor], Tensor]  # logits_BHTM -> the ones that are attended by


class AttentionOutput(NamedTuple):
    """out_BTD; attn_BHTM only when asked for; gate_BHT only with a gate; cache = the keys and values
    attended to."""

    out: Tensor
    attn: Tensor | None
    gate: Tensor | None
    cache: KeyValue


class Attention(nn.Module):
    """Multi-head attention of queries over a memory (or over themselves), with an optional gate per head.

    heads * head_width need not equal the width, so that a layer keeps its shape when heads are pruned.
    key_value_heads: see LayerConfig. positions, of self-attention only: rotary, alibi, or anything else for
    none of its own; then the queries are the last of the keys.

    Raises ValueError when the heads do not divide into groups or rotary positions have no pairs to turn.
    """

    slopes: Tensor | None

    def __init__(
        self,
        query_width: int,
        memory_width: int,
        heads: int,
        head_width: int,
        dropout: float,
        key_value_heads: int = 0,
        positions: str = "none",
    ):
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.key_value_heads = key_value_heads or heads
        if heads % self.key_value_heads:
            raise ValueError(
                f"{heads} heads do not divide into groups over {key_value_heads} key-value heads: "
                "take a divisor"
            )
        if positions == "rotary" and head_width % 2:
            raise ValueError(f"rotary positions turn pairs, so a head of width {head_width} must be even")
        self.query = nn.Linear(query_width, heads * head_width)
        self.key = nn.Linear(memory_width, self.key_value_heads * head_width)
        self.value = nn.Linear(memory_width, self.key_value_heads * head_width)
        self.output = nn.Linear(heads * head_width, query_width)
        self.dropout = nn.Dropout(dropout)
        self.rotary = positions == "rotary"
        # Saved with the weights: pruning leaves some heads, each with the slope that it was trained with.
        self.register_buffer("slopes", alibi_slopes(heads) if positions == "alibi" else None)

    def keys_values(self, memory_BMD: Tensor, value_BMD: Tensor | None = None, start: int = 0) -> KeyValue:
        """Keys and values of a memory, each [B, G, M, d]: computed once, attended to many times. value_BMD:
        where values are made of something else than keys; start: position of the memory's first token."""
        key_BGMd = self._split(self.key(memory_BMD))
        value_BGMd = self._split(self.value(memory_BMD if value_BMD is None else value_BMD))
        return rotate(key_BGMd, start) if self.rotary else key_BGMd, value_BGMd

    def attend(
        self,
        query_BTD: Tensor,
        key_value: KeyValue,
        mask: Tensor | None = None,
        gate_fn: GateFn | None = None,
        need_weights: bool = False,
        shared: KeyValue | None = None,
        logits_fn: LogitsFn | None = None,
    ) -> AttentionOutput:
        """Attend over given keys and values; mask and shared as in the function `attend`."""
        query_BHTd = self._split(self.query(query_BTD))
        if self.rotary:
            query_BHTd = rotate(query_BHTd, key_value[0].shape[2] - query_BHTd.shape[2])
        out_BHTd, attn_BHTM, logits_BHTM = attend(
            query_BHTd, key_value, mask, shared, self.slopes, self.dropout, logits_fn
        )
        gate_BHT = gate_fn(attn_BHTM, logits_BHTM) if gate_fn is not None else None
        if gate_BHT is not None:
            out_BHTd = out_BHTd * gate_BHT[..., None].to(out_BHTd.dtype)
        out_BTD = self.output(out_BHTd.transpose(1, 2).flatten(2))
        return AttentionOutput(out_BTD, attn_BHTM if need_weights else None, gate_BHT, key_value)

    def forward(
        self,
        query_BTD: Tensor,
        memory_BMD: Tensor | None = None,
        mask: Tensor | None = None,
        cache: KeyValue | None = None,
        gate_fn: GateFn | None = None,
        need_weights: bool = False,
    ) -> AttentionOutput:
        """Attend over memory_BMD (None: over the queries themselves), preceded by the cached keys and values.

        An empty cache (M = 0) and no cache give the same numbers.
        """
        past = 0 if cache is None else cache[0].shape[2]
        key_value = self.keys_values(query_BTD if memory_BMD is None else memory_BMD, start=past)
        if cache is not None:
            key_value = (torch.cat([cache[0], key_value[0]], 2), torch.cat([cache[1], key_value[1]], 2))
        return self.attend(query_BTD, key_value, mask, gate_fn, need_weights)

    def _split(self, x_BMF: Tensor) -> Tensor:
        return x_BMF.unflatten(2, (-1, self.head_width)).transpose(1, 2)


def attend(
    query_BHTd: Tensor,
    key_value: KeyValue,
    mask: Tensor | None = None,
    shared: KeyValue | None = None,
    slopes_H: Tensor | None = None,
    dropout: nn.Module | None = None,
    logits_fn: LogitsFn | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """out_BHTd, attn_BHTM (before dropout) and logits_BHTM of queries over keys and values [B, G, M, d].

    mask: bool, broadcastable to [B, H, T, M], True = attend. slopes_H: of ALiBi. shared: keys and values
    [N, G, P, d] that come before those, each read by the B / N consecutive rows of one image: nothing is
    copied per row, which is most of the cost of many questions to an image. The mask does not cover them:
    they are attended to. logits_fn: a last change of all logits.
    """
    key_BGMd, value_BGMd = key_value
    rows, heads, groups = query_BHTd.shape[0], query_BHTd.shape[1], key_BGMd.shape[1]
    query_BGUd = _grouped(query_BHTd / math.sqrt(query_BHTd.shape[3]), groups)
    logits_BHTM = _ungrouped(query_BGUd @ key_BGMd.transpose(2, 3), heads)
    if slopes_H is not None:
        logits_BHTM = logits_BHTM + alibi_bias(slopes_H, *logits_BHTM.shape[2:])
    if mask is not None:
        logits_BHTM = logits_BHTM.masked_fill(~mask, torch.finfo(logits_BHTM.dtype).min)
    if shared is not None:
        images = shared[0].shape[0]
        shared_NGRP = _together(query_BGUd, images) @ shared[0].transpose(2, 3)
        logits_BHTM = torch.cat([_ungrouped(_apart(shared_NGRP, rows), heads), logits_BHTM], 3)
    if logits_fn is not None:
        logits_BHTM = logits_fn(logits_BHTM)
    attn_BHTM = logits_BHTM.softmax(-1)
    weight_BGUM = _grouped(attn_BHTM if dropout is None else dropout(attn_BHTM), groups)
    if shared is None:
        out_BGUd = weight_BGUM @ value_BGMd
    else:
        shared_BGUP, memory_BGUM = weight_BGUM.split([shared[1].shape[2], value_BGMd.shape[2]], 3)
        read_NGRd = _together(shared_BGUP, images) @ shared[1]
        out_BGUd = _apart(read_NGRd, rows) + memory_BGUM @ value_BGMd
    return _ungrouped(out_BGUd, heads), attn_BHTM, logits_BHTM


def _grouped(x_BHTF: Tensor, groups: int) -> Tensor:
    """Query heads that read one key-value head below each other, [B, G, U, F] with U = H / G * T."""
    return x_BHTF if x_BHTF.shape[1] == groups else x_BHTF.unflatten(1, (groups, -1)).flatten(2, 3)


def _ungrouped(x_BGUF: Tensor, heads: int) -> Tensor:
    """The inverse of _grouped."""
    groups = x_BGUF.shape[1]
    return x_BGUF if groups == heads else x_BGUF.unflatten(2, (heads // groups, -1)).flatten(1, 2)


def _together(x_BHTF: Tensor, images: int) -> Tensor:
    """Rows of one image side by side, [N, H, R, F] with R = B / N * T."""
    if x_BHTF.shape[0] == images:
        return x_BHTF
    return x_BHTF.unflatten(0, (images, -1)).transpose(1, 2).flatten(2, 3)


def _apart(x_NHRF: Tensor, rows: int) -> Tensor:
    """The inverse of _together."""
    if x_NHRF.shape[0] == rows:
        return x_NHRF
    return x_NHRF.unflatten(2, (rows // x_NHRF.shape[0], -1)).transpose(1, 2).flatten(0, 1)
