"""Any Hugging Face text encoder (https://github.com/huggingface/transformers), from a folder or the hub,
with its own tokenizer. Weights are read from safetensors only, and no code of a checkpoint is run.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sightline.models.text.bert import MaskedLanguageHead
from sightline.models.tower import TextTower


def build(config: dict[str, Any]) -> HuggingFaceText:
    """config: checkpoint (folder or hub name), max_tokens; or architecture, as a built tower's config has
    it, which needs no checkpoint. Raises ValueError when the checkpoint is missing, unreachable or not in
    safetensors."""
    from transformers import AutoConfig, AutoModel

    if "architecture" in config:
        model = AutoModel.from_config(AutoConfig.for_model(**config["architecture"]))
        return HuggingFaceText(config, model)
    checkpoint = config["checkpoint"]
    if not checkpoint:
        raise ValueError("text.checkpoint is empty: the tower hf needs a folder or a hub name")
    try:
        model = AutoModel.from_pretrained(
            checkpoint,
            use_safetensors=True,
            local_files_only=Path(checkpoint).is_dir(),
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"text.checkpoint: cannot load {checkpoint!r} ({error}); it must be a folder or hub "
            "repository with config.json and model.safetensors"
        ) from error
    return HuggingFaceText({**config, "architecture": model.config.to_diff_dict()}, model)


def tokenizer_path(config: dict[str, Any]) -> Path:
    """The checkpoint's tokenizer.json. Raises ValueError when it has none or the hub cannot be reached."""
    folder = Path(config["checkpoint"])
    if folder.is_dir():
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ValueError(
                f"text.checkpoint: {folder} has no tokenizer.json; save its tokenizer in the fast format"
            )
        return path
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(config["checkpoint"], "tokenizer.json"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"text.checkpoint: {config['checkpoint']!r} is no folder, and the hub gives "
            f"no tokenizer.json ({error})"
        ) from error


class HuggingFaceText(TextTower):
    """The encoder's last hidden states; a masked-language head of our own, since most encoders come without
    one."""

    loader = 'from transformers import AutoModel; model = AutoModel.from_pretrained("{folder}")'
    model: Any  # a Hugging Face encoder: torch types no part of it

    def __init__(self, config: dict[str, Any], model: nn.Module):
        super().__init__()
        self.config, self.model = config, model
        self.max_tokens = config["max_tokens"]
        vocab_size, self.width = self.model.get_input_embeddings().weight.shape
        self.mlm_head = MaskedLanguageHead(self.width, vocab_size, eps=1e-12)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return self.model(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state

    def save_pretrained(self, folder: Path) -> None:
        self.model.save_pretrained(folder)

    def word_embeddings(self) -> Tensor:
        return self.model.get_input_embeddings().weight

    def mlm_logits(self, states_BTD: Tensor) -> Tensor:
        return self.mlm_head(states_BTD, self.word_embeddings())
