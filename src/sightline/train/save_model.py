"""A trained model on disk: weights, config, tokenizer, card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import nn

from sightline.core import artifacts
from sightline.data import tokenizer_files
from sightline.models.pretrained_dual_encoder import WITHOUT_TOWER
from sightline.models.vlm import ABSENT
from sightline.train.checkpoint import State
from sightline.train.task import Task


def write(
    out: Path, kind: str, model: nn.Module, tokenizer_file: Path, what: str, task: Task, state: State
) -> None:
    """Make `out` the artifact that rebuilds `model` (`model.config`), with the score of the step that was
    kept. The tokenizer's files come along byte for byte: what `transformers` needs of one learned here is
    written for others, by the bundle and by `save-pretrained` (data/transformers_tokenizer.py)."""
    card = f"# {out.name}\n\n{what}\n"
    if state.best_step and not task.keeps_last_of_equals:
        card += (
            f"\nKept: the weights after step {state.best_step} of {state.step}, the best on validation "
            f"({task.metric.replace('_', ' ')} {state.best_metric:.2f}).\n"
        )
    config = cast(dict[str, Any], model.config)
    with artifacts.create(out, kind, config, card) as folder:
        artifacts.save_weights(folder / "weights.safetensors", model.state_dict())
        tokenizer_files.copy(tokenizer_file, folder)


def write_tokenizer(out: Path, tokenizer_file: Path) -> None:
    """Make `out` the artifact of a text tower that comes with a pretrained dual encoder: its tokenizer."""
    card = f"# {out.name}\n\nNo text tower of its own: it comes with the pretrained dual encoder.\n"
    with artifacts.create(out, "text", dict(WITHOUT_TOWER), card) as folder:
        tokenizer_files.copy(tokenizer_file, folder)


NOT_TRAINED = "No answering model: finetune.epochs is 0, so the model only searches."


def write_absent(out: Path, why: str) -> None:
    """Make `out` the artifact of an answering model that was not made."""
    card = f"# {out.name}\n\n{why}\n"
    with artifacts.create(out, "vlm", dict(ABSENT), card):
        pass
