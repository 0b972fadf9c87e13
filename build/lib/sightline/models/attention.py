"""The one attention of Sightline: plain matmul and softmax (Vaswani et al. 2017, arXiv 1706.03762, section
3.2).

Plain operations and not a fused kernel: at these sizes the fused backward dominated the training step, and
the SPIN gate needs the weights anyway. Shapes: B batch, T queries, M memory tokens, H heads, D width, d
width of a head, N images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]  # key_BHMd, value_BHMd
GateFn = Callable[[Tensor, Tensor], Tensor]  # (attn_BHTM, logits_BHTM) -> gate_BHT


class AttentionOutput(NamedTuple):
    """out_BTD; attn_BHTM only when asked for; gate_BHT only with a gate; cache = the keys and values
    attended to."""

    out: Tensor
    attn: Tensor | None
    gate: Tensor | None
    cache: KeyValue


class MultiHeadAttention(nn.Module):
    """Multi-head attention of queries over a memory (or over themselves), with an optional gate per head.

    heads * head_width need not equal the width, so that a layer keeps its shape when heads are pruned.
    """

    def __init__(self, query_width: int, memory_width: int, heads: int, head_width: int, dropout: float):
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.query = nn.Linear(query_width, heads * head_width)
        self.key = nn.Linear(memory_width, heads * head_width)
        self.value = nn.Linear(memory_width, heads * head_width)
        self.output = nn.Linear(heads * head_width, query_width)
        self.dropout = nn.Dropout(dropout)

    def keys_values(self, memory_BMD: Tensor) -> KeyValue:
        """Keys and values of a memory, each [B, H, M, d]: computed once, attended to many times."""
        return self._split(self.key(memory_BMD)), self._split(self.value(memory_BMD))

    def attend(
        self,
        query_BTD: Tensor,
        key_value: KeyValue,
        mask: Tensor | None = None,
        gate_fn: GateFn | None = None,
        need_weights: bool = False,
        shared: KeyValue | None = None,
    ) -> AttentionOutput:
        """Attend over given keys and values. mask: bool, broadcastable to [B, H, T, M], True = attend.

        shared: keys and values [N, H, P, d] that come before those, each read by the B / N consecutive rows
        of one image: nothing is copied per row, which is most of the cost of many questions to an image.
        The mask does not cover them: they are attended to.
        """
        key_BHMd, value_BHMd = key_value
        query_BHTd = self._split(self.query(query_BTD)) / math.sqrt(self.head_width)
        logits_BHTM = query_BHTd @ key_BHMd.transpose(2, 3)
        if mask is not None:
            logits_BHTM = logits_BHTM.masked_fill(~mask, torch.finfo(logits_BHTM.dtype).min)
        if shared is not None:
            images = len(shared[0])
            shared_NHRP = _together(query_BHTd, images) @ shared[0].transpose(2, 3)
            logits_BHTM = torch.cat([_apart(shared_NHRP, len(query_BHTd)), logits_BHTM], 3)
        attn_BHTM = logits_BHTM.softmax(-1)
        weight_BHTM = self.dropout(attn_BHTM)
        if shared is None:
            out_BHTd = weight_BHTM @ value_BHMd
        else:
            shared_BHTP, own_BHTM = weight_BHTM.split([shared[1].shape[2], value_BHMd.shape[2]], 3)
            read_NHRd = _together(shared_BHTP, images) @ shared[1]
            out_BHTd = _apart(read_NHRd, len(query_BHTd)) + own_BHTM @ value_BHMd
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
        key_value = self.keys_values(query_BTD if memory_BMD is None else memory_BMD)
        if cache is not None:
            key_value = (torch.cat([cache[0], key_value[0]], 2), torch.cat([cache[1], key_value[1]], 2))
        return self.attend(query_BTD, key_value, mask, gate_fn, need_weights)

    def _split(self, x_BMF: Tensor) -> Tensor:
        return x_BMF.unflatten(2, (self.heads, self.head_width)).transpose(1, 2)


def _together(x_BHTF: Tensor, images: int) -> Tensor:
    """Rows of one image side by side, [N, H, R, F] with R = B / N * T."""
    if len(x_BHTF) == images:
        return x_BHTF
    return x_BHTF.unflatten(0, (images, -1)).transpose(1, 2).flatten(2, 3)


def _apart(x_NHRF: Tensor, rows: int) -> Tensor:
    """The inverse of _together."""
    if len(x_NHRF) == rows:
        return x_NHRF
    return x_NHRF.unflatten(2, (rows // len(x_NHRF), -1)).transpose(1, 2).flatten(0, 1)
