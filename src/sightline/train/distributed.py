"""What several processes need to train as one: DistributedDataParallel, sums, and a gather with gradients.

Every function is the identity in a run of one process. Legend: B rows of this process, W processes, E width.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sightline.core.runtime import Runtime


def wrap(task: nn.Module, run: Runtime) -> nn.Module:
    """`task` with its gradients averaged over the processes; to be called again whenever
    `requires_grad` of a parameter changes."""
    if run.world == 1 or not any(p.requires_grad for p in task.parameters()):
        return task
    # The gradient of a 1x1 convolution may come in another memory order than its bucket: it is copied.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    devices = None if run.device == "cpu" else [torch.device(run.device)]
    # find_unused_parameters also keeps the gradient buckets as first built. Without it they are rebuilt after
    # the first backward pass, so a resumed run would add up in another order: other bits from 3 processes on.
    return nn.parallel.DistributedDataParallel(task, device_ids=devices, find_unused_parameters=True)


def mean_gradients(module: nn.Module, run: Runtime) -> None:
    """Average the gradients of a module that is not wrapped, but for those that were averaged when they were
    divided (sharding.py). A parameter that has one in some process gets one in each: of zeros where it took
    no part."""
    if run.world == 1:
        return
    trained = [p for p in module.parameters() if p.requires_grad and not isinstance(p, DTensor)]
    used = sum_over_ranks([float(parameter.grad is not None) for parameter in trained], run)
    for parameter, count in zip(trained, used, strict=True):
        if count:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.contiguous()
            dist.all_reduce(gradient)
            parameter.grad = gradient / run.world


def sum_over_ranks(values: list[float], run: Runtime) -> list[float]:
    """Elementwise sum over all processes, the same floats in each (added in the order of the ranks)."""
    if run.world == 1:
        return values
    mine = torch.tensor(values, dtype=torch.float64, device=run.device)
    parts = [torch.empty_like(mine) for _ in range(run.world)]
    dist.all_gather(parts, mine)
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total.tolist()


def total(counts: Tensor, run: Runtime) -> Tensor:
    """Elementwise sum of whole numbers over all processes."""
    if run.world > 1:
        dist.all_reduce(counts)
    return counts


def mean_over_ranks(values: list[float], run: Runtime) -> list[float]:
    return [total / run.world for total in sum_over_ranks(values, run)]


def gather(rows_BE: Tensor) -> Tensor:
    """[B, E] of every process (B equal in all) -> [W * B, E] in rank order. The gradient of each row is the
    sum of what all processes ask of it, so that the mean of the processes' losses has the gradient of one
    big batch."""
    return _Gather.apply(rows_BE) if dist.is_initialized() else rows_BE


class _Gather(torch.autograd.Function):
    """By blocking calls: PyTorch 2.14's gather with gradients waits for asynchronous ones, and with gloo it
    ended a training by a crash now and then (once in some ten thousand steps)."""

    @staticmethod
    def forward(ctx: Any, rows_BE: Tensor) -> Tensor:
        parts = [torch.empty_like(rows_BE) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows_BE.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient_NE: Tensor) -> Tensor:
        total_NE = gradient_NE.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total_NE)
        return total_NE.chunk(dist.get_world_size())[dist.get_rank()]


def of_main(value: bool, run: Runtime) -> bool:
    """What the first process says."""
    if run.world == 1:
        return value
    said = torch.tensor([value], dtype=torch.uint8, device=run.device)
    dist.broadcast(said, 0)
    return bool(said.item())


def gather_integers(value: int, run: Runtime) -> list[int]:
    """The value of each process, in the order of the ranks."""
    if run.world == 1:
        return [value]
    mine = torch.tensor([value], dtype=torch.int64, device=run.device)
    parts = [torch.empty_like(mine) for _ in range(run.world)]
    dist.all_gather(parts, mine)
    return [int(part.item()) for part in parts]


def broadcast_json(document: Any, source: int, run: Runtime) -> Any:
    """The JSON value that process `source` has."""
    if run.world == 1:
        return document
    data = json.dumps(document).encode() if run.rank == source else b""
    size = gather_integers(len(data), run)[source]
    buffer = torch.frombuffer(bytearray(data or size), dtype=torch.uint8).to(run.device)
    dist.broadcast(buffer, source)
    return json.loads(buffer.cpu().numpy().tobytes())


def broadcast_arrays(arrays: dict[str, np.ndarray], source: int, run: Runtime) -> dict[str, np.ndarray]:
    """The arrays that process `source` has, one after the other; of the others `arrays` is not read."""
    if run.world == 1:
        return arrays
    header = broadcast_json([[name, a.dtype.str, a.shape] for name, a in arrays.items()], source, run)
    if run.rank != source:
        arrays = {name: np.empty(shape, dtype) for name, dtype, shape in header}
    for name, array in arrays.items():
        if array.size:
            data = torch.from_numpy(array.reshape(-1).view(np.uint8).copy()).to(run.device)
            dist.broadcast(data, source)
            arrays[name] = data.cpu().numpy().view(array.dtype).reshape(array.shape)
    return arrays


def check_same(key: str, run: Runtime) -> None:
    """Raise ValueError unless every process has the key, a sha256 in hexadecimal digits."""
    keys = gather_integers(int(key[:15], 16), run)
    other = next((rank for rank, each in enumerate(keys) if each != keys[0]), None)
    if other is not None:
        raise ValueError(
            f"process {other} does not train the same thing as process 0: its parameters, data, code, "
            "PyTorch or weights at the start differ; give every machine the same commit, packages and data "
            "(`dvc pull`), and start again"
        )


def same_buffers(module: nn.Module, run: Runtime) -> None:
    """Give every process the first one's buffers: batch-norm statistics follow each process's own rows
    between two forward passes, and an evaluation must measure the model that the first process saves."""
    if run.world > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)


def barrier(run: Runtime) -> None:
    if run.world > 1:
        dist.barrier()
