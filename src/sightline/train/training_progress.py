"""Where a training is: its step and loss all the time (core.progress), and a line per evaluation: how good,
how fast, how long still; then the task's sample answers."""

from __future__ import annotations

import time

from sightline.core import runtime
from sightline.train.checkpoint import State
from sightline.train.task import Task


class Progress:
    """Speed and remaining time are measured over the steps of this process alone (a resumed run starts
    anew)."""

    def __init__(self, task: Task, steps: int, first_step: int) -> None:
        self.task, self.steps, self.first_step = task, steps, first_step
        self.loss = 0.0
        self.started = time.monotonic()

    def show(self, state: State) -> None:
        seconds = time.monotonic() - self.started
        done = state.step - self.first_step
        speed = done * self.task.per_step / seconds
        remaining = round(seconds / done * (self.steps - state.step))
        metric, value = self.task.metric.replace("_", " "), state.history[-1][f"val_{self.task.metric}"]
        runtime.log(
            f"{state.step}/{self.steps}  loss {self.loss:.3g}  val {metric} {value:.1f}  "
            f"{speed:.0f} {self.task.unit}/s  ETA {remaining // 60}:{remaining % 60:02d}"
        )
        for line in self.task.samples():
            runtime.log(line)
