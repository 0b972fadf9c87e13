"""As a script in each of several processes, `sharded_training.py OUT STEPS ABOVE SLOW_S`: trains a stack of
layers, divided among them where it has more than ABOVE parameters, each step SLOW_S seconds longer than it
takes; the mean of the weights is kept. Writes what `toy_training` does, and OUT/held-<rank>.json: how many
numbers of weights this process held before each step.
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

from sightline.core import artifacts, runtime
from sightline.data import batches
from sightline.train.pack_state import own_part
from sightline.train.resume import trained
from sightline.train.task import Task
from sightline_lab.faults.toy_training import BATCH, ITEMS, recipe

WIDTH, LAYERS = 6, 3


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, rows):
        return rows + nn.functional.dropout(torch.tanh(self.linear(self.norm(rows))), 0.1, self.training)


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, rows):
        rows = self.embedding(rows)
        for layer in self.layers:
            rows = layer(rows)
        return rows


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower, self.head, self.scale = Tower(), nn.Linear(WIDTH, 1), nn.Parameter(torch.ones(()))


class StackTask(Task):
    """Two phases: the first layer is frozen for the first third."""

    metric, unit, per_step = "score", "rows", BATCH

    def __init__(self, run, steps, slow_s=0.0):
        super().__init__()
        torch.manual_seed(11)
        self.run, self.steps, self.slow_s, self.model, self.held = run, steps, slow_s, Model(), []
        self.rows = torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(0))
        self.target = self.rows.sum(1, keepdim=True).sin()

    def load(self, step):
        indices = batches.batch_indices(3, step, BATCH, ITEMS)
        mine = batches.rank_slice(indices, self.run.rank, self.run.world).tolist()
        time.sleep(self.slow_s)
        return {"items": mine, "rows": self.rows[mine], "target": self.target[mine]}

    def forward(self, batch):
        self.held.append(sum(own_part(p).numel() for p in self.model.parameters()))
        out = self.model.scale * self.model.head(self.model.tower(batch["rows"]))
        error = (out - batch["target"]).square().mean()
        return error, {"error": error.detach()}

    def evaluate(self):
        """As an evaluation of shares does, one process computes more often than the other."""
        for _ in range(self.run.rank):
            self.model.tower(self.rows)
        out = self.model.scale * self.model.head(self.model.tower(self.rows))
        return -(out - self.target).square().mean().item(), {}

    def phase(self, step):
        return int(step >= self.steps // 3)

    def enter(self, phase):
        self.model.tower.layers[0].requires_grad_(phase == 1)


def main(out, steps, above, slow_s):
    out.mkdir(parents=True, exist_ok=True)
    run = runtime.start(threads=1, seed=3)
    task = StackTask(run, steps, slow_s)
    stack = recipe(steps, name="stack", shard_above=above, ema=0.5)
    with trained(task, stack, run, {}, out / "curves") as state:
        if run.writes:
            artifacts.save_weights(out / "weights.safetensors", task.model.state_dict())
            artifacts.write_json(out / "history.json", {"history": state.history, "best": state.best_step})
    (out / f"held-{run.rank}.json").write_text(json.dumps(task.held))
    runtime.finish(run)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
