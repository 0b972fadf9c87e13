"""The image transformers of Hugging Face (https://github.com/huggingface/transformers) as towers, at any size
of picture: CLIP, SigLIP, DINOv2 (with registers too) and ViT, alone or as half of a dual encoder. Weights are
read from safetensors only, and no code of a checkpoint is run.

Shapes: B batch, P image tokens, Q patches, D width, C,Y,X channels and sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from sightline.core import hub_files
from sightline.core.preprocessing import Preprocessing
from sightline.models.quiet_loading import quiet_loading
from sightline.models.tower import VisionTower, preprocessing_of
from sightline.models.vision import _checkpoint

FAMILIES = ("clip_vision_model", "siglip_vision_model", "dinov2", "dinov2_with_registers", "vit")
PREPROCESSOR = "preprocessor_config.json"
POSITIONS = ("embeddings.position_embedding.weight", "embeddings.position_embeddings")  # one of them


def build(config: dict[str, Any]) -> HuggingFaceVision:
    """config: image_size, checkpoint (hub, or a folder), name and revision (of the hub), preprocessing (see
    `preprocessing_of`); or architecture, as a built tower's config has it, which needs no checkpoint.

    Raises ValueError for a checkpoint that is missing, unreachable, of another family or not in safetensors.
    """
    from transformers import AutoConfig, AutoModel

    if "architecture" in config:
        options = {"add_pooling_layer": config["pooler"]} if "pooler" in config else {}
        architecture = AutoConfig.for_model(**config["architecture"])
        return HuggingFaceVision(config, AutoModel.from_config(architecture, **options))
    folder = _folder(config)
    source = _load(folder)
    published = _published(folder).at(config["image_size"])
    preprocessing = preprocessing_of({"preprocessing": "published"} | config, published)
    model, options = _at_size(source, config["image_size"])
    built = {
        **config, **options, "checkpoint": "none", "architecture": model.config.to_diff_dict(),
        "preprocessing": preprocessing.to_config(),
    }  # fmt: skip
    return HuggingFaceVision(built, model)


class HuggingFaceVision(VisionTower):
    """The last states of the patches, behind the model's pooled output (a class token, of SigLIP what its
    attention pools), which is the summary."""

    model: Any  # an image transformer: torch types no part of it
    loader = 'import transformers; model = transformers.AutoModel.from_pretrained("{folder}")'
    num_prefix_tokens = 1

    def __init__(self, config: dict[str, Any], model: Any):
        super().__init__()
        self.config, self.model = config, model
        self.preprocessing = Preprocessing.from_config(config["preprocessing"])
        side = config["image_size"] // model.config.patch_size
        self.grid, self.width = (side, side), model.config.hidden_size

    def forward(self, image_BCYX: Tensor) -> Tensor:
        out = self.model(pixel_values=image_BCYX)
        patches_BQD = out.last_hidden_state[:, -self.grid[0] * self.grid[1] :]
        if self.model.config.model_type == "clip_vision_model":
            # CLIP itself normalises only its class token; dense features are taken after the same norm
            # (MaskCLIP, arXiv 2112.01071).
            patches_BQD = self.model.post_layernorm(patches_BQD)
        pooled_BD = out.last_hidden_state[:, 0] if out.pooler_output is None else out.pooler_output
        return torch.cat([pooled_BD[:, None], patches_BQD], 1)

    def save_pretrained(self, folder: Path) -> None:
        self.model.save_pretrained(folder)

    @property
    def summary_width(self) -> int:
        return self.width

    def summarise(self, tokens_BPD: Tensor) -> Tensor:
        """The pooled output, [B, D]."""
        return tokens_BPD[:, 0]


def _folder(config: dict[str, Any]) -> Path:
    if config["checkpoint"] == "hub":
        needed = ("config.json", PREPROCESSOR)
        return hub_files.fetch("vision", config["name"], config["revision"], needed, hub_files.WEIGHTS)
    folder = Path(config["checkpoint"])
    if missing := [name for name in ("config.json", PREPROCESSOR) if not (folder / name).is_file()]:
        raise ValueError(
            f"vision.checkpoint: {folder} has no {' and no '.join(missing)}; expected a folder as "
            "save_pretrained of the model and of its image processor write it"
        )
    return folder


def _load(folder: Path) -> Any:
    """The image transformer of a folder with its weights, all of them."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = getattr(config, "vision_config", config)
        if config.model_type not in FAMILIES:
            raise ValueError(f"its model is {config.model_type}, expected {', '.join(FAMILIES)}")
        with quiet_loading():
            model, found = AutoModel.from_pretrained(
                folder, config=config, use_safetensors=True, local_files_only=True, trust_remote_code=False,
                output_loading_info=True, dtype=torch.float32,
            )  # fmt: skip
    except (OSError, ValueError, SafetensorError) as error:
        words = " ".join(str(error).split())[:300]
        raise ValueError(
            f"vision.checkpoint: cannot load the image tower of {folder} ({words}); it must hold config.json "
            "and model.safetensors"
        ) from error
    missing = {key for key in found["missing_keys"] if not key.startswith("pooler.")}
    if missing or found["mismatched_keys"]:
        raise _checkpoint.misfit(
            folder, config.model_type, f"missing {sorted(missing)[:3]}, {found['mismatched_keys']}"
        )
    if found["missing_keys"]:  # a ViT that was trained to classify has no pooler: its class token is read
        model.pooler = None
    return model


def _at_size(source: Any, size: int) -> tuple[Any, dict[str, Any]]:
    """(the model for pictures of this side, the options that rebuild it): the position embeddings are
    resampled once, by the model's own rule."""
    from transformers import AutoConfig, AutoModel

    architecture = AutoConfig.for_model(**source.config.to_diff_dict() | {"image_size": size})
    options = {"pooler": source.pooler is not None} if architecture.model_type == "vit" else {}
    made = {"add_pooling_layer": options["pooler"]} if options else {}
    model, weights = AutoModel.from_config(architecture, **made), source.state_dict()
    name = next(key for key in POSITIONS if key in weights)
    positions = model.state_dict()[name]
    probe_1QD = positions.view(1, -1, positions.shape[-1])
    with torch.no_grad():
        resampled = source.embeddings.interpolate_pos_encoding(probe_1QD, size, size)
    model.load_state_dict(weights | {name: resampled.view(positions.shape)})
    return model, options


def _published(folder: Path) -> Preprocessing:
    """What the checkpoint's image processor does. Raises ValueError where it does something else than resize,
    crop, rescale and normalise."""
    from transformers import AutoImageProcessor
    from transformers.image_processing_backends import PilBackend

    processor: Any = AutoImageProcessor.from_pretrained(
        folder, backend="pil", local_files_only=True, trust_remote_code=False
    )
    plain = isinstance(processor, PilBackend) and all(
        getattr(type(processor), step) is getattr(PilBackend, step)
        for step in ("_preprocess", "resize", "center_crop", "rescale", "normalize")
    )
    told = processor.to_dict()
    crop = told["crop_size"] if told.get("do_center_crop") else told["size"]
    if (
        not plain or not told["do_resize"] or not told["do_rescale"] or not told["do_normalize"]
        or told.get("do_pad") or abs(told["rescale_factor"] - 1 / 255) > 1e-9 or "height" not in crop
    ):  # fmt: skip
        raise ValueError(
            f"vision.checkpoint: {folder / PREPROCESSOR} ({type(processor).__name__}) does more than resize "
            "to a square or the shorter side, crop, rescale by 1/255 and normalise, which is not supported"
        )
    return Preprocessing.from_config(told | {"crop_size": crop, "center_crop_rounding": "down"})
