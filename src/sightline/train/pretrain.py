"""Single-modality training: the text tower alone, by masked-language modelling."""

from __future__ import annotations

from pathlib import Path

import torch

from sightline.core import artifacts, registry, runtime
from sightline.core.params.loader import Params
from sightline.core.runtime import Runtime
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.data.tokenizer import Tokenizer
from sightline.models import pretrained_dual_encoder
from sightline.train import save_model
from sightline.train.loop import Recipe
from sightline.train.resume import trained
from sightline.train.tasks.mlm import MlmTask


def pretrain(
    params: Params, run: Runtime, raw: artifacts.Artifact, vqa: artifacts.Artifact, out: Path, curves: Path
) -> None:
    """Write the text tower of params.text to `out`. A pretrained one (`hf`) brings its weights and
    tokenizer. With a pretrained dual encoder there is none to train: its tokenizer alone is written."""
    if params.dual_encoder.given:
        if run.writes:
            source = pretrained_dual_encoder.folder_of(params.dual_encoder)
            save_model.write_tokenizer(out, source / pretrained_dual_encoder.TOKENIZER)
            curves.mkdir(parents=True, exist_ok=True)
            runtime.log("the text tower comes with the dual encoder: nothing is pretrained; next: align")
        return
    tower = registry.load("models/text", params.text.tower)
    trained_file = vqa.path / "tokenizer.json"
    tokenizer_file = (
        trained_file if trained_file.exists() else tower.tokenizer_path(params.text.tower_config())
    )
    tokenizer = Tokenizer.load(tokenizer_file)
    torch.manual_seed(runtime.derive_seed(params.seed, "pretrain", "init"))
    model = tower.build({**params.text.tower_config(), "vocab_size": tokenizer.size}).to(run.device)
    triples = {split: Triples(vqa.path, split) for split in ("train", "val")}
    task = MlmTask(model, tokenizer, Items(raw.path), triples, params.pretrain, run, params.seed)
    task.say_batch_size("pretrain", params.pretrain.batch_size)
    model.count(task.documents())
    recipe = Recipe.of("pretrain", params.pretrain, params, task.steps, run)
    facts = {"params": params.pretrain.model_dump(), "inputs": [raw.digest(), vqa.digest()]}
    with trained(task, recipe, run, facts, curves) as state:
        if run.writes:
            save_model.write(
                out, "text", model, tokenizer_file, f"Text tower `{params.text.tower}`.", task, state
            )
            runtime.log(f"wrote {out}; next: align")
