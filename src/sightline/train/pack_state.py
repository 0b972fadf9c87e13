"""Weights and optimizer state as named arrays on the CPU, and back: what checkpoints hold."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def pack_state(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, np.ndarray]:
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


def unpack_state(tensors: dict[str, np.ndarray], model: nn.Module, optimizer: torch.optim.AdamW) -> None:
    """Put what `pack_state` took back in place."""
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
