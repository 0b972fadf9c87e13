"""Any image classifier of torchvision (https://github.com/pytorch/vision) as a tower: its last feature map,
averaged down to at most 8 x 8 patches, a short memory for the decoder, and scaled to tokens of about
unit size, since the scale of a map is an accident of its training (SqueezeNet's is 18).

Shapes: B batch, P patches of the grid, Q patches of the map, D width, K classes, C,Y,X channels and sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sightline.core.preprocessing import Preprocessing
from sightline.models.tower import VisionTower, preprocessing_of, with_preprocessing
from sightline.models.vision import _checkpoint, _torchvision_hub

HEADS = ("avgpool", "classifier", "fc", "head")  # where torchvision's models stop being feature maps
VERSIONS = {"tv_in1k": "IMAGENET1K_V1", "tv2_in1k": "IMAGENET1K_V2"}  # timm's tags of torchvision's weights
GRID = 8  # patches a side at most
AUXILIARY = ("aux1", "aux2", "AuxLogits")  # training-only classifiers of the Inception family


def build(config: dict[str, Any]) -> TorchvisionTower:
    """config: name, image_size, checkpoint (none, hub, or the path of a safetensors file), revision (of the
    hub), preprocessing (see `preprocessing_of`).

    torchvision itself publishes pickled files, which are never read: from the hub come the weights that timm
    keeps of it (`resnet50.tv_in1k`), renamed by their order and compared by what they compute. Raises
    ValueError for an unknown name, and for a checkpoint that is missing, unreachable or does not fit.
    """
    from torchvision import models

    name = config["name"].partition(".")[0]
    if name not in models.list_models(models):
        near = models.list_models(models, include=f"*{name[:6]}*")[:5] if name else []
        raise ValueError(
            f"vision.name: torchvision has no classifier {name!r}; near: {', '.join(near) or 'none'}"
        )
    model = models.get_model(name, weights=None, **_size(config))
    if config["checkpoint"] == "hub":
        _torchvision_hub.fill(model, config)
    elif config["checkpoint"] != "none":
        path = Path(config["checkpoint"])
        _checkpoint.fill(model, _checkpoint.read(path), path, name)
    features = _features(name, model)
    published = _published(models.get_model_weights(name), config)
    return TorchvisionTower({**config, "checkpoint": "none"}, features, _classifier(model), published)


class TorchvisionTower(VisionTower):
    """features: image_BCYX -> map_BDYX. classifier: a 1x1 convolution from the map to classes, or None.

    A convolutional classifier (SqueezeNet's) scores every position before it averages, so its scores add to
    the mean and maximum of the map: they are part of the summary. Those of the other families are a linear
    function of the mean.
    """

    scale: Tensor
    share_PQ: Tensor | None

    def __init__(
        self,
        config: dict[str, Any],
        features: nn.Module,
        classifier: nn.Conv2d | None,
        published: Preprocessing,
    ):
        super().__init__()
        self.features, self.classifier = features, classifier
        self.preprocessing = preprocessing_of(config, published)
        self.config = with_preprocessing(config, self.preprocessing)
        name = config["name"].partition(".")[0]
        options = "".join(f", {key}={value}" for key, value in _size(config).items())
        self.loader = (
            "import torchvision, safetensors.torch; "
            f'model = torchvision.models.get_model("{name}"{options}); '
            'model.load_state_dict(safetensors.torch.load_file("{folder}/model.safetensors"), strict=False)'
        )
        features.eval()
        with torch.no_grad():
            draw = torch.Generator().manual_seed(0)
            map_BDYX = features(torch.randn(1, 3, self.image_size, self.image_size, generator=draw))
        features.train()
        self.width, sides = map_BDYX.shape[1], map_BDYX.shape[2:]
        self.grid = tuple(-(-side // -(-side // GRID)) for side in sides)
        # A buffer, not part of the config: a tower rebuilt without the checkpoint gets it with its weights.
        self.register_buffer("scale", map_BDYX.square().mean().sqrt().clamp(min=1e-6))
        self.register_buffer("share_PQ", _shares(tuple(sides), self.grid), persistent=False)

    def forward(self, image_BCYX: Tensor) -> Tensor:
        # Channels last: a photo through SqueezeNet in 14 ms in place of 32.
        map_BDYX = self.features(image_BCYX.contiguous(memory_format=torch.channels_last))
        map_BQD = map_BDYX.flatten(2).transpose(1, 2) / self.scale
        return map_BQD if self.share_PQ is None else self.share_PQ @ map_BQD

    def save_pretrained(self, folder: Path) -> None:
        """model.safetensors under torchvision's names, without the head that the tower does without."""
        from torchvision import models

        name = self.config["name"].partition(".")[0]
        fresh: Any = models.get_model(name, weights=None, **_size(self.config))
        names = {id(tensor): name for name, tensor in fresh.state_dict(keep_vars=True).items()}
        parts: list[tuple[Any, nn.Module]] = [(_features(name, fresh), self.features)]
        if self.classifier is not None:
            parts.append((_classifier(fresh), self.classifier))
        tensors = {
            names[id(tensor)]: trained.state_dict()[key].contiguous()
            for part, trained in parts
            for key, tensor in part.state_dict(keep_vars=True).items()
        }
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "model.safetensors")

    @property
    def summary_width(self) -> int:
        return 2 * self.width + (0 if self.classifier is None else self.classifier.out_channels)

    def summarise(self, tokens_BPD: Tensor) -> Tensor:
        """Mean, maximum and, of a convolutional classifier, its class scores, [B, 2 D (+ K)]; each of these
        parts normalised, since a maximum is 20 times a mean."""
        parts = [tokens_BPD.mean(1), tokens_BPD.amax(1)]
        if self.classifier is not None:
            weight_KD = self.classifier.weight.flatten(1)
            map_BPD = tokens_BPD * self.scale
            parts.append(nn.functional.linear(map_BPD, weight_KD, self.classifier.bias).relu().mean(1))
        return torch.cat([nn.functional.layer_norm(part.float(), part.shape[1:]) for part in parts], 1)


