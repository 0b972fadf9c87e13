"""Structured pruning: whole attention heads and feed-forward neurons go, and a smaller dense model remains.

Importance of a head or neuron is that of a factor on its output, all of which passes through its columns of
one output matrix W: by magnitude the norm of those columns times that of the rows that feed them, by Taylor
expansion |sum of gradient * weight| over the columns, the first-order change of the loss when the factor goes
to 0 (Michel et al. 2019, arXiv 1905.10650; Molchanov et al. 2019, arXiv 1906.10771), summed over batches.

Every decoder layer keeps the same number of heads, so that the caches of all layers are one array. In
grouped-query attention a key-value head goes with the query heads that read it. U units (key-value heads or
neurons), D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor

from sightline.models.attention import Attention
from sightline.models.feed_forward import FeedForward
from sightline.models.vlm import VLM, build

Importance = dict[str, Tensor]  # name of an attention or feed-forward module -> importance of its units, [U]


def prunable(vlm: VLM) -> dict[str, Attention | FeedForward]:
    """The modules that lose units: those of the decoder and the joint block. The towers stay as they are."""
    return {
        name: module
        for name, module in vlm.named_modules()
        if name.startswith(("decoder.", "joint.")) and isinstance(module, Attention | FeedForward)
    }


def magnitude(vlm: VLM) -> Importance:
    """Norm of what feeds a unit times norm of what it feeds."""
    scores = {}
    for name, module in prunable(vlm).items():
        feeding = module.value if isinstance(module, Attention) else module.expand
        out_DU = _columns(module)
        units = out_DU.shape[1]
        scores[name] = feeding.weight.detach().reshape(units, -1).norm(dim=1) * out_DU.norm(dim=(0, 2))
    return scores


def taylor(vlm: VLM, losses: Iterable[Callable[[], Tensor]]) -> Importance:
    """First-order change of the loss, summed over batches. `losses`: one function per batch."""
    modules = prunable(vlm)
    scores = {name: torch.zeros(_columns(module).shape[1]) for name, module in modules.items()}
    for loss in losses:
        vlm.zero_grad(set_to_none=True)
        loss().backward()
        for name, module in modules.items():
            change_DU = _columns(module) * _columns(module, gradient=True)
            scores[name] += change_DU.sum(dim=(0, 2)).abs().cpu()
    vlm.zero_grad(set_to_none=True)
    return scores


def prune(vlm: VLM, importance: Importance, head_ratio: float, neuron_ratio: float) -> VLM:
    """A new, smaller model without the least important `head_ratio` of the heads and `neuron_ratio` of the
    neurons of every module (rounded down; at least one of each stays). Its config rebuilds it. Ties keep the
    earlier unit."""
    config, units = dict(vlm.config), {}
    for name, module in prunable(vlm).items():
        part = name.split(".")[0]
        ratio = head_ratio if isinstance(module, Attention) else neuron_ratio
        units[name] = count = max(1, _units(module) - int(_units(module) * ratio))
        if isinstance(module, Attention):
            config[f"{part}_heads"] = count * module.heads // module.key_value_heads
        else:
            config[f"{part}_hidden"] = count
        if isinstance(module, Attention) and part == "decoder" and config["key_value_heads"]:
            config["key_value_heads"] = count
    smaller = build(config)
    weights = dict(vlm.state_dict())
    for name, module in prunable(vlm).items():
        order = torch.argsort(importance[name], descending=True, stable=True)
        weights.update(_cut(name, module, order[: units[name]].sort().values))
    smaller.load_state_dict(weights)
    return smaller.to(next(vlm.parameters()).device)


def _columns(module: Attention | FeedForward, gradient: bool = False) -> Tensor:
    """The output matrix (or its gradient) by units, [D, U, numbers per unit]."""
    layer = module.output if isinstance(module, Attention) else module.reduce
    matrix = layer.weight.grad if gradient else layer.weight.detach()
    assert matrix is not None  # gradients exist after the backward pass
    return matrix.reshape(matrix.shape[0], _units(module), -1)


def _units(module: Attention | FeedForward) -> int:
    return module.key_value_heads if isinstance(module, Attention) else module.reduce.in_features


def _cut(name: str, module: Attention | FeedForward, kept: Tensor) -> dict[str, Tensor]:
    """The tensors of a module that keeps only some units."""
    kept = kept.to(next(module.parameters()).device)
    if isinstance(module, Attention):
        group = module.heads // module.key_value_heads
        heads, outer = _blocks(kept, group), "output"
        key_rows = _blocks(kept, module.head_width)
        inner = {"query": _blocks(heads, module.head_width), "key": key_rows, "value": key_rows}
    else:
        heads, outer = None, "reduce"
        inner = {"expand": kept} if module.linear is None else {"expand": kept, "linear": kept}
    columns = inner["query" if heads is not None else "expand"]
    matrix = module.get_submodule(outer).get_parameter("weight").detach()
    tensors = {f"{name}.{outer}.weight": matrix[:, columns]}
    for layer, rows in inner.items():
        for kind in ("weight", "bias"):
            tensors[f"{name}.{layer}.{kind}"] = module.get_submodule(layer).get_parameter(kind).detach()[rows]
    if heads is not None and module.slopes is not None:
        tensors[f"{name}.slopes"] = cast(Tensor, module.slopes)[heads]
    return tensors


def _blocks(kept: Tensor, size: int) -> Tensor:
    """The rows that belong to some units, each of `size` consecutive ones."""
    return (kept[:, None] * size + torch.arange(size, device=kept.device)).flatten()
