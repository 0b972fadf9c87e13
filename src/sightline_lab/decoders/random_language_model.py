"""A small causal language model that has learned nothing, in the layout that `decoder.checkpoint` names.

Pretrained ones know the language already: what is compared here is the architecture alone.
"""

import shutil
from pathlib import Path
from typing import Any

SHAPE = {
    "model_type": "llama", "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 8, "tie_word_embeddings": True,
    "max_position_embeddings": 512,
}  # fmt: skip


def write(folder: Path, tokenizer: Path, seed: int, shape: dict[str, Any] = SHAPE) -> float:
    """Write config.json, model.safetensors and `tokenizer` (a tokenizer.json) to `folder`, which is made
    anew; returns the millions of parameters."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from sightline.data.tokenizer import Tokenizer
    from sightline.models.quiet_loading import quiet_loading

    own = Tokenizer.load(tokenizer)
    tokens = {"bos_token_id": own.bos, "eos_token_id": own.eos, "pad_token_id": own.pad}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape, vocab_size=own.size, **tokens))
    shutil.rmtree(folder, ignore_errors=True)
    with quiet_loading():
        model.save_pretrained(folder)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    return sum(weight.numel() for weight in model.parameters()) / 1e6
