"""Any architecture of timm (https://github.com/huggingface/pytorch-image-models) as a tower, at any size of
picture: weights enter through timm's own filters, which resample position embeddings to the grid.

Shapes: B batch, P image tokens, D width, S summary, C,Y,X channels and sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from sightline.core.preprocessing import Preprocessing
from sightline.models.tower import VisionTower, preprocessing_of, with_preprocessing
from sightline.models.vision import _checkpoint


def build(config: dict[str, Any]) -> TimmTower:
    """config: name, image_size, checkpoint (none, hub, or the path of a safetensors file), revision (of the
    hub), preprocessing (see `preprocessing_of`), trained_blocks (0 where it is not named).

    Raises ValueError for an unknown name, a size that the architecture cannot read, blocks that it does not
    have, and for a checkpoint that is missing, unreachable or does not fit.
    """
    import timm

    name, image_size = config["name"], config["image_size"]
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = timm.list_models(f"*{architecture[:6]}*")[:5] if architecture else []
        raise ValueError(f"vision.name: timm has no architecture {name!r}; near: {', '.join(near) or 'none'}")
    published = timm.get_pretrained_cfg(name)
    # timm's own rule: an architecture of a fixed input size takes that size when it is made.
    size = {"img_size": image_size} if published is not None and published.fixed_input_size else {}
    model: Any = timm.create_model(name, pretrained=False, num_classes=0, **size)
    if config["checkpoint"] != "none":
        model.load_state_dict(_pretrained(config, size, published).state_dict())
    try:
        return TimmTower({**config, "checkpoint": "none"}, model)
    except (AssertionError, RuntimeError) as error:  # of timm's layers, which say what they cannot divide
        words = " ".join(str(error).split())[:200]
        raise ValueError(f"vision.image_size is {image_size}, which {name} cannot read: {words}") from error


class TimmTower(VisionTower):
    """The tokens or the last feature map of a timm model. The summary is what the model itself gives to its
    classifier: of a transformer it is a token in front of the patches (its class token, or what its pooling
    makes of them), of a feature map what the head pools from it."""

    def __init__(self, config: dict[str, Any], model: Any):
        super().__init__()
        size = config["image_size"]
        self.model = model
        self.preprocessing = preprocessing_of(config, published(model, size))
        self.config = with_preprocessing(config, self.preprocessing)
        model.eval()
        with torch.no_grad():
            features = model.forward_features(torch.zeros(1, 3, size, size))
            self.pooled_width = model.forward_head(features, pre_logits=True).shape[1]
        model.train()
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        if features.ndim == 4:
            self.grid = tuple(features.shape[1:3] if self.channels_last else features.shape[2:4])
        else:
            self.grid, self.num_prefix_tokens = tuple(model.patch_embed.grid_size), 1
        self.width = self._patches(features).shape[2]
        self.trained_blocks = config.get("trained_blocks", 0)
        if self.trained_blocks:
            self.below, self.above = _divided(model, self.trained_blocks)

    loader = 'import timm; model = timm.create_model("local-dir:{folder}", pretrained=True)'

    def save_pretrained(self, folder: Path) -> None:
        from timm.models import save_for_hf

        seen = self.preprocessing
        data_config = {
            "input_size": (3, seen.image_size, seen.image_size), "mean": seen.mean, "std": seen.std,
            "interpolation": seen.interpolation, "crop_pct": seen.image_size / seen.resize,
            "crop_mode": "squash" if seen.squash else "center",
        }  # fmt: skip
        save_for_hf(self.model, str(folder), safe_serialization=True, data_config=data_config)

    def train(self, mode: bool = True) -> Self:
        """On a CPU the gradient of PyTorch's fused attention takes most of a step: training has it in plain
        operations, which add in another order."""
        for module in self.model.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = torch.cuda.is_available() or not mode
        return super().train(mode)

    def lower(self, image_BCYX: Tensor) -> Tensor:
        if not self.trained_blocks:
            return super().lower(image_BCYX)
        for part in self.below:
            image_BCYX = part(image_BCYX)
        return image_BCYX

    def upper(self, lower: Tensor) -> Tensor:
        if not self.trained_blocks:
            return super().upper(lower)
        for module in self.above:
            lower = module(lower)
        return self._tokens(lower)

    def trained_modules(self) -> list[nn.Module]:
        return self.above if self.trained_blocks else super().trained_modules()

    def forward(self, image_BCYX: Tensor) -> Tensor:
        return self._tokens(self.model.forward_features(image_BCYX))

    def _tokens(self, features: Tensor) -> Tensor:
        patches_BPD = self._patches(features)
        if features.ndim == 4:
            return patches_BPD
        return torch.cat([self.model.forward_head(features, pre_logits=True)[:, None], patches_BPD], 1)

    @property
    def summary_width(self) -> int:
        return self.pooled_width

    def summarise(self, tokens_BPD: Tensor) -> Tensor:
        """What the classifier of the architecture reads, [B, S]."""
        if self.num_prefix_tokens:
            return tokens_BPD[:, 0]
        map_BYXD = tokens_BPD.unflatten(1, self.grid)
        features = map_BYXD if self.channels_last else map_BYXD.permute(0, 3, 1, 2)
        return self.model.forward_head(features, pre_logits=True)

    def _patches(self, features: Tensor) -> Tensor:
        if features.ndim == 3:
            return features[:, self.model.num_prefix_tokens :]
        return features.flatten(1, 2) if self.channels_last else features.flatten(2).transpose(1, 2)


def published(model: Any, size: int) -> Preprocessing:
    """As timm evaluates the model (timm.data.create_transform), at another size with the same share of the
    picture. Raises ValueError for what has no such form: padding instead of a crop."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(model)
    if config["crop_mode"] not in ("center", "squash"):
        raise ValueError(
            f"vision.name: {model.pretrained_cfg['architecture']} is published with crop_mode "
            f"{config['crop_mode']}, expected center or squash; set vision.preprocessing: plain"
        )
    return Preprocessing(
        size, tuple(config["mean"]), tuple(config["std"]), math.floor(size / config["crop_pct"]),
        config["interpolation"], squash=config["crop_mode"] == "squash", rounding="nearest",
    )  # fmt: skip


