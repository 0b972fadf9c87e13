"""Tiny random text encoders of transformers with their tokenizers, saved as checkpoints are."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from sightline.data.tokenizer import Tokenizer
from tests.support.pretrained_tokenizers import FAMILIES

POSITIONS = 40
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
# Model -> its class, its tokenizer's family; tied to what the family's special tokens are.
ENCODERS = {
    "bert": ("BertModel", "bert"),
    "roberta": ("RobertaModel", "roberta"),
    "mpnet": ("MPNetModel", "roberta"),
    "e5": ("XLMRobertaModel", "xlm_roberta"),
    "clip": ("CLIPModel", "clip"),
    "clip_text": ("CLIPTextModel", "clip"),
    "siglip": ("SiglipModel", "siglip"),
    "gpt2": ("GPT2Model", "gpt2"),
}


def checkpoint(name: str, folder: Path, spare_rows: int = 0) -> PreTrainedModel:
    """Write config.json, model.safetensors and the tokenizer to `folder`; returns what reads texts of it."""
    class_name, family = ENCODERS[name]
    tokenizer = Tokenizer.load(FAMILIES[family](folder))
    torch.manual_seed(0)
    whole: Any = getattr(transformers, class_name)
    settings = _settings(whole.config_class, tokenizer, tokenizer.size + spare_rows)
    model = whole(settings).eval()
    with torch.no_grad():  # large enough that texts differ by more than rounding
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(3.0)
    model.save_pretrained(folder)
    return getattr(model, "text_model", model)


def _settings(config_class: Any, tokenizer: Tokenizer, rows: int) -> Any:
    roles = {"vocab_size": rows, "pad_token_id": tokenizer.pad, "bos_token_id": tokenizer.bos,
             "eos_token_id": tokenizer.eos}  # fmt: skip
    text = {**SHAPE, **roles, "max_position_embeddings": POSITIONS}
    kind = config_class.model_type
    if kind in ("clip", "siglip"):
        vision = {**SHAPE, "image_size": 32, "patch_size": 8}
        shared = {"projection_dim": 16} if kind == "clip" else {}
        own = {"projection_size": 32} if kind == "siglip" else {}
        return config_class(text_config={**text, **own}, vision_config=vision, **shared)
    if kind == "gpt2":
        return config_class(**roles, n_embd=32, n_layer=2, n_head=4, n_positions=POSITIONS)
    return config_class(**text)
