"""Cross-modal training: image and text tower together, contrastively."""

from __future__ import annotations

from pathlib import Path

import torch

from sightline import artifacts, registry, runtime
from sightline.data.shards import Items
from sightline.data.tokenizer import Tokenizer
from sightline.data.vqa.triples import Triples
from sightline.models.clip import DualEncoder
from sightline.params.loader import Params
from sightline.runtime import Runtime
from sightline.train import draws, optimizer, writing
from sightline.train.loop import Recipe
from sightline.train.resume import trained
from sightline.train.tasks.contrastive import Contrastive


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
    tokenizer, items = Tokenizer.load(text.path / "tokenizer.json"), Items(raw.path)
    triples = {split: Triples(vqa.path, split) for split in ("train", "val")}
    words = caption_words(tokenizer, items, triples["train"], params.align.words)
    torch.manual_seed(runtime.derive_seed(params.seed, "align", "init"))
    section = params.align
    model = DualEncoder(
        {
            "vision": params.asdict("vision"),
            "text": text.config,
            "vocab_size": tokenizer.size,
            "embed_dim": section.embed_dim,
            "temperature": section.temperature,
            "words": list(words.values()),
            "fusion_width": section.fusion_width,
            "fusion_layers": section.fusion_layers,
        }
    )
    optimizer.unpack_weights(artifacts.load_weights(text.path / "weights.safetensors"), model.text)
    loss = registry.load("losses", section.loss)
    task = Contrastive(
        model.to(run.device), tokenizer, items, list(words), loss, triples, section, run, params.seed
    )
    if task.skipped:
        runtime.say(f"{task.skipped} training items have no picture and take no part")
    recipe = Recipe.of("align", section, params, task.steps)
    facts = {"params": params.asdict("align"), "inputs": [raw.digest(), vqa.digest(), text.digest()]}
    with trained(task, recipe, run, facts, curves) as state:
        if run.is_main:
            card = f"Dual encoder: `{params.vision.tower}` and `{text.config['tower']}`."
            writing.write(out, "clip", model, text.path / "tokenizer.json", card, task, state)
            runtime.say(f"wrote {out}; next: finetune")


def caption_words(tokenizer: Tokenizer, items: Items, triples: Triples, limit: int) -> dict[str, int]:
    """The word head's words with their token ids: frequent in captions, and one token each."""
    numbers = draws.usable(items, triples.by_item())
    frequent = draws.frequent_words((draws.captions(items[number]) for number in numbers), tokenizer.size)
    ids = {word: tokenizer.encode(word, 2, special=False) for word in frequent}
    whole = {word: found[0] for word, found in ids.items() if len(found) == 1 and found[0] != tokenizer.unk}
    return dict(list(whole.items())[:limit])
