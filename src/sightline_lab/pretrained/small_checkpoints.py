"""Small checkpoints in Hugging Face's layout, made by transformers itself: a CLIP and a SigLIP that learned
rendered scenes, so that what a pretrained dual encoder knows can be measured without a network.

Shapes: B batch, C,Y,X channels and sides, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCABULARY, TOKENS = 600, 32
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
PEAK_LR, BATCH = 2e-3, 64
LAYERS = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


@dataclass(frozen=True)
class Pairs:
    """Pictures (uint8 [Y, X, 3]) and the captions of each."""

    pictures: Sequence[np.ndarray]
    captions: Sequence[Sequence[str]]


def clip(folder: Path, pairs: Pairs, steps: int, seed: int, image_size: int = 64) -> None:
    """Train a CLIP for `steps` and save it with its processor in `folder`."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast

    backend = byte_level_bpe([text for texts in pairs.captions for text in texts])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BEGIN, eos_token=END, pad_token=END, unk_token=END,
        model_max_length=TOKENS,
    )  # fmt: skip
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": image_size}, crop_size={"height": image_size, "width": image_size}
    )
    torch.manual_seed(seed)
    text = {
        "vocab_size": len(tokenizer), "max_position_embeddings": TOKENS,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {"image_size": image_size, "patch_size": image_size // 8}
    model = CLIPModel(CLIPConfig(text_config=LAYERS | text, vision_config=LAYERS | vision, projection_dim=64))
    fit(model, tokenizer, processor, pairs, steps, seed, padding=True)
    save(folder, model, tokenizer, processor)


def siglip(folder: Path, pairs: Pairs, steps: int, seed: int, image_size: int = 64) -> None:
    """The same for a SigLIP: Unigram tokenizer, texts padded to TOKENS, sigmoid loss."""
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessorPil, SiglipModel

    backend = unigram([text for texts in pairs.captions for text in texts])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", pad_token="</s>", unk_token="<unk>",
        model_max_length=TOKENS,
    )  # fmt: skip
    processor = SiglipImageProcessorPil(size={"height": image_size, "width": image_size})
    torch.manual_seed(seed)
    text = {
        "vocab_size": len(tokenizer), "max_position_embeddings": TOKENS,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {"image_size": image_size, "patch_size": image_size // 8}
    model = SiglipModel(SiglipConfig(text_config=LAYERS | text, vision_config=LAYERS | vision))
    with torch.no_grad():  # as the paper starts
        model.logit_scale.fill_(np.log(10.0))
        model.logit_bias.fill_(-10.0)
    fit(model, tokenizer, processor, pairs, steps, seed, padding="max_length")
    save(folder, model, tokenizer, processor)


def byte_level_bpe(texts: Sequence[str]) -> Tokenizer:
    """Lower-case byte-level BPE between CLIP's two control tokens."""
    backend = Tokenizer(models.BPE(unk_token=END))
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=[BEGIN, END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    begin, end = backend.token_to_id(BEGIN), backend.token_to_id(END)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, begin), (END, end)]
    )
    return backend


def unigram(texts: Sequence[str]) -> Tokenizer:
    """Lower-case Unigram with SigLIP's end of a text."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = ["<unk>", "</s>"]
    backend.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", backend.token_to_id("</s>"))]
    )
    return backend


def fit(
    model: Any, tokenizer: Any, processor: Any, pairs: Pairs, steps: int, seed: int, padding: bool | str
) -> None:
    """Train by the model's own loss; every step draws pictures and a caption of each."""
    pixels_NCYX = processor(list(pairs.pictures), return_tensors="pt")["pixel_values"]
    draw = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LR, total_steps=max(steps, 2), pct_start=0.1
    )
    model.train()
    for _ in range(steps):
        chosen = draw.permutation(len(pairs.pictures))[:BATCH]
        texts = [pairs.captions[i][draw.integers(len(pairs.captions[i]))] for i in chosen]
        tokens = tokenizer(texts, padding=padding, truncation=True, max_length=TOKENS, return_tensors="pt")
        arguments = {"input_ids": tokens["input_ids"]}
        if padding is True:
            arguments["attention_mask"] = tokens["attention_mask"]
        loss = model(**arguments, pixel_values=pixels_NCYX[torch.from_numpy(chosen)], return_loss=True).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def save(folder: Path, model: Any, tokenizer: Any, processor: Any) -> None:
    """As published ones lie on the hub: config, weights, tokenizer, image processor."""
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)
