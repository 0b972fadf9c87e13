"""torch.compile on what takes the time of a step: whole towers, language models and the layers of our own
decoder."""

from __future__ import annotations

import torch
from torch import nn

from sightline.core import runtime
from sightline.models.layers import DecoderLayer
from sightline.models.tower import VisionTower

NAMED = ("text", "language_model")  # parts of a model that are called whole, beside image towers


def works(device: str) -> bool:
    """Whether torch.compile makes programs for the device; prints why not."""
    try:
        torch.compile(_probe)(torch.ones(8, device=device))
    except Exception as error:  # of its own, of the compiler's and of Triton's, without a common base
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        runtime.log(
            f"training.compile: nothing is compiled, since torch.compile does not work on {device} here "
            f"({reason}); it needs a C++ compiler, on an accelerator also Triton"
        )
        return False
    return True


def compile_parts(model: nn.Module) -> None:
    """Have the parts of `model` compiled when they are first called. Names of weights stay.

    Pictures are of one size: a program for each size of batch. Texts are of any length: one program for all,
    so that it does not depend on which length came first and a resumed run ends with the same bits.
    """
    for name, module in model.named_modules():
        if isinstance(module, VisionTower):
            module.compile(dynamic=False)
        elif name in NAMED or isinstance(module, DecoderLayer):
            module.compile(dynamic=True)


def _probe(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.sin() + 1.0
