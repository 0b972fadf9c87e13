"""A whole pretrained CLIP (arXiv 2103.00020) or SigLIP (arXiv 2303.15343) in Hugging Face's layout as a
DualEncoder: its towers, pooling, projections, temperature and bias, so that it embeds as transformers does.

Weights are read from safetensors only, and no code of a checkpoint is run.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sightline.core import hub_files
from sightline.core.params.checks import NO_INPUT
from sightline.core.params.dual_encoder_params import DualEncoderParams
from sightline.models.dual_encoder import DualEncoder
from sightline.models.quiet_loading import quiet_loading

KINDS = ("clip", "siglip")  # of config.json's model_type
TOKENIZER = "tokenizer.json"
WITHOUT_TOWER = {"tower": ""}  # config of the artifact of a text tower where a dual encoder brings its own
# Of a model that only compares pictures with texts; the re-ranker of any kind starts as no correction.
NO_HEADS: dict[str, Any] = {
    "words": ["-"], "dropout": 0.0, "fusion": "projection", "fusion_width": 1, "fusion_layers": 0
}  # fmt: skip
NEEDED = ("config.json", TOKENIZER, "preprocessor_config.json")


def folder_of(params: DualEncoderParams) -> Path:
    """The folder with its files, fetched from the hub where params name it there. Raises ValueError where one
    is missing."""
    if params.checkpoint == NO_INPUT:
        more = (*hub_files.WEIGHTS, *hub_files.TOKENIZER_FILES)
        return hub_files.fetch("dual_encoder", params.name, params.revision, NEEDED, more)
    folder = Path(params.checkpoint)
    if missing := [name for name in NEEDED if not (folder / name).is_file()]:
        raise ValueError(
            f"dual_encoder.checkpoint: {folder} has no {' and no '.join(missing)}; expected a folder as "
            "save_pretrained of a CLIP or SigLIP, its tokenizer (in the fast form) and its image processor "
            "write it"
        )
    return folder


def load(params: DualEncoderParams, max_tokens: int, heads: dict[str, Any]) -> DualEncoder:
    """The dual encoder that params name. max_tokens: longest text, at most what the checkpoint reads; heads:
    what DualEncoder's config says of our own parts (words, dropout, fusion, fusion_width, fusion_layers),
    which start from torch's generator.

    Raises ValueError for a checkpoint that is missing, unreachable or neither a CLIP nor a SigLIP.
    """
    folder, image_size = folder_of(params), params.image_size
    with quiet_loading():
        return _loaded(folder, image_size, max_tokens, heads)


def _loaded(folder: Path, image_size: int, max_tokens: int, heads: dict[str, Any]) -> DualEncoder:
    source = _published(folder)
    kind, published = source.config.model_type, source.config
    model = DualEncoder(
        {
            **heads,
            "pretrained": kind,
            "vision": {
                "tower": "hf", "checkpoint": str(folder),
                "image_size": image_size or published.vision_config.image_size,
            },
            "text": {
                "tower": "hf", "checkpoint": str(folder),
                "max_tokens": min(max_tokens, published.text_config.max_position_embeddings),
            },
            "vocab_size": published.text_config.vocab_size,
            "embed_dim": source.text_projection.out_features if kind == "clip"
            else published.vision_config.hidden_size,
            "projection_hidden": 0,
            "temperature": math.exp(-float(source.logit_scale.detach())),
        }
    )  # fmt: skip
    with torch.no_grad():
        model.log_scale.copy_(source.logit_scale.reshape(()))
        if model.logit_bias is not None:
            model.logit_bias.copy_(source.logit_bias.reshape(()))
        else:
            _copy(source.visual_projection, model.image_projection)
            _copy(source.text_projection, model.text_projection)
    return model


@torch.no_grad()
def save(model: DualEncoder, folder: Path) -> None:
    """Write config.json and model.safetensors as CLIPModel or SiglipModel of transformers reads them: towers,
    projections, temperature and bias. The word head and the re-ranker are ours, and are left out."""
    from transformers import AutoConfig, AutoModel

    vision: Any = model.vision.model
    text: Any = model.text.model
    parts = {"vision_config": vision.config.to_dict(), "text_config": text.config.to_dict()}
    width = {"projection_dim": model.config["embed_dim"]} if model.pretrained == "clip" else {}
    whole: Any = AutoModel.from_config(AutoConfig.for_model(str(model.pretrained), **parts, **width))
    _copy(vision, whole.vision_model)
    _copy(text, whole.text_model)
    whole.logit_scale.copy_(model.log_scale)
    if model.logit_bias is not None:
        whole.logit_bias.copy_(model.logit_bias)
    else:
        _copy(model.image_projection, whole.visual_projection)
        assert model.text_projection is not None  # CLIP has both projections
        _copy(model.text_projection, whole.text_projection)
    whole.save_pretrained(folder)


def _published(folder: Path) -> Any:
    from transformers import AutoModel

    try:
        model: Any = AutoModel.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"dual_encoder: cannot load {folder} ({error}); expected config.json and model.safetensors of a "
            "CLIP or SigLIP"
        ) from error
    if model.config.model_type not in KINDS:
        raise ValueError(
            f"dual_encoder: {folder} holds a {model.config.model_type}, expected {' or '.join(KINDS)}; a "
            "text or image model alone is text.checkpoint or vision.checkpoint"
        )
    return model


def _copy(source: nn.Module, target: nn.Module | None) -> None:
    assert target is not None  # CLIP has both projections
    target.load_state_dict(source.state_dict())
