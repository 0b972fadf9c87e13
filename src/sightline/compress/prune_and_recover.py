"""The compress verb: importance, cut, short recovery, table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from sightline.compress import model_cost, spin_importance, structured_pruning
from sightline.compress.distillation import DistillationTask
from sightline.core import artifacts, progress, runtime
from sightline.core.params.loader import Params
from sightline.core.runtime import Runtime
from sightline.data.vqa_data import VqaData
from sightline.models.decoder.cross_attention import CrossAttentionVLM
from sightline.models.vlm import ABSENT, VLM, build
from sightline.train import save_model
from sightline.train.finetune import Phase, train_vqa
from sightline.train.pack_state import unpack_weights
from sightline.train.tasks.vqa import VqaTask

RECOVERY_LR = 0.5  # on top of finetune.lr_scale: the weights start trained


def compress(
    params: Params, run: Runtime, raw: artifacts.Artifact, vqa: artifacts.Artifact,
    trained: artifacts.Artifact, out: Path, metrics: Path, curves: Path,
) -> None:  # fmt: skip
    """Write the pruned and recovered form of the model `trained` to `out`, the cost table to
    metrics/table.csv and the recovery's training curves to `curves`.

    The image tower is not cut and stays frozen while the decoder recovers, so both models share its graph.
    Where no answering model was trained, or its decoder is a language model, there is nothing to cut, and
    `out` says so.
    """
    curves.mkdir(parents=True, exist_ok=True)  # which stays empty where nothing is pruned
    if trained.config == ABSENT:
        save_model.write_absent(out, save_model.NOT_TRAINED)
        write_table(metrics / "table.csv", [])
        runtime.log(f"no answering model to prune; wrote {out}; next: export")
        return
    vlm, tokenizer_file = build(trained.config), trained.path / "tokenizer.json"
    if not isinstance(vlm, CrossAttentionVLM):
        save_model.write_absent(out, "No pruned model: heads and neurons are cut from our own decoder only.")
        write_table(metrics / "table.csv", [])
        runtime.log(f"a language model is not pruned; wrote {out}; next: export")
        return
    unpack_weights(artifacts.load_weights(trained.path / "weights.safetensors"), vlm)
    data, phase = VqaData.read(raw, vqa, tokenizer_file), recovery("compress", params, vlm, trained.digest())
    common = (data, phase.section, run, params.seed, phase.epochs)
    task = VqaTask(vlm.to(run.device), *common)
    rows = [model_cost.row("fp32", vlm, _quality(task))]
    scores = importance(task, params.compress.criterion, params)
    smaller = structured_pruning.prune(vlm, scores, params.compress.head_ratio, params.compress.neuron_ratio)
    rows.append(model_cost.row("cut", smaller, _quality(VqaTask(smaller, *common))))
    with train_vqa(smaller, phase, params, run, data, curves) as (recovered, state):
        rows.append(model_cost.row("pruned", smaller, _quality(recovered)))
        if run.writes:
            save_model.write(
                out, "vlm", smaller, tokenizer_file, "Answering model, pruned.", recovered, state
            )
            write_table(metrics / "table.csv", rows)
            before, cut, after = rows
            figure = task.metric
            runtime.log(
                f"{before['bytes']} -> {after['bytes']} bytes, {figure.replace('_', ' ')} "
                f"{before[figure]:.1f} -> {after[figure]:.1f} (cut: {cut[figure]:.1f}); wrote {out}; "
                "next: export"
            )


def recovery(name: str, params: Params, teacher: VLM, digest: str) -> Phase:
    """The short training after a cut of `teacher`, whose artifact has the digest."""
    lr_scale = params.finetune.lr_scale * RECOVERY_LR
    section = params.finetune.model_copy(update={"lr_scale": lr_scale, "freeze_vision": True, "evals": 1})
    task = partial(DistillationTask, teacher=teacher, weight=params.compress.distill)
    facts = {"teacher": digest, "distill": params.compress.distill}
    return Phase(name, params.compress.recovery_epochs, section, task, facts)


def write_table(path: Path, rows: list[dict]) -> None:
    """Comma-separated, floats with four decimals; an empty file for no row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if rows:
            writer.writerow(rows[0])
        for row in rows:
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row.values()])


def importance(task: VqaTask, criterion: str, params: Params) -> structured_pruning.Importance:
    """How much every head and neuron of the task's model is worth, by params.compress.criterion's names. SPIN
    knows of the cross-attention's heads only; the other units go by their Taylor expansion."""
    if criterion == "magnitude":
        return structured_pruning.magnitude(task.model)
    scores = structured_pruning.taylor(task.model, _losses(task, params))
    if criterion == "taylor":
        return scores
    kept_LH = spin_importance.kept_share(task, params.compress.batches, spin_importance.KEEP)
    return spin_importance.ranked(scores, kept_LH)


def _losses(task: VqaTask, params: Params) -> Iterator[Callable[[], Tensor]]:
    """The loss of training batches, without dropout and in float32, seeded like training steps."""
    task.eval()
    task.enter(0)  # the frozen tower needs no gradients
    for step in progress.track(range(params.compress.batches), "gradients of batches"):
        torch.manual_seed(runtime.derive_seed(params.seed, "compress", "importance", step))
        yield partial(_loss, task, step)


def _loss(task: VqaTask, step: int) -> Tensor:
    return task(task.batch(step))[0]


@torch.no_grad()
def _quality(task: VqaTask) -> dict[str, float]:
    """The task's own validation metric, by its name."""
    task.eval()
    with progress.step(f"{task.metric.replace('_', ' ')} on val"):
        return {task.metric: task.evaluate()[0]}
