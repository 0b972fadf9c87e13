"""Tiny causal language models of transformers with random weights, and their folder as a checkpoint."""

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config, Qwen3Config

from sightline.data.tokenizer import Tokenizer
from tests.support import tiny

SPECIAL = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3, **SPECIAL,
}  # fmt: skip
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.3, **SPECIAL}
FAMILIES = ("gpt2", "llama", "qwen2", "qwen3")


def config(family: str, vocab_size: int, **changed: Any):
    """Wide initial weights, so that heads look at different places and answers differ."""
    kinds = {
        "gpt2": lambda: GPT2Config(**GPT2 | {"vocab_size": vocab_size} | changed),
        "llama": lambda: LlamaConfig(
            **LLAMA | {"vocab_size": vocab_size, "tie_word_embeddings": True} | changed
        ),
        "qwen2": lambda: Qwen2Config(**LLAMA | {"vocab_size": vocab_size} | changed),
        "qwen3": lambda: Qwen3Config(**LLAMA | {"vocab_size": vocab_size, "head_dim": 16} | changed),
    }
    return kinds[family]()


def language_model(family: str, vocab_size: int, attention: str, **changed: Any):
    torch.manual_seed(3)
    architecture = copy.deepcopy(config(family, vocab_size, **changed))
    return AutoModelForCausalLM.from_config(architecture, attn_implementation=attention).eval()


def save(folder: Path, family: str) -> None:
    """What `decoder.checkpoint` names; three embeddings more than the tokenizer has tokens, as in Qwen's."""
    own = tokenizer()
    language_model(family, own.size + 3, "sdpa").save_pretrained(folder)
    own.save(folder / "tokenizer.json")


def tokenizer() -> Tokenizer:
    """Of the language models: other tokens than those of tiny.tokenizer()."""
    return Tokenizer.train([*reversed(tiny.QUESTIONS), *tiny.CAPTIONS[:2]] * 4, 200, 1)


def models(family: str):
    """(answering model around a language model, dual encoder), tiny and random."""
    from sightline.models.decoder import hf

    own = tokenizer()
    _, clip = tiny.models(tiny.tokenizer().size)
    lengths = {"max_answer": tiny.MAX_ANSWER, "max_question": tiny.MAX_QUESTION}
    wrapped = language_model(family, own.size + 3, hf.ATTENTION)
    torch.manual_seed(4)
    return hf.from_clip(clip, wrapped, lengths, own.size, own.eos).eval(), clip
