"""Tiny random LLaVA, SmolVLM and Qwen2-VL models and their left-padded batches; nothing is downloaded.

A row of a batch is (text before the images, number of images, text after them); its pictures are drawn from a
generator seeded with the row's numbers, so that a row alone and the same row in a batch see the same.
"""

from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import LlavaConfig, PreTrainedModel, Qwen2VLConfig, SmolVLMConfig

LAYERS, HEADS, VOCABULARY = 3, 8, 64
IMAGE, VIDEO, START, END, PAD = 60, 61, 58, 59, 0
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 4,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 256,
    "pad_token_id": PAD,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,  # heads of a random model then look at very different places
}
SIGHT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
Row = tuple[list[int], int, list[int]]
ROWS: list[Row] = [
    ([5, 6], 1, [7, 8, 9]),
    ([10], 2, [11, 12]),
    ([13, 14, 15, 16], 1, [17]),
    ([3], 1, [20, 21, 22, 23, 24]),
    ([30], 3, [31]),
    ([40, 41], 1, [42, 43]),
    ([50], 1, [51]),
    ([52, 53, 54], 2, [55, 56]),
]


@dataclass
class Tiny:
    name: str
    model: PreTrainedModel
    image_tokens: int  # of one picture

    def batch(self, rows: list[Row]) -> dict[str, Any]:
        """Inputs of the model, left-padded."""
        image = [START] + [IMAGE] * self.image_tokens
        ids = [before + image * images + after for before, images, after in rows]
        longest = max(map(len, ids))
        inputs = {
            "input_ids": torch.tensor([[PAD] * (longest - len(row)) + row for row in ids]),
            "attention_mask": torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids]),
        }
        pictures = [torch.stack([_picture(row, number) for number in range(row[1])]) for row in rows]
        return inputs | getattr(self, f"_{self.name}")(pictures, inputs["input_ids"])

    def _llava(self, pictures: list[torch.Tensor], input_ids: torch.Tensor) -> dict[str, Any]:
        return {"pixel_values": torch.cat(pictures)}

    def _smolvlm(self, pictures: list[torch.Tensor], input_ids: torch.Tensor) -> dict[str, Any]:
        most = max(map(len, pictures))  # rows with fewer pictures get black ones, as the processor does
        filled = [torch.cat([row, torch.zeros(most - len(row), 3, 8, 8)]) for row in pictures]
        return {"pixel_values": torch.stack(filled)}

    def _qwen2_vl(self, pictures: list[torch.Tensor], input_ids: torch.Tensor) -> dict[str, Any]:
        patches = torch.cat(pictures).reshape(-1, 3, 4, 2, 4, 2).permute(0, 2, 4, 1, 3, 5)
        twice = patches.reshape(-1, 3, 1, 2, 2).expand(-1, -1, 2, -1, -1)  # two equal frames make a still
        return {
            "pixel_values": twice.reshape(-1, 24),
            "image_grid_thw": torch.tensor([[1, 4, 4]] * sum(map(len, pictures))),
            "mm_token_type_ids": (input_ids == IMAGE).long(),
        }


def _picture(row: Row, number: int) -> torch.Tensor:
    """[3, 8, 8] noise that is the same for the same row and number."""
    seed = sum(7**place * token for place, token in enumerate([number, *row[0], *row[2]])) % 2**31
    return torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(seed))


def _llava() -> tuple[PreTrainedModel, int]:
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "image_size": 8, "patch_size": 2, **SIGHT},
        text_config={"model_type": "llama", **TEXT},
        image_token_index=IMAGE,
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    return transformers.LlavaForConditionalGeneration(config), 16


def _smolvlm() -> tuple[PreTrainedModel, int]:
    config = SmolVLMConfig(
        vision_config={"image_size": 8, "patch_size": 2, **SIGHT},
        text_config={"model_type": "llama", **TEXT},
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=PAD,
    )
    return transformers.SmolVLMForConditionalGeneration(config), 4


def _qwen2_vl() -> tuple[PreTrainedModel, int]:
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    config = Qwen2VLConfig(
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "num_heads": 4,
            "hidden_size": 64,
            "mlp_ratio": 1,
            "patch_size": 2,
            "initializer_range": 0.3,
        },
        text_config={**TEXT, "rope_parameters": rope},
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    return transformers.Qwen2VLForConditionalGeneration(config), 4


BUILDERS = {"llava": _llava, "smolvlm": _smolvlm, "qwen2_vl": _qwen2_vl}


def build(name: str, attention: str = "sdpa") -> Tiny:
    torch.manual_seed(0)
    model, image_tokens = BUILDERS[name]()
    model.set_attn_implementation(attention)
    return Tiny(name, model.eval(), image_tokens)