def _divided(model: Any, trained: int) -> tuple[list[Callable[[Tensor], Tensor]], list[nn.Module]]:
    """What runs before the last `trained` blocks, and these blocks with what follows them: in this order they
    are the model's `forward_features`. Raises ValueError for a family whose blocks are not known here, and
    for more blocks than there are."""
    from timm.models import EfficientNet, VisionTransformer

    if not isinstance(model, EfficientNet | VisionTransformer):
        raise ValueError(
            f"vision.trained_blocks is {trained}: the blocks of {type(model).__name__} are not known, those "
            "of EfficientNet and VisionTransformer are; set it to 0, which trains the whole tower"
        )
    blocks: list[nn.Module] = list(model.blocks)
    if trained > len(blocks):
        raise ValueError(f"vision.trained_blocks is {trained}, but the architecture has {len(blocks)} blocks")
    first = len(blocks) - trained
    if isinstance(model, EfficientNet):
        return [model.conv_stem, model.bn1, *blocks[:first]], [*blocks[first:], model.conv_head, model.bn2]
    before = [model.patch_embed, model._pos_embed, model.patch_drop, model.norm_pre]
    return [*before, *blocks[:first]], [*blocks[first:], model.norm]


def _pretrained(config: dict[str, Any], size: dict[str, Any], published: Any) -> Any:
    """The whole model with its weights, without the classifier. timm filters what it reads, and only its own
    loading knows the filter; with as many classes as the file has it also loads strictly."""
    import timm

    name = config["name"]
    if config["checkpoint"] == "hub" and (published is None or not published.hf_hub_id):
        raise ValueError(
            f"vision.pretrained is hub, but timm publishes no weights for {name}: give a file or none"
        )
    from_hub = config["checkpoint"] == "hub"
    path = _checkpoint.from_hub(config, published.hf_hub_id) if from_hub else Path(config["checkpoint"])
    tensors = _checkpoint.read(path)
    classifier = (published.classifier if published else None) or ""
    head = tensors.get(f"{classifier}.weight")
    # A file of another project may call its classifier otherwise before timm's filter, or have none.
    counts = [published.num_classes if published else 0, 0] if head is None else [head.shape[0]]
    errors = []
    for classes in dict.fromkeys(counts):
        overlay = {"state_dict": tensors, "num_classes": classes, "label_offset": None, "custom_load": False}
        try:
            model: Any = timm.create_model(
                name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes, **size
            )
        except Exception as error:  # each family has a filter of its own, for files of its own authors
            errors.append(error)
            continue
        model.reset_classifier(0)
        return model
    raise _checkpoint.misfit(path, name, errors[0]) from errors[0]
