"""Layers of large towers and decoders divided among the processes: each keeps a part of their weights,
gradients and moments, and gets the rest of a layer while it computes it (FSDP2, PyTorch's `fully_shard`; Zhao
et al. 2023, arXiv 2304.11277).

Divided are the layers (members of a ModuleList or a Sequential) of the parts of a model that have more
parameters than a limit; what lies outside of layers is whole in every process, and its gradients are
averaged. Layers that do not train are left whole: features of frozen towers are computed where they are
needed, which differs between the processes, and a divided layer must be computed by all of them at once. For
the same reason an evaluation has the whole model, as has what comes after a training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sightline.core import runtime
from sightline.core.runtime import Runtime
from sightline.train import optimizer as adam
from sightline.train.mean_weights import MeanWeights
from sightline.train.pack_state import pack_state, unpack_state, whole_tensor
from sightline.train.task import Task

Layers = nn.ModuleList | nn.Sequential
CONTENT = ("_parameters", "_buffers", "_modules")  # what a module holds
METHODS = ("keys_values", "image_keys_values")  # of a layer, which a model calls beside `forward`
CALLED = ("forward", *METHODS)


class Divided(NamedTuple):
    """A layer, its divided copy, and the layer's own modules (itself first), parameters, buffers and content.
    While the model is not whole, the layer has the content of the copy, which also computes: towers know
    their layers by more than one name, so no other module can stand in a layer's place, and PyTorch has no
    way to undo `fully_shard`."""

    layer: nn.Module
    copy: nn.Module
    modules: list[nn.Module]
    parameters: list[nn.Parameter]
    buffers: list[Tensor]
    content: dict[str, Any]


class Sharding:
    """The divided layers of a task's model; none in a run of one process, or for a limit of 0."""

    def __init__(self, task: Task, above: int, run: Runtime) -> None:
        """above: parameters of a part (tower, decoder) beyond which its layers are divided."""
        self._task, self._run, self._above = task, run, above if run.world > 1 else 0
        self._divided: list[Divided] = []

    @property
    def active(self) -> bool:
        """Whether any layer is divided."""
        return bool(self._divided)

    def divide(
        self, optimizer: torch.optim.AdamW, mean: MeanWeights, weight_decay: float
    ) -> tuple[torch.optim.AdamW, MeanWeights]:
        """Divide the layers that train now and did not before; returns those given, or others with the same
        state. Every process must come here."""
        found = list(self._found()) if self._above else []
        if not found:
            return optimizer, mean
        # Not needed by most trainings, whose start they would slow down.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        state = pack_state(self._task.model, optimizer) | mean.pack()
        mesh = init_device_mesh(self._run.device.split(":")[0], (self._run.world,))
        for layer in found:
            content = {name: vars(layer)[name] for name in CONTENT}
            own = list(layer.modules()), list(layer.parameters()), list(layer.buffers())
            divided = copy.deepcopy(layer)
            # Each layer is a root to PyTorch, and a root keeps its weights after `forward` unless told.
            fully_shard(divided, mesh=mesh, reshard_after_forward=True)
            for name in METHODS:
                if hasattr(divided, name):
                    register_fsdp_forward_method(divided, name)
            self._divided.append(Divided(layer, divided, *own, content))
            _empty(self._divided[-1])
        optimizer, mean = adam.adamw(self._task, weight_decay), mean.of(self._task.model)
        unpack_state(state, self._task.model, optimizer)
        mean.unpack(state)
        runtime.log(f"{len(found)} layers are divided among {self._run.world} processes")
        return optimizer, mean

    def _found(self) -> Iterator[nn.Module]:
        known = {id(each.layer) for each in self._divided}
        for part in self._task.model.children():
            if sum(parameter.numel() for parameter in part.parameters()) > self._above:
                for layer in _layers(part):
                    trains = any(parameter.requires_grad for parameter in layer.parameters())
                    if trains and id(layer) not in known:
                        yield layer

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The model is whole inside. Every process must come here."""
        self.gather()
        yield
        for each in self._divided:
            _empty(each)

    @torch.no_grad()
    def gather(self) -> None:
        """Make the model whole. Every process must come here."""
        for each in self._divided:
            for mine, kept in zip(each.parameters, each.copy.parameters(), strict=True):
                mine.data = whole_tensor(kept.detach()).clone()
                mine.requires_grad_(kept.requires_grad)
            for buffer, other in zip(each.buffers, each.copy.buffers(), strict=True):
                buffer.copy_(other)
            each.copy.training = each.layer.training
            for module, other_module in zip(each.modules, each.copy.modules(), strict=True):
                module.training = other_module.training
            vars(each.layer).update(each.content)
            for name in CALLED:
                vars(each.layer).pop(name, None)

    def clip(self, most: float) -> Tensor:
        """Scale the gradients of the model to a norm of at most `most`; returns their norm before."""
        if not self.active:
            return nn.utils.clip_grad_norm_(self._task.model.parameters(), most)
        kinds: tuple[list[nn.Parameter], list[nn.Parameter]] = [], []
        for parameter in self._task.model.parameters():
            if parameter.grad is not None:
                kinds[isinstance(parameter, DTensor)].append(parameter)
        norms = [whole_tensor(nn.utils.get_total_norm(_gradients(kind))) for kind in kinds if kind]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        for kind in kinds:
            nn.utils.clip_grads_with_norm_(kind, most, norm)
        return norm


def _empty(each: Divided) -> None:
    """Have the copy compute, and drop the layer's own weights."""
    vars(each.layer).update({name: vars(each.copy)[name] for name in CONTENT})
    for name in CALLED:
        if hasattr(each.copy, name):
            vars(each.layer)[name] = partial(_called, each, name)
    for parameter in each.parameters:
        parameter.data = parameter.data.new_empty(0)


def _called(each: Divided, name: str, *args: Any, **kwargs: Any) -> Any:
    each.copy.training = each.layer.training
    return each.copy(*args, **kwargs) if name == "forward" else getattr(each.copy, name)(*args, **kwargs)


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _layers(part: nn.Module) -> Iterator[nn.Module]:
    """Members of the outermost lists."""
    for child in part.children():
        if isinstance(part, Layers):
            yield child
        else:
            yield from _layers(child)
