"""Any architecture of timm (https://github.com/huggingface/pytorch-image-models) as a tower.

Shapes: B batch, P patches, D width, C,Y,X channels and sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from sightline.core.preprocessing import Preprocessing
from sightline.models.tower import VisionTower
from sightline.models.vision import _checkpoint


def build(config: dict[str, Any]) -> TimmTower:
    """config: name, image_size, checkpoint (none, hub, or the path of a safetensors file).

    Raises ValueError for an unknown name, and for a checkpoint that is missing, unreachable or does not fit.
    """
    import timm

    name = config["name"]
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = timm.list_models(f"*{architecture[:6]}*")[:5] if architecture else []
        raise ValueError(f"vision.name: timm has no architecture {name!r}; near: {', '.join(near) or 'none'}")
    published = timm.get_pretrained_cfg(name)
    size = {"img_size": config["image_size"]} if published is not None and published.fixed_input_size else {}
    model: Any = timm.create_model(name, pretrained=False, num_classes=0, **size)
    if config["checkpoint"] != "none":
        path = _from_hub(name, published) if config["checkpoint"] == "hub" else Path(config["checkpoint"])
        classifier = model.pretrained_cfg.get("classifier") or ()
        _checkpoint.load(
            model, path, name, (classifier,) if isinstance(classifier, str) else tuple(classifier)
        )
    return TimmTower({**config, "checkpoint": "none"}, model)


class TimmTower(VisionTower):
    """The tokens (of a transformer, without class and register tokens) or the last feature map of a timm
    model."""

    def __init__(self, config: dict[str, Any], model: Any):
        super().__init__()
        self.config, self.model = config, model
        published = model.pretrained_cfg
        self.preprocessing = Preprocessing.plain(config["image_size"], published["mean"], published["std"])
        model.eval()
        with torch.no_grad():
            features = model.forward_features(torch.zeros(1, 3, self.image_size, self.image_size))
        model.train()
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        if features.ndim == 4:
            self.grid = tuple(features.shape[1:3] if self.channels_last else features.shape[2:4])
        else:
            self.grid = tuple(model.patch_embed.grid_size)
        self.width = self._tokens(features).shape[2]

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

    def forward(self, image_BCYX: Tensor) -> Tensor:
        return self._tokens(self.model.forward_features(image_BCYX))

    def _tokens(self, features: Tensor) -> Tensor:
        if features.ndim == 3:
            return features[:, self.model.num_prefix_tokens :]
        return features.flatten(1, 2) if self.channels_last else features.flatten(2).transpose(1, 2)


def _from_hub(name: str, published: Any) -> Path:
    from huggingface_hub import hf_hub_download

    if published is None or not published.hf_hub_id:
        raise ValueError(
            f"vision.pretrained is hub, but timm publishes no weights for {name}: give a path or none"
        )
    try:
        return Path(hf_hub_download(published.hf_hub_id, "model.safetensors"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"vision.checkpoint: cannot get model.safetensors of {published.hf_hub_id} from the hub "
            f"({error}); "
            "download it elsewhere and give its path, or use none"
        ) from error
