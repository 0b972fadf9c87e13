"""Learning rates by layer."""

import pytest
import timm
import torch
from torch import nn

from sightline.models.dual_encoder import DualEncoder
from sightline.train import optimizer

CONFIG = {
    "vision": {"tower": "small_cnn", "image_size": 32, "width": 32},
    "text": {"tower": "bert", "width": 32, "layers": 3, "heads": 2, "max_tokens": 8},
    "vocab_size": 40, "embed_dim": 16, "projection_hidden": 0, "dropout": 0.0, "temperature": 0.07,
    "words": ["a"], "fusion_width": 32, "fusion_layers": 2,
}  # fmt: skip


class Toy(nn.Module):
    """What the optimizer reads of a task."""

    layer_decay = 0.5

    def __init__(self, model):
        super().__init__()
        self.model = model

    def lr_scale(self, part, step):
        return 0.1 if part == "vision" else 1.0


def rates(model, decay=0.5):
    task = Toy(model)
    task.layer_decay = decay
    adam = optimizer.adamw(task, 0.05)
    optimizer.set_lr(adam, task, 2.0, step=0)
    by_id = {id(p): group["lr"] for group in adam.param_groups for p in group["params"]}
    return {name: by_id[id(parameter)] for name, parameter in model.named_parameters()}


def test_lower_layers_of_a_tower_learn_slower():
    found = rates(DualEncoder(CONFIG))
    assert found["text.embedding.weight"] == found["text.norm.bias"] == 2.0 / 8
    assert [found[f"text.encoder.layers.{n}.attention.key.weight"] for n in range(3)] == [0.5, 1.0, 2.0]
    assert found["text.encoder.norm.weight"] == found["text.mlm_head.bias"] == 2.0
    assert found["fusion.layers.0.text_norm.weight"] == found["log_scale"] == 2.0  # no tower
    vision = [rate for name, rate in found.items() if name.startswith("vision.")]
    assert vision == sorted(vision) and vision[-1] == pytest.approx(0.2) and vision[0] < 0.01


def test_numbers_of_stages_count_on():
    """Layers of residual networks are numbered anew in each stage."""
    block = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    stages = {"stem": nn.Linear(2, 2), "layer1": block, "layer2": nn.ModuleList([nn.Linear(2, 2)])}
    vision = nn.ModuleDict(stages)
    factors = optimizer.layer_factors(nn.ModuleDict({"vision": vision}), 0.1)
    weights = [value for name, value in factors.items() if name.endswith("weight")]
    assert weights == pytest.approx([0.001, 0.01, 0.1, 1.0])


def test_without_decay_the_groups_are_parts_and_kinds():
    model = DualEncoder(CONFIG)
    assert set(rates(model, 1.0).values()) == {2.0, 0.2}
    task = Toy(model)
    task.layer_decay = 1.0
    parts = [(group["part"], group["weight_decay"]) for group in optimizer.adamw(task, 0.05).param_groups]
    assert len(parts) == len(set(parts))
    assert torch.is_tensor(optimizer.adamw(task, 0.05).param_groups[0]["params"][0])


def test_layers_of_a_library_model_are_its_blocks():
    """A vision transformer of timm: patches and positions below the first block, the last norm with the last
    block; by value, under the names of the whole model."""
    model = nn.ModuleDict({"vision": nn.ModuleDict({"model": timm.create_model("test_vit", num_classes=0)})})
    factors = optimizer.layer_factors(model, 0.5)
    depth = len(model["vision"]["model"].blocks)
    expected = {"pos_embed": depth, "patch_embed.proj.weight": depth, "norm.weight": 0}
    expected |= {f"blocks.{block}.mlp.fc1.weight": depth - 1 - block for block in range(depth)}
    assert {name: factors[f"vision.model.{name}"] for name in expected} == {
        name: 0.5**below for name, below in expected.items()
    }
