"""A task small enough to be killed many times: fit a small network, with dropout so that random numbers
matter.

As a script, `toy_training.py OUT STEPS DROPOUT SLOW_S` (also under torchrun) trains it, each step SLOW_S
seconds longer than it takes, and writes OUT/weights.safetensors, OUT/history.json, OUT/curves and, per
process, OUT/seen-<rank>.json: the items of each step, and the gradient of a gathered contrastive loss.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core import artifacts, runtime
from sightline.core.runtime import Runtime
from sightline.data import batches
from sightline.train import distributed
from sightline.train.loop import Recipe
from sightline.train.losses import info_nce
from sightline.train.resume import trained
from sightline.train.task import Task

ITEMS, BATCH, WIDTH = 64, 8, 6


class ToyModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 1)


class ToyTask(Task):
    """Two phases: the tower is frozen for the first third."""

    metric, unit, per_step = "score", "rows", BATCH

    def __init__(
        self, run: Runtime, steps: int, seed: int = 3, slow_s: float = 0.0, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.run, self.steps, self.seed, self.slow_s, self.dropout = run, steps, seed, slow_s, dropout
        self.model = ToyModel()
        self.rows = torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(0))
        self.target = self.rows.sum(1, keepdim=True).sin()
        self.seen: list[list[int]] = []

    def load(self, step: int) -> dict:
        indices = batches.batch_indices(self.seed, step, BATCH, ITEMS)
        mine = batches.rank_slice(indices, self.run.rank, self.run.world).tolist()
        self.seen.append(mine)
        time.sleep(self.slow_s)
        return {"items": mine, "rows": self.rows[mine], "target": self.target[mine]}

    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        hidden = torch.tanh(self.model.tower(batch["rows"]))
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        error = (self.model.head(hidden) - batch["target"]).square().mean()
        return error, {"error": error.detach()}

    def evaluate(self) -> tuple[float, dict[str, float]]:
        error, _ = self({"rows": self.rows, "target": self.target})
        return -error.item(), {"squared": error.item() ** 2}

    def samples(self) -> list[str]:
        return ["Q: what is it? A: a sine (true: a sine)"]

    def phase(self, step: int) -> int:
        return int(step >= self.steps // 3)

    def enter(self, phase: int) -> None:
        self.model.tower.requires_grad_(phase == 1)

    def lr_scale(self, part: str, step: int) -> float:
        return 0.5 if part == "tower" else 1.0


def recipe(steps: int, **changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "name": "toy",
        "seed": 3,
        "steps": steps,
        "lr": 0.01,
        "warmup_steps": 3,
        "weight_decay": 0.05,
    }
    return Recipe(**{**settings, "precision": "fp32", "evals": 4, **changes})


def make(run: Runtime, steps: int, slow_s: float = 0.0, dropout: float = 0.1) -> ToyTask:
    torch.manual_seed(11)
    return ToyTask(run, steps, slow_s=slow_s, dropout=dropout)


def train(run: Runtime, out: Path, task: ToyTask, **changes: Any) -> None:
    facts = {"dropout": task.dropout}
    with trained(task, recipe(task.steps, **changes), run, facts, out / "curves") as state:
        if run.writes:
            artifacts.save_weights(out / "weights.safetensors", task.model.state_dict())
            artifacts.write_json(out / "history.json", {"history": state.history, "best": state.best_step})


def files(out: Path) -> dict[str, bytes]:
    """Everything a run wrote: weights, history, curves."""
    return {str(f.relative_to(out)): f.read_bytes() for f in sorted(out.rglob("*")) if f.is_file()}


def contrastive_gradient(run: Runtime) -> list[list[float]]:
    """Gradient of InfoNCE over 8 pairs with respect to a projection, averaged over the processes."""
    rows = torch.randn(2, 8, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mine = slice(run.rank * 8 // run.world, (run.rank + 1) * 8 // run.world)
    projection = torch.eye(WIDTH, dtype=torch.float64).requires_grad_()
    image, text = (nn.functional.normalize(side[mine] @ projection, dim=1) for side in rows)
    info_nce.loss(image, text, torch.tensor(5.0), distributed.gather).backward()
    return [distributed.mean_over_ranks(row, run) for row in projection.grad.tolist()]


if __name__ == "__main__":
    folder, num_steps, rate, wait_s = Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:])
    folder.mkdir(parents=True, exist_ok=True)
    here = runtime.start(threads=1, seed=3)
    toy = make(here, num_steps, wait_s, rate)
    train(here, folder, toy)
    facts = {"items": toy.seen, "gradient": contrastive_gradient(here)}
    (folder / f"seen-{here.rank}.json").write_text(json.dumps(facts))
    runtime.finish(here)
