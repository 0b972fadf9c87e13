"""AdamW over the parts of a model, and its learning rates.

AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from sightline.train.task import Task

BETAS = (0.9, 0.98)
TOWERS = ("text", "vision")
LAYER = re.compile(r"(?:[^.]+\.)*?\d+(?=\.)")


def adamw(task: Task, weight_decay: float) -> torch.optim.AdamW:
    """One group per part of the model (`part`: first component of the parameter's name), layer of a tower and
    kind: matrices decay, vectors (biases, norms, scales) do not; those divided among the processes
    (sharding.py) are apart. Parameters of a later phase are in it from
    the start; AdamW passes over those without a gradient."""
    factors = layer_factors(task.model, task.layer_decay)
    groups: dict[tuple[str, bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in task.model.named_parameters():
        divided = isinstance(parameter, DTensor)
        key = (name.split(".")[0], parameter.ndim >= 2, factors.get(name, 1.0), divided)
        groups.setdefault(key, []).append(parameter)
    settings = [
        {"params": group, "part": part, "factor": factor, "weight_decay": weight_decay if decays else 0.0}
        for (part, decays, factor, _), group in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=0.0, betas=BETAS, fused=True)


def layer_factors(model: nn.Module, decay: float) -> dict[str, float]:
    """Factor on the learning rate of every parameter of the towers: 1 for the last layer, `decay` times that
    for each layer below it (Howard and Ruder 2018, arXiv 1801.06146). Empty for a decay of 1."""
    if decay == 1.0:
        return {}
    from timm.models import group_parameters

    factors: dict[str, float] = {}
    for part in TOWERS:
        if (tower := getattr(model, part, None)) is not None:
            layers = group_parameters(tower, layer_matcher(), reverse=True)
            last = max(layers.values())
            factors |= {f"{part}.{name}": decay ** (last - layer) for name, layer in layers.items()}
    return factors


def layer_matcher() -> Callable[[str], int]:
    """timm's group matcher of any tower: the layer of each parameter, named in the order of the model.

    A layer is what a name holds up to its first number (`encoder.layers.0`, `model.layer1.0`); what comes
    before the first one counts as one more, what comes after belongs to the last.
    """
    layers: list[str] = []

    def layer(name: str) -> int:
        match = LAYER.match(name)
        if match is None:
            return len(layers)
        if match[0] not in layers:
            layers.append(match[0])
        return layers.index(match[0]) + 1

    return layer


def set_lr(optimizer: torch.optim.AdamW, task: Task, lr: float, step: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * task.lr_scale(group["part"], step) * group["factor"]
