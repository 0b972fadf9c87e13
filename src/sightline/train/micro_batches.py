"""The gradients of a batch that is too large to be computed at once: part by part, the same as of the whole.

A loss that is a sum over rows has the sum of its parts' gradients. One that compares rows needs all of them
at once: gradient caching (Gao et al. 2021, arXiv 2101.06983, section 3) computes what it compares without a
graph, then the loss and its gradient there, and then each part once more, with a graph and the same random
numbers, from where the gradient goes on into the weights. Memory holds the graph of one part, and what is
compared of all rows.

A batch norm sees the rows of a part only, as it sees those of one process only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from sightline.core.runtime import Runtime
from sightline.train import distributed
from sightline.train.step_profiler import Unprofiled
from sightline.train.task import ComparingTask, Task

Report = dict[str, Tensor]
Context = Callable[[], contextlib.AbstractContextManager]


def are_needed(task: Task, rows: int, run: Runtime) -> bool:
    """Whether a process has more than `rows` items of a batch (0: any number is computed at once)."""
    return 0 < rows < task.per_step // run.world


def backward(
    task: Task, loaded: dict, rows: int, scaler: torch.amp.GradScaler, precision: Context,
    profiler: Unprofiled,
) -> tuple[Tensor, Report]:  # fmt: skip
    """Add the gradient of this process's batch, computed `rows` items at a time and averaged over processes,
    to the parameters of `task`, which is not wrapped. Returns loss and report, as `forward` does.

    precision: the context to compute in, anew for each part.
    """
    parts = task.parts(loaded, rows)
    if isinstance(task, ComparingTask):
        loss, report = _compared(task, parts, scaler, precision, profiler)
    else:
        loss, report = _summed(task, parts, scaler, precision, profiler)
    with profiler.part("backward"):
        distributed.mean_gradients(task, task.run)
    return loss, report


def _summed(
    task: Task, parts: list[dict], scaler: torch.amp.GradScaler, precision: Context, profiler: Unprofiled
) -> tuple[Tensor, Report]:
    losses: list[Tensor] = []
    report: Report = {}
    for part in parts:
        with profiler.part("forward"), precision():
            loss, of_part = task(task.place(part))
        if loss.requires_grad:  # not of a part that nothing is asked about
            with profiler.part("backward"):
                scaler.scale(loss).backward()
        losses.append(loss.detach())
        report = {name: value + report.get(name, 0.0) for name, value in of_part.items()}
    return torch.stack(losses).sum(), report


def _compared(
    task: ComparingTask, parts: list[dict], scaler: torch.amp.GradScaler, precision: Context,
    profiler: Unprofiled,
) -> tuple[Tensor, Report]:  # fmt: skip
    device = task.run.device
    states: list[list[Tensor]] = []
    represented: list[Report] = []
    with profiler.part("forward"), torch.no_grad():
        for part in parts:
            states.append(_random_state(device))
            with precision():
                represented.append(task.represent(task.place(part)))
    rows = {name: torch.cat([each[name] for each in represented]) for name in represented[0]}
    counts = {name: [len(each[name]) for each in represented] for name in rows}
    del represented
    for tensor in rows.values():
        tensor.requires_grad_(tensor.is_floating_point())
    with profiler.part("forward"), precision():
        loss, report = task.compare(rows)
    with profiler.part("backward"):
        scaler.scale(loss).backward()
    asked = {
        name: tensor.grad.split(counts[name]) for name, tensor in rows.items() if tensor.grad is not None
    }
    statistics = [buffer.clone() for buffer in task.buffers()]
    for number, (part, state) in enumerate(zip(parts, states, strict=True)):
        _set_random_state(state, device)
        with profiler.part("forward"), precision():
            again = task.represent(task.place(part))
        with profiler.part("backward"):
            names = [name for name in asked if again[name].requires_grad]
            if names:  # else all that is compared comes from frozen parts
                torch.autograd.backward(
                    [again[name] for name in names], [asked[name][number] for name in names]
                )
    for buffer, before in zip(task.buffers(), statistics, strict=True):
        buffer.copy_(before)  # each row counts once in a batch norm's statistics
    return loss.detach(), report


def _random_state(device: str) -> list[Tensor]:
    """Of the generators that a model on the device draws from."""
    states = [torch.get_rng_state()]
    return states if device == "cpu" else [*states, torch.get_device_module(device).get_rng_state()]


def _set_random_state(states: list[Tensor], device: str) -> None:
    torch.set_rng_state(states[0])
    if device != "cpu":
        torch.get_device_module(device).set_rng_state(states[1])
