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


def rows_of(value: Any, rows: slice) -> Any:
    """Rows of a tensor, of a list, or of every member of a tuple; nothing stays nothing."""
    if isinstance(value, tuple):
        return tuple(rows_of(part, rows) for part in value)
    return None if value is None else value[rows]


def slices(count: int, rows: int) -> list[slice]:
    """The numbers below `count`, `rows` of them at a time."""
    return [slice(start, min(start + rows, count)) for start in range(0, count, rows)]


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

    def parts(self, loaded: dict, rows: int) -> list[dict]:
        """What `load` gave, in parts of at most `rows` items that go through `place` and `forward` one by
        one: losses and reports of the parts add up to those of the whole. A loss that does not come apart so
        has the whole as its only part."""
        return [loaded]

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


class ComparingTask(Task):
    """A task whose loss compares the rows of a batch with each other: what it needs of each row is computed
    in parts, the loss of all rows at once."""

    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        return self.compare(self.represent(batch))

    @abstractmethod
    def represent(self, batch: dict) -> dict[str, Tensor]:
        """What `compare` needs of a batch, or of a part of it, row by row."""

    @abstractmethod
    def compare(self, rows: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and report as `forward` gives them, of all rows of this process."""
