"""The interface of a task: batches, a loss, a validation metric. The loop depends on nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from sightline.core import runtime
from sightline.core.runtime import Runtime


def on_device(value: Any, device: str) -> Any:
    """Tensors on the device, also those within dictionaries; all else as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    return {key: on_device(part, device) for key, part in value.items()} if isinstance(value, dict) else value


class Task(nn.Module, ABC):
    """A model, its data and its loss.

    `model` is the part that is saved; `layer_decay` is explained in optimizer.layer_factors. `metric`, `unit`
    and `per_step` (over all processes) are for progress lines. A model that `starts_trained` is measured
    before the first step too, and kept as it came where no step makes it better. `keeps_last_of_equals`: the
    metric does not see what is trained.
    """

    model: nn.Module
    run: Runtime
    metric: str
    unit: str
    per_step: int
    layer_decay: float = 1.0
    starts_trained: bool = False
    keeps_last_of_equals: bool = False

    @abstractmethod
    def load(self, step: int) -> dict:
        """This process's slice of the global batch of `step`, on the CPU: a pure function of the data, the
        seed and the step, which another process may call. Key "items" names the examples for error
        messages."""

    def place(self, loaded: dict) -> dict:
        """What `forward` takes, of what was loaded: tensors on the device of the training."""
        return on_device(loaded, self.run.device)

    def batch(self, step: int) -> dict:
        """What `forward` takes in a step."""
        return self.place(self.load(step))

    @abstractmethod
    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to be minimised (its mean over processes is the global one) and detached numbers to
        report."""

    @abstractmethod
    def evaluate(self) -> tuple[float, dict[str, float]]:
        """Validation metric (higher is better, the same in every process) and more numbers for the curves.
        Called in eval mode without gradients."""

    def say_batch_size(self, name: str, wanted: int) -> None:
        """Print that a batch is smaller than params.yaml has it (schedule.batch_size)."""
        if self.per_step < wanted:
            runtime.log(f"{name} trains in batches of {self.per_step}, not {wanted}: there is no more data")

    def samples(self) -> list[str]:
        """Lines to show after an evaluation."""
        return []

    def phase(self, step: int) -> int:
        """Number of the phase that `step` belongs to."""
        return 0

    def enter(self, phase: int) -> None:
        """Set which parameters train in `phase`."""

    def lr_scale(self, part: str, step: int) -> float:
        """Factor on the learning rate of the parameters below `model.<part>`, a pure function of the step."""
        return 1.0
