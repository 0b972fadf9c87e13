"""Batches of a training, read ahead by worker processes. `Task.load` is a pure function of the step, so any
number of workers gives the same batches."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import torch
from torch.utils.data import DataLoader, Dataset

from sightline.core.runtime import Runtime
from sightline.train.task import Task

AHEAD = 2  # batches of each worker that wait to be taken


def batches(task: Task, start: int, stop: int, run: Runtime) -> Generator[dict]:
    """What `task` loads for the steps from `start` to before `stop`, in order, by run.loader_workers other
    processes. Close it to end them."""
    if not run.loader_workers:
        yield from map(task.load, range(start, stop))
        return
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads do not live through a fork
    loader: DataLoader = DataLoader(
        _Steps(task),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=run.loader_workers,
        prefetch_factor=AHEAD,
        pin_memory=run.device.startswith("cuda"),
        worker_init_fn=_begin,
        # By default the seed of the workers is drawn from the generator that training draws from.
        generator=torch.Generator(),
        multiprocessing_context="fork",
    )
    reading = iter(loader)
    try:
        for batch in reading:
            if isinstance(batch, ValueError):
                raise batch
            yield batch
    finally:
        del reading  # ends the workers


class _Steps(Dataset):
    def __init__(self, task: Task) -> None:
        self._task = task

    def __getitem__(self, step: int) -> dict | ValueError:
        """What a user can mend travels as a value: the loader would wrap it into a traceback."""
        try:
            return self._task.load(step)
        except (ValueError, OSError) as error:
            return ValueError(str(error))


def _begin(worker: int) -> None:
    """Signals are the training process's to answer; its end ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
