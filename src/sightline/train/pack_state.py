"""Weights and optimizer state as named arrays on the CPU, and back: what checkpoints hold.

Of tensors that are divided among the processes (sharding.py) the arrays are whole: they are gathered, which
every process must come to.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor


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
            key.removeprefix(prefix): placed(array, parameter)
            for key, array in tensors.items()
            if key.startswith(prefix)
        }
        if moments:
            optimizer.state[parameter] = moments


def unpack_weights(arrays: dict[str, np.ndarray], model: nn.Module) -> None:
    own = model.state_dict()
    model.load_state_dict({name: placed(array, own.get(name)) for name, array in arrays.items()})


def placed(array: np.ndarray, like: torch.Tensor | None) -> torch.Tensor:
    """A copy as a tensor: of a tensor `like` that is divided and as large this process's part, else all."""
    tensor = torch.from_numpy(array.copy())
    if like is None:
        return tensor
    tensor = tensor.to(like.device)
    if isinstance(like, DTensor) and like.shape == tensor.shape:
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor, of which a process may have a part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor, in place."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _copy(tensor: torch.Tensor) -> np.ndarray:
    return whole_tensor(tensor.detach()).cpu().numpy().copy()
