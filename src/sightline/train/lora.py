"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685): a frozen matrix learns a correction.

They are parametrizations of PyTorch, so that the adapted model computes, is saved and is trained as before,
and `merge` leaves plain weights under their old names: artifacts, export and pruning know nothing of them.
(The package peft renames weights and wraps models in classes of its own, and brings accelerate along.)

Shapes: O outputs, I inputs of a matrix, R rank.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

SCALE = 2.0  # the paper's alpha / rank: with Adam, another way to set the learning rate


class LowRank(nn.Module):
    """weight_OI -> weight_OI + SCALE * up_OR down_RI, at the start weight_OI."""

    def __init__(self, weight_OI: Tensor, rank: int):
        super().__init__()
        rank = min(rank, *weight_OI.shape)
        self.down_RI = nn.Parameter(weight_OI.new_empty(rank, weight_OI.shape[1]))
        nn.init.kaiming_uniform_(self.down_RI, a=math.sqrt(5))
        self.up_OR = nn.Parameter(weight_OI.new_zeros(weight_OI.shape[0], rank))

    def forward(self, weight_OI: Tensor) -> Tensor:
        return weight_OI + SCALE * (self.up_OR @ self.down_RI)


def adapt(model: nn.Module, rank: int, kinds: tuple[type[nn.Module], ...] = (nn.Linear,)) -> None:
    """Freeze all of `model` and give the weight of every layer of these kinds an adapter, which trains.
    Random numbers come from torch's generator."""
    model.requires_grad_(False)
    for layer in [module for module in model.modules() if isinstance(module, kinds)]:
        adapter = LowRank(layer.get_parameter("weight"), rank)
        parametrize.register_parametrization(layer, "weight", adapter)


def merge(model: nn.Module) -> None:
    """Put the corrections into the weights, and take the adapters away."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            with torch.no_grad():
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
