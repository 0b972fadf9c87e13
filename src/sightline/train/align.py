"""Cross-modal training: image and text tower together, contrastively."""

from __future__ import annotations

from pathlib import Path

import torch

from sightline.core import artifacts, registry, runtime
from sightline.core.params.loader import Params
from sightline.core.runtime import Runtime
from sightline.data.vqa_data import VqaData
from sightline.models.dual_encoder import DualEncoder
from sightline.train import distributed, sample_captions, save_model
from sightline.train.loop import Recipe
from sightline.train.pack_state import unpack_weights
from sightline.train.resume import trained
from sightline.train.tasks.alignment import ContrastiveTask

SETTLING_BATCHES = 16


def align(
    params: Params,
    run: Runtime,
    raw: artifacts.Artifact,
    vqa: artifacts.Artifact,
    text: artifacts.Artifact,
    out: Path,
    curves: Path,
) -> None:
    """Write the dual encoder of params.vision and the text tower `text` to `out`."""
    data = VqaData.read(raw, vqa, text.path / "tokenizer.json")
    numbers = sample_captions.usable(data.items, data.triples["train"].by_item())
    words = sample_captions.frequent_words(
        (sample_captions.captions(data.items[number]) for number in numbers), params.align.words
    )
    torch.manual_seed(runtime.derive_seed(params.seed, "align", "init"))
    section = params.align
    model = DualEncoder(
        {
            "vision": params.vision.tower_config(),
            "text": text.config,
            "vocab_size": data.tokenizer.size,
            "embed_dim": section.embed_dim,
            "projection_hidden": section.projection_hidden,
            "dropout": section.dropout,
            "temperature": section.temperature,
            "words": words,
            "fusion": section.fusion,
            "fusion_width": section.fusion_width,
            "fusion_layers": section.fusion_layers,
        }
    )
    unpack_weights(artifacts.load_weights(text.path / "weights.safetensors"), model.text)
    loss = registry.load("train/losses", section.loss)
    task = ContrastiveTask(model.to(run.device), data, words, loss, section, run, params.seed)
    task.say_batch_size("align", section.batch_size)
    if task.skipped:
        runtime.log(f"{task.skipped} training items have no picture and take no part")
    if task.steps == 0 and params.vision.pretrained == "none":
        settle(task, run)
    recipe = Recipe.of("align", section, params, task.steps, run)
    facts = {"params": params.align.model_dump(), "inputs": [raw.digest(), vqa.digest(), text.digest()]}
    with trained(task, recipe, run, facts, curves) as state:
        if run.is_main:
            card = f"Dual encoder: `{params.vision.tower}` and `{text.config['tower']}`."
            save_model.write(out, "clip", model, text.path / "tokenizer.json", card, task, state)
            runtime.log(f"wrote {out}; next: finetune")


@torch.no_grad()
def settle(task: ContrastiveTask, run: Runtime) -> None:
    """Give the batch norms of a fresh image tower, which skips this stage, the statistics of its pictures.

    Fine-tuning keeps them as they are (see VLM.train): at mean 0 and variance 1 the signal of such a tower
    fades layer by layer, and training it from scratch would fail for that reason alone.
    """
    norms = [m for m in task.model.vision.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    task.train()
    task.enter(0)
    for norm in norms:
        norm.momentum = None  # the plain mean over batches, without a rest of the first value
    for step in range(SETTLING_BATCHES):
        task.model.encode_image(task.batch(step)["image"])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    distributed.same_buffers(task.model, run)
