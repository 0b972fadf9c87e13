"""Weights of pretrained towers, from safetensors files only: no file of ours is ever unpickled."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn


def load(model: nn.Module, path: Path, name: str, ignored: tuple[str, ...] = ()) -> None:
    """Load a safetensors file into a model of the architecture `name`.

    Tensors of the file whose name starts with one of `ignored` (a classifier that was cut off) may be left
    over; anything else missing or left over raises ValueError.
    """
    if not path.is_file():
        raise ValueError(
            f"vision.checkpoint: there is no file {path}; give none, hub, or a path of a safetensors file"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"vision.checkpoint: {path} is no safetensors file ({error}); "
            "convert it, other formats are not read"
        ) from error
    try:
        missing, surplus = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ValueError(f"vision.checkpoint: {path} does not fit {name}: {error}") from error
    surplus = [key for key in surplus if not key.startswith(ignored)] if ignored else surplus
    if missing or surplus:
        raise ValueError(
            f"vision.checkpoint: {path} does not fit {name}: {len(missing)} tensors missing ({missing[:3]}), "
            f"{len(surplus)} unknown ({surplus[:3]}); check vision.name"
        )
