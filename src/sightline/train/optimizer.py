"""AdamW over the parts of a model, its learning rates, and its state as named tensors.

AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101).
"""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import nn

from sightline.train.task import Task

BETAS = (0.9, 0.98)
TOWERS = ("text", "vision")


def adamw(task: Task, weight_decay: float) -> torch.optim.AdamW:
    """One group per part of the model (`part`: first component of the parameter's name), layer of a tower and
    kind: matrices decay, vectors (biases, norms, scales) do not. Parameters of a later phase are in it from
    the start; AdamW passes over those without a gradient."""
    factors = layer_factors(task.model, task.layer_decay)
    groups: dict[tuple[str, bool, float], list[nn.Parameter]] = {}
    for name, parameter in task.model.named_parameters():
        key = (name.split(".")[0], parameter.ndim >= 2, factors.get(name, 1.0))
        groups.setdefault(key, []).append(parameter)
    settings = [
        {"params": group, "part": part, "factor": factor, "weight_decay": weight_decay if decays else 0.0}
        for (part, decays, factor), group in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=0.0, betas=BETAS, fused=True)


def layer_factors(model: nn.Module, decay: float) -> dict[str, float]:
    """Factor on the learning rate of every parameter of the towers: 1 for the last layer, `decay` times that
    for each layer below it (Howard and Ruder 2018, arXiv 1801.06146).

    A layer is what a name holds up to its first number (`text.encoder.layers.0`, `vision.model.layer1.0`), in
    the order of the model; what comes before the first one counts as one more, what comes after belongs to
    the last.
    """
    factors = {}
    for tower in TOWERS:
        layers: list[str] = []
        depth = {}
        for name, _ in model.named_parameters():
            if name.startswith(f"{tower}."):
                found = re.match(r".*?\.\d+(?=\.)", name)
                if found and found[0] not in layers:
                    layers.append(found[0])
                depth[name] = layers.index(found[0]) + 1 if found else len(layers)
        factors |= {name: decay ** (len(layers) - number) for name, number in depth.items()}
    return factors


def set_lr(optimizer: torch.optim.AdamW, task: Task, lr: float, step: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * task.lr_scale(group["part"], step) * group["factor"]


def pack(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, np.ndarray]:
    """Weights, buffers and optimizer moments as copies on the CPU, under model/<name> and
    optimizer/<name>/<moment>."""
    tensors = {f"model/{name}": array for name, array in pack_weights(model).items()}
    for name, parameter in model.named_parameters():
        for moment, tensor in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{moment}"] = _copy(tensor)
    return tensors


def pack_weights(model: nn.Module) -> dict[str, np.ndarray]:
    """Weights and buffers as copies on the CPU."""
    return {name: _copy(tensor) for name, tensor in model.state_dict().items()}


def unpack(tensors: dict[str, np.ndarray], model: nn.Module, optimizer: torch.optim.AdamW) -> None:
    """Put what `pack` took back in place."""
    unpack_weights(
        {name.removeprefix("model/"): array for name, array in tensors.items() if name.startswith("model/")},
        model,
    )
    for name, parameter in model.named_parameters():
        prefix = f"optimizer/{name}/"
        moments = {
            key.removeprefix(prefix): torch.from_numpy(array.copy()).to(parameter.device)
            for key, array in tensors.items()
            if key.startswith(prefix)
        }
        if moments:
            optimizer.state[parameter] = moments


def unpack_weights(arrays: dict[str, np.ndarray], model: nn.Module) -> None:
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})


def _copy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()
