"""An exponential mean of a model's weights over the steps, which wavers less than the weights themselves
(Polyak and Juditsky 1992; as in EfficientNet, arXiv 1905.11946). It is what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from sightline.train.pack_state import own_part, placed, whole_tensor

PREFIX = "mean/"


class MeanWeights:
    """Of weights and buffers; none is kept for a decay of 0, and the model itself is meant."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        state = model.state_dict() if decay else {}
        self._mean = {name: tensor.clone() for name, tensor in state.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after `step` finished steps. The decay grows to its value, as long as the beginning
        would weigh too much: (1 + step) / (10 + step), the rule of TensorFlow's ExponentialMovingAverage."""
        if not self._mean:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, tensor in self._model.state_dict().items():
            if tensor.is_floating_point():
                own_part(self._mean[name]).lerp_(own_part(tensor), 1.0 - decay)
            else:
                self._mean[name].copy_(tensor)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the mean of its weights inside."""
        own = {name: tensor.clone() for name, tensor in self._model.state_dict().items() if self._mean}
        self._put(self._mean)
        try:
            yield
        finally:
            self._put(own)

    def pack(self) -> dict[str, np.ndarray]:
        """What a saved state holds of it, beside that of pack_state."""
        return {PREFIX + name: whole_tensor(t).cpu().numpy().copy() for name, t in self._mean.items()}

    def unpack(self, tensors: dict[str, np.ndarray]) -> None:
        """Put what `pack` took back in place."""
        for name, mean in self._mean.items():
            own_part(mean).copy_(own_part(placed(tensors[PREFIX + name], mean)))

    def of(self, model: nn.Module) -> MeanWeights:
        """The same of another model, from its weights on."""
        return MeanWeights(model, self._decay)

    @torch.no_grad()
    def _put(self, tensors: dict[str, torch.Tensor]) -> None:
        state = self._model.state_dict()
        for name, tensor in tensors.items():
            own_part(state[name]).copy_(own_part(tensor))
