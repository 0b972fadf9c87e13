"""End-to-end training: the decoder and, after a first phase, the image tower; and the blind baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sightline.core import artifacts, runtime
from sightline.core.params.loader import Params
from sightline.core.params.train_params import FinetuneParams
from sightline.core.runtime import Runtime
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.data.tokenizer import Tokenizer
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM, from_clip
from sightline.train import save_model
from sightline.train.checkpoint import State
from sightline.train.loop import Recipe
from sightline.train.pack_state import unpack_weights
from sightline.train.resume import trained
from sightline.train.tasks.vqa import Answering


def finetune(
    params: Params,
    run: Runtime,
    raw: artifacts.Artifact,
    vqa: artifacts.Artifact,
    clip: artifacts.Artifact,
    out: Path,
    blind_out: Path,
    curves: Path,
) -> None:
    """Write the answering model to `out`, and to `blind_out` the same decoder trained on the same questions
    without pictures, for `blind_share` of the steps."""
    towers = DualEncoder(clip.config)
    unpack_weights(artifacts.load_weights(clip.path / "weights.safetensors"), towers)
    tokenizer_file = clip.path / "tokenizer.json"
    tokenizer, epochs = Tokenizer.load(tokenizer_file), params.finetune.epochs
    word_ids = [tokenizer.encode(word, 8, special=False) for word in clip.config["words"]]
    plurals = plural_tokens(tokenizer, clip.config["words"])
    torch.manual_seed(runtime.derive_seed(params.seed, "finetune", "init"))
    model, blind = (
        from_clip(towers, params.finetune.model_dump(), word_ids, plurals, blind=blind)
        for blind in (False, True)
    )
    arguments = (params, params.finetune, run, raw, vqa, tokenizer_file)
    # Both stay resumable until both are written: DVC removes what an interrupted stage wrote.
    with (
        train_vqa(model, "finetune", epochs, *arguments, curves / "vlm") as (task, state),
        train_vqa(blind, "blind", epochs * params.finetune.blind_share, *arguments, curves / "blind") as (
            blind_task,
            blind_state,
        ),
    ):
        if run.is_main:
            save_model.write(out, "vlm", model, tokenizer_file, "Answering model.", task, state)
            save_model.write(
                blind_out,
                "vlm",
                blind,
                tokenizer_file,
                "Blind baseline: sees no picture.",
                blind_task,
                blind_state,
            )
            runtime.say(f"wrote {out} and {blind_out}; next: compress")


@contextmanager
def train_vqa(
    model: VLM,
    name: str,
    epochs: float,
    params: Params,
    section: FinetuneParams,
    run: Runtime,
    raw: artifacts.Artifact,
    vqa: artifacts.Artifact,
    tokenizer_file: Path,
    curves: Path,
    make: Callable[..., Answering] = Answering,
    facts: dict | None = None,
) -> Iterator[tuple[Answering, State]]:
    """Train `model` in place on the questions of `vqa`; the body writes it (see resume.trained).

    name: of the saved state and the printed lines; section: params.finetune, or a copy with other values,
    as a short recovery after pruning wants; make: the task of these arguments; facts: what else decides the
    result.
    """
    triples = {split: Triples(vqa.path, split) for split in ("train", "val")}
    task = make(
        model.to(run.device),
        Tokenizer.load(tokenizer_file),
        Items(raw.path),
        triples,
        section,
        run,
        params.seed,
        epochs,
    )
    facts = {
        "params": repr(section),
        "inputs": [raw.digest(), vqa.digest(), artifacts.sha256(tokenizer_file)],
    } | (facts or {})
    with trained(task, Recipe.of(name, section, params, task.steps), run, facts, curves) as state:
        yield task, state


def plural_tokens(tokenizer: Tokenizer, words: list[str]) -> dict[int, int]:
    """The number of each word whose regular plural is one token -> that token."""
    found = {}
    for number, word in enumerate(words):
        for plural in (f"{word}s", f"{word}es"):
            ids = tokenizer.encode(plural, 8, special=False)
            if len(ids) == 1 and ids[0] != tokenizer.unk:
                found[number] = ids[0]
    return found
