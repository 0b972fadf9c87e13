"""A task small enough to be killed many times: fit a linear map, with dropout so that random numbers matter.

Run as a script (also under torchrun): toy.py OUT STEPS SLOW_S writes OUT/weights.safetensors, OUT/history.json,
OUT/curves and, per process, OUT/batches-<rank>.json with the items of each step that it trained on.
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

from sightline import artifacts, runtime
from sightline.data import batches
from sightline.train.loop import Recipe
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

    def __init__(self, run, steps, seed=3, slow_s=0.0, dropout=0.1) -> None:
        super().__init__()
        self.run, self.steps, self.seed, self.slow_s, self.dropout = run, steps, seed, slow_s, dropout
        self.model = ToyModel()
        generator = torch.Generator().manual_seed(0)
        self.rows = torch.randn(ITEMS, WIDTH, generator=generator)
        self.target = self.rows.sum(1, keepdim=True).sin()
        self.seen: list[list[int]] = []

    def batch(self, step):
        indices = batches.batch_indices(self.seed, step, BATCH, ITEMS)
        mine = batches.rank_slice(indices, self.run.rank, self.run.world).tolist()
        self.seen.append(mine)
        time.sleep(self.slow_s)
        return {"items": mine, "rows": self.rows[mine], "target": self.target[mine]}

    def forward(self, batch):
        hidden = torch.tanh(self.model.tower(batch["rows"]))
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        error = (self.model.head(hidden) - batch["target"]).square().mean()
        return error, {"error": error.detach()}

    def evaluate(self):
        error, _ = self({"rows": self.rows, "target": self.target})
        return -error.item(), {"squared": error.item() ** 2}

    def samples(self):
        return ["Q: sum? A: sine"]

    def phase(self, step):
        return int(step >= self.steps // 3)

    def enter(self, phase):
        self.model.tower.requires_grad_(phase == 1)

    def lr_scale(self, part, step):
        return 0.5 if part == "tower" else 1.0


def recipe(steps, **changes) -> Recipe:
    settings = {
        "name": "toy",
        "seed": 3,
        "steps": steps,
        "lr": 0.01,
        "warmup_steps": 3,
        "weight_decay": 0.05,
        "precision": "fp32",
        "evals": 4,
    }
    return Recipe(**{**settings, **changes})


def train(run, out: Path, steps: int, slow_s: float = 0.0, dropout: float = 0.1) -> ToyTask:
    torch.manual_seed(11)
    task = ToyTask(run, steps, slow_s=slow_s, dropout=dropout)
    settings = recipe(steps)
    with trained(task, settings, run, {"dropout": dropout}, out / "curves") as state:
        if run.is_main:
            artifacts.save_weights(
                out / "weights.safetensors",
                {name: tensor.numpy() for name, tensor in task.model.state_dict().items()},
            )
            artifacts.write_json(out / "history.json", {"history": state.history, "best": state.best_step})
    (out / f"batches-{run.rank}.json").write_text(json.dumps(task.seen))
    return task


if __name__ == "__main__":
    folder, num_steps, slow, rate = (
        Path(sys.argv[1]),
        int(sys.argv[2]),
        float(sys.argv[3]),
        float(sys.argv[4]),
    )
    folder.mkdir(parents=True, exist_ok=True)
    here = runtime.start(threads=1, seed=3)
    train(here, folder, num_steps, slow, rate)
    runtime.finish(here)
