"""Trained PyTorch models for those who may not need them: torch is imported when the first one is asked
for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightline.models.clip import DualEncoder
    from sightline.models.vlm import VLM


@cache
def vlm(folder: Path) -> VLM:
    """The answering model of an artifact, loaded once. Raises ValueError for a damaged or missing one."""
    from sightline.export import trained

    return trained.load_vlm(folder)


@cache
def clip(folder: Path) -> DualEncoder:
    """The dual encoder of an artifact, loaded once. Raises ValueError for a damaged or missing one."""
    from sightline.export import trained

    return trained.load_clip(folder)