class _VisionTransformerMap(nn.Module):
    """The patch tokens of torchvision's VisionTransformer, put back where they came from."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.side = model.image_size // model.patch_size
        model.heads = nn.Identity()

    def forward(self, image_BCYX: Tensor) -> Tensor:
        patches_BPD = self.model._process_input(image_BCYX)
        class_B1D = self.model.class_token.expand(patches_BPD.shape[0], -1, -1)
        tokens_BPD = self.model.encoder(torch.cat([class_B1D, patches_BPD], 1))[:, 1:]
        return tokens_BPD.transpose(1, 2).unflatten(2, (self.side, self.side))


def _size(config: dict[str, Any]) -> dict[str, int]:
    """What get_model is told of the image size: transformers have positions for one."""
    return {"image_size": config["image_size"]} if config["name"].startswith("vit_") else {}


def _features(name: str, model: nn.Module) -> nn.Module:
    return _VisionTransformerMap(model) if name.startswith("vit_") else _feature_map(model)


def _published(weights: Any, config: dict[str, Any]) -> Preprocessing:
    """The transforms of the weights that the name's tag means in torchvision, without a tag of its default
    ones, at another size with the same share of the picture."""
    entry = VERSIONS.get(config["name"].partition(".")[2], "DEFAULT")
    told = weights[entry].transforms() if entry in weights.__members__ else weights.DEFAULT.transforms()
    return Preprocessing(
        told.crop_size[0], tuple(told.mean), tuple(told.std), told.resize_size[0], told.interpolation.value,
        squash=False, rounding="nearest",
    ).at(config["image_size"])  # fmt: skip


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


def _classifier(model: nn.Module) -> nn.Conv2d | None:
    """The 1x1 convolution of a classifier that scores every position of the map."""
    parts = getattr(model, "classifier", nn.Identity()).modules()
    return next((part for part in parts if isinstance(part, nn.Conv2d)), None)


def _shares(sides: tuple[int, int], grid: tuple[int, int]) -> Tensor | None:
    """The share [P, Q] that each position of the map has in each patch; None where the map is the grid.

    A matrix, so that it is the same product in every runtime.
    """
    if sides == grid:
        return None
    identity_QYX = torch.eye(sides[0] * sides[1]).view(-1, *sides)
    return nn.functional.adaptive_avg_pool2d(identity_QYX, grid).flatten(1).T.contiguous()
