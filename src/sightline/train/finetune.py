"""End-to-end training: the decoder and, after a first phase, the image tower; and the blind baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from sightline.core import artifacts, runtime
from sightline.core.params.loader import Params
from sightline.core.params.tower_params import FROM_CHECKPOINT
from sightline.core.params.train_params import FinetuneParams
from sightline.core.runtime import Runtime
from sightline.data.tokenizer import Tokenizer
from sightline.data.vqa_data import VqaData
from sightline.models import answer_tokens
from sightline.models.decoder.cross_attention import from_clip
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM
from sightline.train import lora, save_model
from sightline.train.checkpoint import State
from sightline.train.loop import Recipe
from sightline.train.pack_state import unpack_weights
from sightline.train.resume import trained
from sightline.train.tasks.self_critical import SelfCriticalTask
from sightline.train.tasks.vqa import VqaTask


@dataclass(frozen=True)
class Phase:
    """A training on questions. name: of the saved state and the printed lines; section: params.finetune, or a
    copy with other values, as a short recovery after pruning wants; task: made of train_vqa's arguments;
    facts: what else decides the result."""

    name: str
    epochs: float
    section: FinetuneParams
    task: Callable[..., VqaTask] = VqaTask
    facts: dict = field(default_factory=dict)


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
    without pictures, for `blind_share` of the steps. With 0 epochs neither is made: both artifacts say so."""
    if not params.finetune.epochs:
        if run.writes:
            for folder in (out, blind_out):
                save_model.write_absent(folder, save_model.NOT_TRAINED)
            (curves / "vlm").mkdir(parents=True, exist_ok=True)
            artifacts.write_json(curves / "vlm" / "metrics.json", {})  # which `dvc metrics show` reads
            runtime.log(
                "finetune.epochs is 0: no decoder is trained, the model only searches; next: compress"
            )
        return
    towers = DualEncoder(clip.config)
    unpack_weights(artifacts.load_weights(clip.path / "weights.safetensors"), towers)
    pretrained, section = params.decoder.tower == "hf", params.finetune
    tokenizer_file = (_language_files(params) if pretrained else clip.path) / "tokenizer.json"
    data = VqaData.read(raw, vqa, tokenizer_file)
    torch.manual_seed(runtime.derive_seed(params.seed, "finetune", "init"))
    if pretrained:
        start: Callable[..., VLM] = partial(_with_language_model, params, towers, data.tokenizer)
    else:
        start = _own_decoder(params, clip.config["words"], towers, data)
    model, blind = (start(blind=blind) for blind in (False, True))
    facts = {"decoder": repr(params.decoder)} if pretrained else {}
    phase = Phase("finetune", section.epochs, section, facts=facts)
    without_pictures = Phase("blind", section.epochs * section.blind_share, section, facts=facts)
    # All stay resumable until all are written: DVC removes what an interrupted stage wrote.
    with (
        ExitStack() as stack,
        train_vqa(model, phase, params, run, data, curves / "vlm") as (task, state),
        train_vqa(blind, without_pictures, params, run, data, curves / "blind") as (blind_task, blind_state),
    ):
        if section.self_critical_epochs:
            stack.enter_context(self_critical(model, params, run, data, curves / "vlm"))
        if run.writes:
            for each in (model, blind) if pretrained else ():
                lora.merge(each.get_submodule("language_model"))
            what = "Answering model."
            if section.self_critical_epochs:
                what += " Its descriptions were trained further, by their CIDEr-D."
            save_model.write(out, "vlm", model, tokenizer_file, what, task, state)
            save_model.write(
                blind_out,
                "vlm",
                blind,
                tokenizer_file,
                "Blind baseline: sees no picture.",
                blind_task,
                blind_state,
            )
            runtime.log(f"wrote {out} and {blind_out}; next: compress")


