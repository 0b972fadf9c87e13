"""What a process takes of an accelerator: how long it holds it, and its largest memory there."""

from __future__ import annotations

import time
from collections.abc import Callable

MIB = 2**20


class DeviceUsage:
    """From now on. clock: seconds; peak_bytes: the largest memory that was taken so far."""

    def __init__(self, peak_bytes: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> None:
        self._peak_bytes, self._clock = peak_bytes, clock
        self._since = clock()

    @classmethod
    def of_cuda(cls, device: str) -> DeviceUsage:
        """Memory is what PyTorch's allocator took from the device (`max_memory_reserved`): what it keeps for
        later tensors counts, the driver's own does not."""
        import torch

        return cls(lambda: torch.cuda.max_memory_reserved(device))

    @classmethod
    def of_mps(cls) -> DeviceUsage:
        """Memory is what the driver holds for this process when it is asked: PyTorch keeps no peak here."""
        import torch

        return cls(torch.mps.driver_allocated_memory)

    def seconds(self) -> float:
        """Seconds held, busy or not: what others could not use."""
        return self._clock() - self._since

    def peak_mib(self) -> float:
        return self._peak_bytes() / MIB
