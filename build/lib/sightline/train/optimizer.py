"""AdamW over the parts of a model, its learning rates, and its state as named tensors.

AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sightline.train.task import Task

BETAS = (0.9, 0.98)


def adamw(task: Task, weight_decay: float) -> torch.optim.AdamW:
    """One group per part of the model (`part`: first component of the parameter's name) and kind: matrices
    decay, vectors (biases, norms, scales) do not. Parameters of a later phase are in it from the start;
    AdamW passes over those without a gradient."""
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in task.model.named_parameters():
        groups.setdefault((name.split(".")[0], parameter.ndim >= 2), []).append(parameter)
    settings = [
        {"params": group, "part": part, "weight_decay": weight_decay if decays else 0.0}
        for (part, decays), group in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=0.0, betas=BETAS, fused=True)


def set_lr(optimizer: torch.optim.AdamW, task: Task, lr: float, step: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * task.lr_scale(group["part"], step)


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