def _own_decoder(params: Params, words: list[str], towers: DualEncoder, data: VqaData) -> Callable[..., VLM]:
    """What builds the model, or with `blind` the blind baseline. words: those of the word head."""
    section, tokenizer = params.finetune, data.tokenizer
    word_ids = [tokenizer.encode(word, 8, special=False) for word in words]
    brought = towers.pretrained or towers.config["text"]["tower"] in FROM_CHECKPOINT  # with its tokenizer
    scored = _answer_tokens(data, section.max_answer) if brought else None
    plurals = plural_tokens(tokenizer, words)
    return partial(from_clip, towers, section.model_dump(), word_ids, plurals, answer_tokens=scored)


def _answer_tokens(data: VqaData, max_answer: int) -> list[int] | None:
    """Those of the answers of train, of a tokenizer that was made for other texts too."""
    answers = data.triples["train"]
    used: set[int] = set()
    for row in range(len(answers)):
        used.update(data.tokenizer.encode_answer(answers[row]["answer"], max_answer)[1:])
    return answer_tokens.scored(used, data.tokenizer.size)


def _language_files(params: Params) -> Path:
    from sightline.models.decoder import hf

    return hf.files(params.decoder.source, params.decoder.revision)


def _with_language_model(params: Params, towers: DualEncoder, tokenizer: Tokenizer, blind: bool) -> VLM:
    from transformers.pytorch_utils import Conv1D

    from sightline.models.decoder import hf

    language_model = hf.load(_language_files(params))
    finetune = params.finetune.model_dump()
    model = hf.from_clip(towers, language_model, finetune, tokenizer.size, tokenizer.eos, blind=blind)
    if params.decoder.tuning == "lora":
        language_model.requires_grad_(False)
        # Its layers alone: the last matrix may be the embedding.
        lora.adapt(model.language_model.base_model, params.decoder.lora_rank, (nn.Linear, Conv1D))
        model.tuned = [each for each in language_model.parameters() if each.requires_grad]
    return model


@contextmanager
def train_vqa(
    model: VLM, phase: Phase, params: Params, run: Runtime, data: VqaData, curves: Path
) -> Iterator[tuple[VqaTask, State]]:
    """Train `model` in place on the questions of `data`; the body writes it (see resume.trained)."""
    task = phase.task(model.to(run.device), data, phase.section, run, params.seed, phase.epochs)
    task.say_batch_size(phase.name, phase.section.batch_size)
    runtime.log(f"{phase.name} keeps the weights that are best by {task.deciding()}")
    facts = {"params": repr(phase.section), "inputs": list(data.digests)} | phase.facts
    recipe = Recipe.of(phase.name, phase.section, params, task.steps, run)
    with trained(task, recipe, run, facts, curves) as state:
        yield task, state


@contextmanager
def self_critical(
    model: VLM, params: Params, run: Runtime, data: VqaData, curves: Path
) -> Iterator[tuple[VqaTask, State]]:
    """Train the descriptions of a trained `model` by their CIDEr-D and leave it with the mean of its weights
    before and after."""
    section = params.finetune
    section = section.replaced(lr_scale=section.lr_scale * section.self_critical_lr_scale)
    facts = {"decoder": repr(params.decoder)}
    phase = Phase("self-critical", section.self_critical_epochs, section, SelfCriticalTask, facts)
    with train_vqa(model, phase, params, run, data, curves / "self_critical") as (task, state):
        assert isinstance(task, SelfCriticalTask)
        task.take_mean()
        yield task, state


def plural_tokens(tokenizer: Tokenizer, words: list[str]) -> dict[int, int]:
    """The number of each word whose regular plural is one token -> that token."""
    tokens = {}
    for number, word in enumerate(words):
        for plural in (f"{word}s", f"{word}es"):
            ids = tokenizer.encode(plural, 8, special=False)
            if len(ids) == 1 and ids[0] != tokenizer.unk:
                tokens[number] = ids[0]
    return tokens
