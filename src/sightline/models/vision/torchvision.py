"""Any image classifier of torchvision (https://github.com/pytorch/vision) as a tower: its last feature map.

Shapes: B batch, P patches, D width, C,Y,X channels and sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.models.tower import VisionTower
from sightline.models.vision import _checkpoint

HEADS = ("avgpool", "classifier", "fc", "head")  # where torchvision's models stop being feature maps
AUXILIARY = ("aux1", "aux2", "AuxLogits")  # training-only classifiers of the Inception family


def build(config: dict[str, Any]) -> TorchvisionTower:
    """config: name, image_size, checkpoint (none, or the path of a safetensors file).

    Raises ValueError for an unknown name, for a checkpoint that is missing or does not fit, and for `hub`:
    torchvision publishes pickled files only.
    """
    from torchvision import models

    name = config["name"]
    if name not in models.list_models(models):
        near = models.list_models(models, include=f"*{name[:6]}*")[:5] if name else []
        raise ValueError(
            f"vision.name: torchvision has no classifier {name!r}; near: {', '.join(near) or 'none'}"
        )
    if config["checkpoint"] == "hub":
        raise ValueError(
            f"vision.checkpoint is hub, but torchvision publishes {name} as a pickled file, "
            "which is never read: "
            "give the path of a safetensors file, or use the tower timm"
        )
    size = {"image_size": config["image_size"]} if name.startswith("vit_") else {}
    model = models.get_model(name, weights=None, **size)
    if config["checkpoint"] != "none":
        _checkpoint.load(model, Path(config["checkpoint"]), name)
    published = models.get_model_weights(name).DEFAULT.transforms()
    features = _VisionTransformerMap(model) if name.startswith("vit_") else _feature_map(model)
    return TorchvisionTower({**config, "checkpoint": "none"}, features, published.mean, published.std)


class TorchvisionTower(VisionTower):
    """features: image_BCYX -> map_BDYX."""

    def __init__(self, config: dict[str, Any], features: nn.Module, mean: list[float], std: list[float]):
        super().__init__()
        self.config, self.features = config, features
        self.image_size = config["image_size"]
        self.mean, self.std = tuple(mean), tuple(std)
        features.eval()
        with torch.no_grad():
            map_BDYX = features(torch.zeros(1, 3, self.image_size, self.image_size))
        features.train()
        self.width, self.grid = map_BDYX.shape[1], tuple(map_BDYX.shape[2:])

    def forward(self, image_BCYX: Tensor) -> Tensor:
        return self.features(image_BCYX).flatten(2).transpose(1, 2)


class _VisionTransformerMap(nn.Module):
    """The patch tokens of torchvision's VisionTransformer, put back where they came from."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.side = model.image_size // model.patch_size
        model.heads = nn.Identity()

    def forward(self, image_BCYX: Tensor) -> Tensor:
        patches_BPD = self.model._process_input(image_BCYX)
        class_B1D = self.model.class_token.expand(patches_BPD.shape[0], -1, -1)
        tokens_BPD = self.model.encoder(torch.cat([class_B1D, patches_BPD], 1))[:, 1:]
        return tokens_BPD.transpose(1, 2).unflatten(2, (self.side, self.side))


def _feature_map(model: nn.Module) -> nn.Sequential:
    """The children of a classifier before its head, in order; every family but one runs them one after the
    other."""
    parts: list[nn.Module] = []
    for name, child in model.named_children():
        if name in HEADS:
            break
        if name not in AUXILIARY:
            parts.extend(child if isinstance(child, nn.ModuleList) else [child])
    return nn.Sequential(*parts)
