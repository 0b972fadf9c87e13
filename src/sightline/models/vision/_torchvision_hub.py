"""torchvision's weights from the hub. torchvision itself publishes pickled files, which are never read; timm
keeps the same weights as safetensors, in its own names (`resnet50.tv_in1k`).

The names are matched by their order in the two models, so nothing is listed by hand, and the match is trusted
for what it computes: both models must give the same scores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.models.vision import _checkpoint

SAME = 1e-4  # of the largest score: float32 rounding through a deep network is below 1e-5
SIDE = 224  # of the picture that both are given


def fill(model: nn.Module, config: dict[str, Any]) -> None:
    """Load the weights of `config["name"]` into torchvision's model. Raises ValueError where timm has none,
    or builds the model in another way."""
    import timm

    name = _published(config["name"])
    published: Any = timm.get_pretrained_cfg(name)  # list_pretrained, which gave the name, knows it
    path = _checkpoint.from_hub(config, published.hf_hub_id)
    twin = timm.create_model(name.partition(".")[0], pretrained=False)
    _checkpoint.fill(twin, _checkpoint.read(path), path, name)
    try:
        model.load_state_dict(_renamed(twin.state_dict(), model.state_dict()))
        same = _same(model.eval(), twin.eval())
    except (RuntimeError, ValueError) as error:
        raise _otherwise(name, path, error) from error
    if not same:
        raise _otherwise(name, path, "other scores come out")


def _published(name: str) -> str:
    """The name with its tag, which may be left out where there is one set of weights."""
    import timm

    choices = timm.list_pretrained(f"{name.partition('.')[0]}.tv*")
    chosen = choices if "." not in name else [choice for choice in choices if choice == name]
    if len(chosen) != 1:
        known = f"name one of {', '.join(choices)}" if choices else "it keeps none of this architecture"
        raise ValueError(
            f"vision.name: {name} is no one set of torchvision weights that timm keeps on the hub: {known}; "
            "else give the path of a safetensors file as vision.checkpoint, or use the tower timm"
        )
    return chosen[0]


def _renamed(theirs: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names that stand at the same places; a linear layer may be a convolution there."""
    pairs = zip(theirs.values(), own.items(), strict=True)
    return {name: tensor.reshape(wanted.shape) for tensor, (name, wanted) in pairs}


@torch.no_grad()
def _same(model: nn.Module, twin: nn.Module) -> bool:
    image_BCYX = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    scores_BK, expected_BK = model(image_BCYX), twin(image_BCYX)
    return bool((scores_BK - expected_BK).abs().max() <= SAME * expected_BK.abs().max())


def _otherwise(name: str, path: Path, reason: object) -> ValueError:
    words = " ".join(str(reason).split())[:200]
    return ValueError(
        f"vision.name: timm builds {name} otherwise than torchvision does ({words}), so its weights in "
        f"{path} cannot be renamed by their order; give torchvision's own as a safetensors file in "
        "vision.checkpoint, or use the tower timm"
    )
