"""Weights of pretrained towers, from safetensors files only: no file of ours is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sightline.core import hub_files

WEIGHTS = "model.safetensors"


def from_hub(config: Mapping[str, Any], repository: str) -> Path:
    """The weights' file of a repository of the hub at `config["revision"]`. Raises ValueError where the hub
    does not give it."""
    return hub_files.fetch("vision", repository, config["revision"], (WEIGHTS,)) / WEIGHTS


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ValueError for one that is missing or of another format."""
    if not path.is_file():
        raise ValueError(
            f"vision.checkpoint: there is no file {path}; give none, hub, or a path of a safetensors file"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"vision.checkpoint: {path} is no safetensors file ({error}); "
            "convert it, other formats are not read"
        ) from error


def fill(model: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load all `tensors` into a model of the architecture `name`; anything missing, left over or of another
    shape raises ValueError."""
    try:
        missing, surplus = model.load_state_dict(dict(tensors), strict=False)
    except RuntimeError as error:
        raise misfit(path, name, error) from error
    if missing or surplus:
        words = f"{len(missing)} tensors missing {missing[:3]}, {len(surplus)} unknown {surplus[:3]}"
        raise misfit(path, name, words)


def misfit(path: Path, name: str, reason: object) -> ValueError:
    """The error of weights that are not those of the architecture."""
    words = " ".join(str(reason).split())
    return ValueError(f"vision.checkpoint: {path} does not fit {name}: {words[:300]}; check vision.name")
