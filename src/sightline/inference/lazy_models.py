"""Trained PyTorch models for those who may not need them: torch is imported when the first one is asked
for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightline.models.tower import TextTower
    from sightline.models.vlm import VLM


@cache
def vlm(folder: Path) -> VLM:
    """The answering model of an artifact, loaded once. Raises ValueError for a damaged or missing one."""
    from sightline.inference import torch_session

    return torch_session.load_vlm(folder)


@cache
def text(folder: Path) -> TextTower:
    """The text tower of an artifact, as masked-language pretraining left it, loaded once. Raises ValueError
    for a damaged or missing one."""
    import torch

    from sightline.core import artifacts, registry
    from sightline.inference.torch_session import WEIGHTS
    from sightline.models.pretrained_dual_encoder import WITHOUT_TOWER

    artifact = artifacts.load(folder, "text")
    if artifact.config == WITHOUT_TOWER:
        raise ValueError(f"{folder}: the text tower of a pretrained dual encoder fills in no masked words")
    tower = registry.load("models/text", artifact.config["tower"]).build(artifact.config)
    weights = artifacts.load_weights(artifact.path / WEIGHTS)
    tower.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return tower.eval()
