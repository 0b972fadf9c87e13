"""Tiny random image-text-to-text models of transformers in their folders, each with a processor whose
tokenizer is trained here: nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

WORDS = ["Is there a ball?", "Describe the image in detail.", "What color is the cube?", "Yes. No. red blue"]
CHAT = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
TEXT = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, "initializer_range": 0.5,
}  # fmt: skip
SIGHT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SIDE = 8


def tokenizer(*special: str) -> PreTrainedTokenizerFast:
    names = ["<pad>", "<s>", "</s>", *special]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=names, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    backend.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=list(special),
    )  # fmt: skip


def _roles(words: PreTrainedTokenizerFast) -> dict[str, Any]:
    ids = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    return ids | {"vocab_size": len(words)}


def llava(chat: bool) -> tuple[Any, Any]:
    words = tokenizer("<image>")
    image = words.convert_tokens_to_ids("<image>")
    config = transformers.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "image_size": SIDE, "patch_size": 2, **SIGHT},
        text_config={"model_type": "llama", **TEXT, **_roles(words)},
        image_token_index=image, image_seq_length=16, vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )  # fmt: skip
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessor(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=words, patch_size=2, vision_feature_select_strategy="default", image_token="<image>",
        num_additional_image_tokens=1, chat_template=CHAT.replace("IMAGE", "<image>\n") if chat else None,
    )  # fmt: skip
    return transformers.LlavaForConditionalGeneration(config), processor


def idefics3(chat: bool) -> tuple[Any, Any]:
    """The architecture that SmolVLM shares."""
    words = tokenizer("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>")
    config = transformers.Idefics3Config(
        vision_config={"image_size": SIDE, "patch_size": 2, **SIGHT},
        text_config={"model_type": "llama", **TEXT, **_roles(words)},
        image_token_id=words.convert_tokens_to_ids("<image>"), scale_factor=2,
        pad_token_id=words.pad_token_id,
    )  # fmt: skip
    processor = transformers.Idefics3Processor(
        transformers.Idefics3ImageProcessor(
            size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=False
        ),
        words, image_seq_len=4, chat_template=CHAT.replace("IMAGE", "<image>") if chat else None,
    )  # fmt: skip
    return transformers.Idefics3ForConditionalGeneration(config), processor


def qwen2_vl(chat: bool) -> tuple[Any, Any]:
    words = tokenizer("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    ids = words.convert_tokens_to_ids(
        ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    config = transformers.Qwen2VLConfig(
        vision_config={
            "depth": 2, "embed_dim": 32, "num_heads": 4, "hidden_size": 32, "mlp_ratio": 1, "patch_size": 2,
        },
        text_config={**TEXT, **_roles(words), "rope_parameters": rope},
        image_token_id=ids[0], video_token_id=ids[1], vision_start_token_id=ids[2],
        vision_end_token_id=ids[3],
    )  # fmt: skip
    sides = {"min_pixels": 16, "max_pixels": SIDE * SIDE, "patch_size": 2, "merge_size": 2}
    processor = transformers.Qwen2VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**sides), tokenizer=words,
        video_processor=transformers.Qwen2VLVideoProcessor(**sides),
        chat_template=CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>") if chat else None,
    )  # fmt: skip
    return transformers.Qwen2VLForConditionalGeneration(config), processor


def mllama(chat: bool) -> tuple[Any, Any]:
    """Pictures by cross-attention, not by tokens."""
    words = tokenizer("<|image|>", "<|python_tag|>")
    config = transformers.MllamaConfig(
        vision_config={
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_global_layers": 1,
            "attention_heads": 4, "image_size": SIDE, "patch_size": 2, "max_num_tiles": 1,
            "vision_output_dim": 64, "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1]],
        },
        text_config={**TEXT, **_roles(words), "num_hidden_layers": 3, "cross_attention_layers": [1]},
        image_token_index=words.convert_tokens_to_ids("<|image|>"),
    )  # fmt: skip
    processor = transformers.MllamaProcessor(
        transformers.MllamaImageProcessor(size={"height": SIDE, "width": SIDE}, max_image_tiles=1), words,
        chat_template=CHAT.replace("IMAGE", "<|image|>") if chat else None,
    )  # fmt: skip
    return transformers.MllamaForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[bool], tuple[Any, Any]]] = {
    "llava": llava, "idefics3": idefics3, "qwen2_vl": qwen2_vl, "mllama": mllama,
}  # fmt: skip


def save(folder: Path, family: str, chat: bool = True, scale: float = 4.0) -> Path:
    """The folder of a tiny model of the family, as a checkpoint has it. scale: of its random weights."""
    torch.manual_seed(0)
    model, processor = FAMILIES[family](chat)
    with torch.no_grad():  # larger weights: what a random model writes then depends on what it is given
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter.mul_(scale)
            elif name.endswith("_gate"):  # of Mllama's cross-attention, closed at first
                parameter.fill_(1.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
