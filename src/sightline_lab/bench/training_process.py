"""A process that trains two towers contrastively for a few steps and prints its speed, with this project's
loop or with open_clip's: `python -m sightline_lab.bench.training_process <side> <precision> <threads> <batch>
<steps>`; under torchrun, one of several processes. One batch of noise stays in memory, so that the
loops are compared and not the readers of data.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch import Tensor

from sightline.core import runtime
from sightline.core.runtime import Runtime
from sightline.models.dual_encoder import DualEncoder
from sightline.train import distributed
from sightline.train import optimizer as adam
from sightline.train.checkpoint import State, Store
from sightline.train.loop import CLIP, Recipe, fit
from sightline.train.losses import info_nce
from sightline.train.mean_weights import MeanWeights
from sightline.train.step_profiler import Unprofiled
from sightline.train.task import Task
from sightline_lab.bench.bench_models import REFERENCE
from sightline_lab.bench.external_baselines import open_clip_model

WARMUP = 2  # steps before the clock starts
LR, WEIGHT_DECAY = 1e-4, 0.05
EPSILON = 1e-6  # open_clip's default for ViT


class Pairs(Task):
    """The align stage's task with InfoNCE alone. `requested_at`: times of the batch requests, seconds."""

    metric, unit = "none", "pairs"

    def __init__(self, model: DualEncoder, batch: dict, per_step: int, run: Runtime):
        super().__init__()
        self.run = run
        self.model, self.repeated, self.per_step = model, batch, per_step
        self.requested_at: list[float] = []

    def load(self, step: int) -> dict:
        self.requested_at.append(time.perf_counter())
        return self.repeated

    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        _, image_BE = self.model.encode_image(batch["image"])
        _, text_BE = self.model.encode_text(batch["ids"], batch["mask"])
        loss = info_nce.loss(image_BE, text_BE, self.model.logit_scale, distributed.gather)
        return loss, {"contrastive": loss.detach()}

    def evaluate(self) -> tuple[float, dict[str, float]]:
        return 0.0, {}


def noise(rows: int, rank: int) -> tuple[Tensor, Tensor]:
    """(pixels, token ids) of this process's rows."""
    draw = torch.Generator().manual_seed(rank)
    side, text = REFERENCE["vision"]["image_size"], REFERENCE["text"]
    pixels = torch.randn(rows, 3, side, side, generator=draw)
    return pixels, torch.randint(5, REFERENCE["vocab_size"], (rows, text["max_tokens"]), generator=draw)


def ours(run: Runtime, precision: str, rows: int, steps: int) -> list[float]:
    """When each batch was requested by `fit`, the loop of every training stage here."""
    pixels, ids = noise(rows, run.rank)
    batch = {"items": [], "image": pixels, "ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)}
    task = Pairs(DualEncoder(REFERENCE), batch, rows * run.world, run)
    recipe = Recipe("bench", 0, steps, LR, 1, WEIGHT_DECAY, precision, 1)
    with tempfile.TemporaryDirectory() as folder:
        store, optimizer = Store(Path(folder), run), adam.adamw(task, WEIGHT_DECAY)
        mean = MeanWeights(task.model, recipe.ema)
        fit(task, recipe, run, store, None, State(), optimizer, mean, Unprofiled())
    return task.requested_at


def open_clip(run: Runtime, precision: str, rows: int, steps: int) -> list[float]:
    """The same of `train_one_epoch`, with the optimizer and the loss that open_clip's main makes and the
    options that its README recommends for several processes."""
    from open_clip.loss import ClipLoss
    from open_clip_train.train import train_one_epoch

    model, several = open_clip_model(output_dict=True), run.world > 1
    named = dict(model.named_parameters())
    plain = {
        n for n, p in named.items() if p.ndim < 2 or any(k in n for k in ("bn", "ln", "bias", "logit_scale"))
    }
    groups = [
        {"params": [p for n, p in named.items() if n in plain], "weight_decay": 0.0},
        {"params": [p for n, p in named.items() if n not in plain], "weight_decay": WEIGHT_DECAY},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=adam.BETAS, eps=EPSILON)
    loss = ClipLoss(local_loss=several, gather_with_grad=several, rank=run.rank, world_size=run.world)
    requested_at: list[float] = []
    args = SimpleNamespace(
        device=run.device, precision={"bf16": "amp_bf16"}.get(precision, precision), distill=False,
        accum_freq=1, skip_scheduler=True, grad_clip_norm=CLIP, horovod=False, batch_size=rows,
        world_size=run.world, rank=run.rank, log_every_n_steps=100, wandb=False,
    )  # fmt: skip
    data = RepeatedBatch(noise(rows, run.rank), steps, requested_at)
    train_one_epoch(
        torch.nn.parallel.DistributedDataParallel(model) if several else model,
        {"train": SimpleNamespace(dataloader=data, set_epoch=int)},
        loss, 0, optimizer, None, None, None, args,
    )  # fmt: skip
    return requested_at


class RepeatedBatch:
    """A data loader that gives one batch `steps` times."""

    def __init__(self, batch: tuple[Tensor, Tensor], steps: int, requested_at: list[float]):
        self.batch, self.num_batches, self.requested_at = batch, steps, requested_at
        self.num_samples = steps * len(batch[0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self.num_batches):
            self.requested_at.append(time.perf_counter())
            yield self.batch


SIDES = {"sightline": ours, "open_clip": open_clip}


def main(side: str, precision: str, threads: int, batch: int, steps: int) -> float | None:
    """Pairs per second of all processes between the first batch after WARMUP and the last; None in all
    processes but one."""
    if side == "sightline":
        run = runtime.start(threads, 0)
    else:  # open_clip does not need deterministic kernels
        torch.set_num_threads(threads)
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world > 1:
            dist.init_process_group("gloo")
        run = Runtime("cpu", int(os.environ.get("RANK", "0")), world, threads)
    requested_at = SIDES[side](run, precision, batch // run.world, WARMUP + steps)
    if run.world > 1:
        dist.destroy_process_group()
    return batch * (steps - 1) / (requested_at[-1] - requested_at[WARMUP]) if run.is_main else None


if __name__ == "__main__":
    speed = main(*sys.argv[1:3], *map(int, sys.argv[3:]))
    if speed is not None:
        print(json.dumps(speed))
