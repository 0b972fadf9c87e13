"""Schedules: pure functions of the step, never of time, so that a resumed run repeats them."""

from __future__ import annotations

import math


def batch_size(wanted: int, items: int, world: int) -> int:
    """`wanted`, or as many items as there are, cut to a multiple of the `world` processes.

    Raises ValueError if the processes cannot share `wanted` equally, or if not even one item is left for
    each.
    """
    if wanted % world:
        below = wanted // world * world
        cures = [str(size) for size in (below, below + world) if size]
        raise ValueError(
            f"training: a batch_size of {wanted} cannot be shared equally by {world} processes (all machines "
            f"together); set it to {' or '.join(cures)}, or start as many processes as divide {wanted}"
        )
    size = min(wanted, items) // world * world
    if size == 0:
        raise ValueError(
            f"training: {items} usable items and batch_size {wanted} cannot feed {world} processes; "
            "give more data, or set `launch: python` to train in one process"
        )
    return size


def warmup_steps(steps: int, share: float) -> int:
    return max(1, round(steps * share))


def num_steps(epochs: float, items: int, batch_size: int, least: int = 0) -> int:
    """Optimizer steps in `epochs` passes over `items` examples (the incomplete last batch is dropped), but
    `least` of them at least; 0 only for epochs == 0."""
    return 0 if epochs == 0 else max(1, least, round(epochs * (items // batch_size)))


def warmup_cosine(step: int, steps: int, warmup_steps: int) -> float:
    """Factor on the learning rate at `step` in [0, steps): linear from 1/warmup_steps to 1, then half a
    cosine towards 0 (reached at `steps`, so no step is wasted on a zero rate)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def rewarmed(step: int, thaw_step: int, warmup_steps: int) -> float:
    """Factor on the learning rate of what starts to train at `thaw_step`: its moments start from nothing, so
    it rises linearly from there."""
    return min(1.0, (step - thaw_step + 1) / warmup_steps)


def eval_steps(steps: int, evals: int) -> frozenset[int]:
    """Numbers of finished steps after which to evaluate: `evals` of them spread evenly, the last always."""
    return frozenset(math.ceil(steps * (i + 1) / evals) for i in range(evals)) - {0}


def log_steps(steps: int) -> int:
    """Finished steps between two points of the training curve: about a hundred points a run."""
    return max(1, steps // 100)
