"""Row 10: numbers that are not finite, in a batch, a loss or a gradient."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from sightline.core import artifacts, source_digest
from sightline.core.runtime import Runtime
from sightline.train import checkpoint
from sightline_lab.faults import toy_training
from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.rows.training_kills import require_same
from sightline_lab.faults.toy_training import ToyTask

STEPS = 40
ALONE = Runtime("cpu", 0, 1, 1)
PLACES = ("batch", "target", "loss", "gradient")


def prepare(scratch: Path) -> dict[str, bytes]:
    _train(scratch, toy_training.make(ALONE, STEPS))
    return toy_training.files(scratch / "out")


def case(case: Case) -> int:
    """A bad number in one step; then the same training without it."""
    rng = case.rng
    place, at = PLACES[case.index % len(PLACES)], int(rng.integers(0, STEPS))
    value = float(rng.choice([np.nan, np.inf, -np.inf]))
    task = toy_training.make(ALONE, STEPS)
    _poison(task, place, at, value)
    where = f"{value} in the {place} of step {at}"
    try:
        _train(case.scratch, task)
    except ValueError as error:
        if f"step {at} " not in str(error):
            raise Broken(f"{where} was found elsewhere: {error}") from error
    else:
        raise Broken(f"{where}: the training finished")
    for path in (case.scratch / ".resume").rglob("*.safetensors"):
        for name, array in artifacts.load_weights(path).items():
            if not np.isfinite(array).all():
                raise Broken(f"{where}: {name} in {path.name} is not finite")
    _train(case.scratch, toy_training.make(ALONE, STEPS))
    require_same(toy_training.files(case.scratch / "out"), case.prepared, f"{where}, then without it:")
    return 1


def _train(folder: Path, task: ToyTask) -> None:
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ),
        mock.patch.object(checkpoint, "SAVE_EVERY_S", 0.0),
        mock.patch.object(source_digest, "digest", lambda *starts: ""),  # which takes a second
        contextlib.redirect_stderr(io.StringIO()),
    ):
        os.environ.pop("DVC_ROOT", None)  # where the state would be kept
        toy_training.train(ALONE, Path("out"), task)


def _poison(task: ToyTask, place: str, at: int, value: float) -> None:
    """Put the value into a step of the task."""
    batch, forward, now = task.load, task.forward, [0]

    def poisoned_batch(step: int) -> dict:
        made = batch(step)
        now[0] = step
        name = {"batch": "rows", "target": "target"}.get(place)
        if step == at and name:
            made[name] = made[name].clone()
            made[name][0, 0] = value
        return made

    def poisoned_forward(made: dict) -> tuple[Tensor, dict[str, Tensor]]:
        loss, report = forward(made)
        if now[0] == at and torch.is_grad_enabled():
            if place == "loss":
                loss = loss + value
            elif place == "gradient":  # sqrt(0) is 0, and its derivative infinite
                loss = loss + (0 * task.model.head.bias.sum()).sqrt()
        return loss, report

    task.load, task.forward = poisoned_batch, poisoned_forward  # type: ignore[method-assign]


PROMISE = Promise(
    10, "Numbers that are not finite", "NaN and infinity in a batch, a loss or a gradient stop the training "
    "at that very step, are in no saved state, and without them it goes on to the same bytes.", "numbers",
    40, 2000, case, prepare,
)  # fmt: skip
