"""Structured pruning: whole attention heads and feed-forward neurons go, and a smaller dense model remains.

Importance of a head or neuron is that of a factor on its output, all of which passes through its columns of
one output matrix W: by magnitude the norm of those columns times that of the rows that feed them, by Taylor
expansion |sum of gradient * weight| over the columns, the first-order change of the loss when the factor goes
to 0 (Michel et al. 2019, arXiv 1905.10650; Molchanov et al. 2019, arXiv 1906.10771), summed over batches.

Every decoder layer keeps the same number of heads, so that the caches of all layers are one array. U units
(heads or neurons), D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sightline.models.attention import MultiHeadAttention
from sightline.models.feed_forward import FeedForward
from sightline.models.vlm import VLM

Importance = dict[str, Tensor]  # name of an attention or feed-forward module -> importance of its units, [U]


def prunable(vlm: VLM) -> dict[str, MultiHeadAttention | FeedForward]:
    """The modules that lose units: those of the decoder and the joint block. The towers stay as they are."""
    return {
        name: module
        for name, module in vlm.named_modules()
        if name.startswith(("decoder.", "joint.")) and isinstance(module, MultiHeadAttention | FeedForward)
    }


def magnitude(vlm: VLM) -> Importance:
    """Norm of what feeds a unit times norm of what it feeds."""
    scores = {}
    for name, module in prunable(vlm).items():
        feeding = module.value if isinstance(module, MultiHeadAttention) else module.expand
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
    config = dict(vlm.config)
    for key, ratio in (
        ("decoder_heads", head_ratio), ("joint_heads", head_ratio),
        ("decoder_hidden", neuron_ratio), ("joint_hidden", neuron_ratio),
    ):  # fmt: skip
        config[key] = max(1, config[key] - int(config[key] * ratio))
    smaller = VLM(config)
    weights = dict(vlm.state_dict())
    for name, module in prunable(vlm).items():
        part = name.split(".")[0]
        attention = isinstance(module, MultiHeadAttention)
        count = config[f"{part}_{'heads' if attention else 'hidden'}"]
        order = torch.argsort(importance[name], descending=True, stable=True)
        weights.update(_cut(name, module, order[:count].sort().values))
    smaller.load_state_dict(weights)
    return smaller.to(next(vlm.parameters()).device)


def _columns(module: MultiHeadAttention | FeedForward, gradient: bool = False) -> Tensor:
    """The output matrix (or its gradient) by units, [D, U, numbers per unit]."""
    layer, units = (
        (module.output, module.heads) if isinstance(module, MultiHeadAttention) else (module.reduce, None)
    )
    matrix = layer.weight.grad if gradient else layer.weight.detach()
    return matrix.reshape(matrix.shape[0], units or matrix.shape[1], -1)


def _cut(name: str, module: MultiHeadAttention | FeedForward, kept: Tensor) -> dict[str, Tensor]:
    """The tensors of a module that keeps only some units."""
    kept = kept.to(next(module.parameters()).device)
    if isinstance(module, MultiHeadAttention):
        kept = (
            kept[:, None] * module.head_width + torch.arange(module.head_width, device=kept.device)
        ).flatten()
        inner, outer = ("query", "key", "value"), "output"
    else:
        inner, outer = ("expand",), "reduce"
    tensors = {f"{name}.{outer}.weight": module.get_submodule(outer).weight.detach()[:, kept]}
    for layer in inner:
        for kind in ("weight", "bias"):
            tensors[f"{name}.{layer}.{kind}"] = module.get_submodule(layer).get_parameter(kind).detach()[kept]
    return tensors
