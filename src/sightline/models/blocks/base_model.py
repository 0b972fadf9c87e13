"""The base class of complete models: save, load, parameter count, device."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from sightline.core import artifacts

KIND = "model"
WEIGHTS = "weights.safetensors"


class BaseModel(nn.Module):
    """A module that remembers the arguments it was built with, so that `save` can write them down.

    A subclass needs nothing but its own `__init__`, whose arguments must have a form in JSON (numbers,
    strings, lists) or be models of this package themselves.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        model = super().__new__(cls)
        object.__setattr__(model, "_arguments", (args, kwargs))
        return model

    @property
    def config(self) -> dict[str, Any]:
        """Class and arguments, all that rebuilds the model without its weights."""
        return {"class": type(self).__name__, "arguments": self._named_arguments()}

    def save(self, folder: Path | str) -> Path:
        """Write `folder`: weights.safetensors, config.json and a manifest of hashes, complete or not at all.

        Raises ValueError for an argument without a form in JSON or weights that are not finite.
        """
        folder = Path(folder)
        with artifacts.create(folder, KIND, self.config) as filling:
            artifacts.save_weights(filling / WEIGHTS, self.state_dict())
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The model that `save` wrote, in evaluation mode, every file verified.

        Raises ValueError for a damaged folder, and for one that holds another class.
        """
        artifact = artifacts.load(Path(folder), KIND)
        class_name = artifact.config["class"]
        if class_name != cls.__name__:
            raise ValueError(f"{folder}: holds a {class_name}, not a {cls.__name__}: call {class_name}.load")
        model = cls(**{name: _built(value) for name, value in artifact.config["arguments"].items()})
        weights = artifacts.load_weights(artifact.path / WEIGHTS)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return model.eval()

    def count_parameters(self) -> int:
        """Number of weights that training changes."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def get_device(self) -> torch.device:
        """Where the weights are; the CPU for a model without any."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def _named_arguments(self) -> dict[str, Any]:
        args, kwargs = self._arguments
        signature = inspect.signature(type(self).__init__)
        named = dict(list(signature.bind(self, *args, **kwargs).arguments.items())[1:])
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                named.update(named.pop(name, {}))
        return {name: _plain(value, f"{type(self).__name__}({name}=...)") for name, value in named.items()}


def _plain(value: Any, argument: str) -> Any:
    if isinstance(value, BaseModel):
        return value.config
    if isinstance(value, list | tuple):
        return [_plain(part, argument) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{argument} was given a {type(value).__name__}, which has no form in JSON, so the model cannot be "
        "saved: build that part inside the model from numbers and strings"
    )


def _built(value: Any) -> Any:
    """An argument as it was: a model within a model is one of sightline.models."""
    if not isinstance(value, dict):
        return value
    from sightline import models

    if value["class"] not in models.CLASS_FILES:
        raise ValueError(f"config.json names the class {value['class']!r}, which is not of sightline.models")
    arguments = {name: _built(part) for name, part in value["arguments"].items()}
    return getattr(models, value["class"])(**arguments)
