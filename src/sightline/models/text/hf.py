"""A text encoder of transformers (https://github.com/huggingface/transformers) with its own tokenizer, from a
folder or from the hub at a pinned commit: BERT and its like, RoBERTa, MPNet, E5, the text model of a CLIP or
SigLIP, or a language model such as GPT-2 read as an encoder. Weights are read from safetensors only, and no
code of a checkpoint is run.

A text's embedding is pooled as published: as sentence-transformers' files beside the model say; else by the
last token of a causal model (of CLIP its end token), and the mean of the others. SigLIP reads its padding and
embeds a text by the last position: the end token takes that position's state.

Shapes: B batch, T tokens, L positions of a padded text, D width, V vocabulary.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core import hub_files
from sightline.models.quiet_loading import quiet_loading
from sightline.models.text.bert import MaskedLanguageHead
from sightline.models.tower import TextTower

POOLING = "1_Pooling/config.json"  # of sentence-transformers
POOLINGS = {"pooling_mode_cls_token": "first", "pooling_mode_lasttoken": "last"}
PADDED = {"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}
UNREAD = ("pooler", "position_ids")  # parts of a model that the tower does not use: a file may lack them


def build(config: dict[str, Any]) -> HuggingFaceText:
    """config: checkpoint (a folder, or with a `revision` a name on the hub), max_tokens, vocab_size (that of
    the tokenizer; the embedding's rows where it is not named); or architecture, as a built tower's config has
    it, which needs no checkpoint.

    Raises ValueError when the checkpoint is missing, unreachable, not in safetensors or no text encoder, and
    for more tokens than it has positions or rows for.
    """
    if "architecture" in config:
        return HuggingFaceText(config, _of_architecture(config["architecture"]))
    folder = _folder(config)
    model = _pretrained(folder, config["checkpoint"])
    longest, rows = _positions(model), model.get_input_embeddings().weight.shape[0]
    if longest is not None and config["max_tokens"] > longest:
        raise ValueError(
            f"text.max_tokens is {config['max_tokens']}, but {config['checkpoint']} reads {longest} at most"
        )
    if config.get("vocab_size", rows) > rows:
        raise ValueError(
            f"text.checkpoint: {config['checkpoint']}'s tokenizer has {config['vocab_size']} tokens, its "
            f"model embeds {rows}; expected tokenizer.json and model.safetensors of the same model"
        )
    built = {"architecture": model.config.to_diff_dict(), "pooling": _pooling(folder, model)}
    return HuggingFaceText({**config, **built, "checkpoint": "none"}, model)  # no folder of this machine


def tokenizer_path(config: dict[str, Any]) -> Path:
    """The checkpoint's tokenizer.json. Raises ValueError when it has none or the hub cannot be reached."""
    path = _folder(config) / hub_files.TOKENIZER_FILES[0]
    if not path.is_file():
        raise ValueError(
            f"text.checkpoint: {path.parent} has no tokenizer.json; save its tokenizer in the fast format"
        )
    return path


class HuggingFaceText(TextTower):
    """The encoder's last hidden states; a masked-language head of our own, since most encoders come without
    one."""

    model: Any  # a Hugging Face encoder: torch types no part of it

    def __init__(self, config: dict[str, Any], model: nn.Module):
        super().__init__()
        self.config, self.model = config, model
        self.max_tokens, self.pooling = config["max_tokens"], config.get("pooling", "mean")
        rows, embedding_width = self.model.get_input_embeddings().weight.shape
        self.vocab_size = config.get("vocab_size", rows)  # some embeddings have rows to spare
        self.width = self.model.config.hidden_size
        self.padded = self.model.config.model_type in PADDED
        made = PADDED.get(self.model.config.model_type, "AutoModel")
        self.loader = f'from transformers import {made}; model = {made}.from_pretrained("{{folder}}")'
        self.mlm_head = MaskedLanguageHead(
            self.width, self.vocab_size, eps=1e-12, tie_embeddings=embedding_width == self.width
        )

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        if self.padded:
            return self._read_padded(ids_BT, mask_BT)
        return self.model(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state

    def pool(self, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        if self.pooling == "mean":
            return super().pool(states_BTD, mask_BT)
        if self.pooling == "first":
            return states_BTD[:, 0]
        last_B11 = (mask_BT.sum(1) - 1)[:, None, None].expand(-1, 1, states_BTD.shape[2])
        last_BD = states_BTD.gather(1, last_B11)[:, 0]
        return self.model.head(last_BD) if self.padded else last_BD

    def save_pretrained(self, folder: Path) -> None:
        self.model.save_pretrained(folder)

    def word_embeddings(self) -> Tensor:
        weight = self.model.get_input_embeddings().weight
        return weight if len(weight) == self.vocab_size else weight[: self.vocab_size]

    def mlm_logits(self, states_BTD: Tensor) -> Tensor:
        return self.mlm_head(states_BTD, self.word_embeddings())

    def _read_padded(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Padding is read as any token. The state of the last of the L positions stands at the text's end."""
        settings, count = self.model.config, ids_BT.shape[1]
        padding_1L = ids_BT.new_full((1, settings.max_position_embeddings), settings.pad_token_id)
        padding_BL = padding_1L.expand(ids_BT.shape[0], -1)
        ids_BL = torch.cat([ids_BT.where(mask_BT, settings.pad_token_id), padding_BL[:, count:]], 1)
        states_BLD = self.model(input_ids=ids_BL).last_hidden_state
        place_T = torch.arange(count, device=ids_BT.device)
        end_BT1 = (place_T == mask_BT.sum(1, keepdim=True) - 1)[..., None]
        return states_BLD[:, -1:].where(end_BT1, states_BLD[:, :count])


def _folder(config: dict[str, Any]) -> Path:
    checkpoint = config["checkpoint"]
    if not checkpoint:
        raise ValueError("text.checkpoint is empty: this tower needs a folder, or text.name of the hub")
    if not config.get("revision"):
        return Path(checkpoint)
    tokenizer, *roles = hub_files.TOKENIZER_FILES
    more = (*hub_files.WEIGHTS, *roles, POOLING)
    return hub_files.fetch("text", checkpoint, config["revision"], ("config.json", tokenizer), more)


def _pretrained(folder: Path, checkpoint: str) -> Any:
    from transformers import AutoConfig

    try:
        with quiet_loading():
            whole = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            settings = getattr(whole, "text_config", whole)  # of a CLIP or SigLIP, the text model
            model, facts = _class_for(settings).from_pretrained(
                folder,
                config=settings,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"text.checkpoint: cannot load {checkpoint!r} ({error}); it must be a folder or hub "
            "repository with config.json and model.safetensors"
        ) from error
    missing = sorted(key for key in facts["missing_keys"] if not any(part in key for part in UNREAD))
    if missing:
        raise ValueError(
            f"text.checkpoint: model.safetensors of {checkpoint!r} lacks {len(missing)} tensors of a "
            f"{settings.model_type}, the first is {missing[0]}; expected the weights of its config.json"
        )
    return _reading_only(model)


def _of_architecture(architecture: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    settings = AutoConfig.for_model(**architecture)
    made = _class_for(settings)
    return _reading_only(
        made._from_config(settings) if hasattr(made, "_from_config") else made.from_config(settings)
    )


def _class_for(settings: Any) -> Any:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

    if settings.model_type in PADDED:
        return getattr(transformers, PADDED[settings.model_type])
    if settings.model_type in MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES:
        return transformers.AutoModelForTextEncoding
    if settings.is_encoder_decoder:
        raise ValueError(f"a {settings.model_type} has an encoder and a decoder, expected a text encoder")
    return transformers.AutoModel


def _reading_only(model: Any) -> Any:
    """A language model keeps no keys and values for tokens to come."""
    model.config.use_cache = False
    return model


def _positions(model: Any) -> int | None:
    """The most tokens that a model can read; None where its positions have no table."""
    for name, module in model.named_modules():
        if name.split(".")[-1] in ("position_embeddings", "position_embedding", "wpe"):
            # RoBERTa and its like count positions from after that of the padding.
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first
    return getattr(model.config, "max_position_embeddings", None)


def _pooling(folder: Path, model: Any) -> str:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if (folder / POOLING).is_file():
        told = json.loads((folder / POOLING).read_text(encoding="utf-8"))
        return next((pooling for key, pooling in POOLINGS.items() if told.get(key)), "mean")
    kind = model.config.model_type
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return "last" if causal or kind == "clip_text_model" or kind in PADDED else "mean"
