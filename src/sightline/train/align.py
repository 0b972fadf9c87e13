"""Cross-modal training: image and text tower together, contrastively; or the tuning of a pretrained pair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sightline.core import artifacts, progress, registry, runtime
from sightline.core.params.loader import Params
from sightline.core.params.train_params import AlignParams
from sightline.core.runtime import Runtime
from sightline.data.vqa_data import VqaData
from sightline.models import pretrained_dual_encoder
from sightline.models.dual_encoder import DualEncoder
from sightline.train import distributed, lora, sample_captions, save_model
from sightline.train.checkpoint import State
from sightline.train.loop import Recipe, autocast
from sightline.train.pack_state import unpack_weights
from sightline.train.resume import trained
from sightline.train.tasks.alignment import ContrastiveTask, frozen_towers

SETTLING_BATCHES = 16
LEAST_DEVIATION = 1e-3  # of a summary that is the same for all pictures
TRAINED_BY = {"clip": "info_nce", "siglip": "siglip"}  # the loss that a pretrained dual encoder was made with


def align(
    params: Params,
    run: Runtime,
    raw: artifacts.Artifact,
    vqa: artifacts.Artifact,
    text: artifacts.Artifact,
    out: Path,
    curves: Path,
) -> None:
    """Write to `out` the dual encoder of params.vision and the text tower `text`, or params.dual_encoder."""
    data = VqaData.read(raw, vqa, text.path / "tokenizer.json")
    numbers = sample_captions.usable(data.items, data.triples["train"].by_item())
    words = sample_captions.frequent_words(
        (sample_captions.captions(data.items[number]) for number in numbers), params.align.words
    )
    torch.manual_seed(runtime.derive_seed(params.seed, "align", "init"))
    model = _dual_encoder(params, text, words, data.tokenizer.size).to(run.device)
    inputs, local_loss = [raw.digest(), vqa.digest(), text.digest()], params.training.local_loss
    facts = {"params": params.align.model_dump(), "inputs": inputs, "local_loss": local_loss}
    with _tuned(model, params, data, run, facts, curves) as (task, state, said):
        if run.writes:
            card = f"Dual encoder: `{model.vision.config['tower']}` and `{model.text.config['tower']}`."
            if said:
                card = f"Dual encoder from a pretrained {model.pretrained}. {said}"
                runtime.log(said)
            save_model.write(out, "clip", model, text.path / "tokenizer.json", card, task, state)
            runtime.log(f"wrote {out}; next: finetune")


def _dual_encoder(params: Params, text: artifacts.Artifact, words: list[str], vocab_size: int) -> DualEncoder:
    """The model as it starts."""
    section = params.align
    heads = {
        "dropout": section.dropout,
        "words": words,
        "fusion": section.fusion,
        "fusion_width": section.fusion_width,
        "fusion_layers": section.fusion_layers,
    }
    if params.dual_encoder.given:
        return pretrained_dual_encoder.load(params.dual_encoder, params.text.max_tokens, heads)
    model = DualEncoder(
        {
            "vision": params.vision.tower_config(),
            "text": text.config,
            "vocab_size": vocab_size,
            "embed_dim": section.embed_dim,
            "projection_hidden": section.projection_hidden,
            "temperature": section.temperature,
            **heads,
            **({"standardize": True} if section.standardize else {}),
        }
    )
    unpack_weights(artifacts.load_weights(text.path / "weights.safetensors"), model.text)
    return model


@contextmanager
def _tuned(
    model: DualEncoder, params: Params, data: VqaData, run: Runtime, facts: dict, curves: Path
) -> Iterator[tuple[ContrastiveTask, State, str]]:
    """Train `model` in place; the body writes it, and of a pretrained one what is said of its tuning. One
    that no step makes better on validation stays as it came, and our own heads are trained beside it, for
    they have learned nothing by then."""
    if params.align.tuning == "lora":
        adapt(model, params.align)
    task = _task(model, params, params.align, data, run)
    task.say_batch_size("align", params.align.batch_size)
    if task.skipped:
        runtime.log(f"{task.skipped} training items have no picture and take no part")
    if task.steps == 0 and params.vision.pretrained == "none" and not task.starts_trained:
        settle(task, run)
    recipe = Recipe.of("align", params.align, params, task.steps, run)
    if params.align.standardize:
        with autocast(recipe, run):
            standardize(task)
    with trained(task, recipe, run, facts, curves) as state:
        lora.merge(model)
        said = outcome(task, state) if task.starts_trained else ""
        if params.align.tuning == "frozen" or not said or state.best_step or not task.steps:
            yield task, state, said
            return
        runtime.log("no step was better than none: our own heads are trained beside what came")
        heads = _task(model, params, params.align.replaced(tuning="frozen"), data, run)
        recipe = Recipe.of("align-heads", params.align, params, heads.steps, run)
        with trained(heads, recipe, run, facts, curves / "heads") as of_heads:
            yield heads, of_heads, said


def _task(
    model: DualEncoder, params: Params, section: AlignParams, data: VqaData, run: Runtime
) -> ContrastiveTask:
    loss = registry.load("train/losses", TRAINED_BY.get(model.pretrained or "", section.loss))
    local = params.training.local_loss
    return ContrastiveTask(model, data, model.config["words"], loss, section, run, params.seed, local)


def adapt(model: DualEncoder, section: AlignParams) -> None:
    """Give the towers that train and the projections low-rank adapters."""
    vision_frozen, text_frozen = frozen_towers(section)
    parts: dict[torch.nn.Module | None, bool] = {
        model.vision: not vision_frozen,
        model.text: not text_frozen,
        model.image_projection: True,
        model.text_projection: True,
    }
    for part, trains in parts.items():
        if part is not None and trains:
            lora.adapt(part, section.lora_rank)


def outcome(task: ContrastiveTask, state: State) -> str:
    """How a pretrained dual encoder was tuned, in a sentence with its validation recall before and after."""
    before = next(row[f"val_{task.metric}"] for row in state.history if row["step"] == 0)
    if state.step == 0:
        return f"Not tuned, as align.epochs is 0: R@1 on validation is {before:.2f}."
    if state.best_step == 0:
        return f"Not tuned: no step was better on validation than before tuning (R@1 {before:.2f})."
    if task.keeps_last_of_equals:
        return f"Not tuned: towers and projections are as they came (R@1 {before:.2f} on validation)."
    return f"Tuned: R@1 on validation {state.best_metric:.2f}, before tuning {before:.2f}."


@torch.no_grad()
def standardize(task: ContrastiveTask) -> None:
    """Give the model the mean and the deviation of its pictures' summaries, over some batches of train."""
    task.eval()
    summaries = [
        distributed.gather(task.model.vision.summarise(task.image_tokens(task.batch(step)["image"])))
        for step in progress.track(range(SETTLING_BATCHES), "features of pictures")
    ]
    summary_nS = torch.cat(summaries).float()
    task.model.summary_mean_S.copy_(summary_nS.mean(0))
    task.model.summary_deviation_S.copy_(summary_nS.std(0).clamp(min=LEAST_DEVIATION))


@torch.no_grad()
def settle(task: ContrastiveTask, run: Runtime) -> None:
    """Give the batch norms of a fresh image tower, which skips this stage, the statistics of its pictures.

    Fine-tuning keeps them as they are (see VLM.train): at mean 0 and variance 1 the signal of such a tower
    fades layer by layer, and training it from scratch would fail for that reason alone.
    """
    norms = [m for m in task.model.vision.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    task.train()
    task.enter(1)  # the phase in which the image tower trains
    for norm in norms:
        norm.momentum = None  # the plain mean over batches, without a rest of the first value
    for step in range(SETTLING_BATCHES):
        task.model.encode_image(task.batch(step)["image"])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    distributed.same_buffers(task.model, run)
