"""Other libraries at the reference shape, with random weights, where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch

from sightline.bench.subjects import REFERENCE, REFERENCE_DECODER
from sightline.bench.work import FIRST, Inputs

NEEDS = {
    "Hugging Face generate": "transformers", "open_clip": "open_clip", "torchao int8 weights": "torchao",
}  # fmt: skip


def absent() -> dict[str, str]:
    """Peers that cannot take part, and how to install them."""
    packages = {"open_clip": "open_clip_torch"}
    return {
        peer: f"not installed: pip install {packages.get(module, module)}"
        for peer, module in NEEDS.items()
        if importlib.util.find_spec(module) is None
    }


def tasks(inputs: Inputs) -> dict[str, dict[str, Callable[[], Any]]]:
    """Task -> peer -> what to time, as in work.tasks."""
    found: dict[str, dict[str, Callable[[], Any]]] = {}
    gone = absent()
    if "Hugging Face generate" not in gone:
        for task, call in _hugging_face(inputs).items():
            found.setdefault(task, {})["Hugging Face generate"] = call
    if "open_clip" not in gone:
        for task, call in _open_clip(inputs).items():
            found.setdefault(task, {})["open_clip"] = call
    return found


def _hugging_face(inputs: Inputs) -> dict[str, Callable[[], Any]]:
    """BART's decoder over 200 encoded tokens, through `generate`; ViT-Tiny before the first token."""
    from transformers import BartConfig, BartForConditionalGeneration, ViTConfig, ViTModel
    from transformers.modeling_outputs import BaseModelOutput

    shape, width = REFERENCE_DECODER, REFERENCE_DECODER["width"]
    torch.manual_seed(0)
    vit = ViTModel(ViTConfig(hidden_size=192, num_attention_heads=3, intermediate_size=768), False).eval()
    bart = BartForConditionalGeneration(
        BartConfig(
            vocab_size=REFERENCE["vocab_size"],
            d_model=width,
            max_position_embeddings=128,
            encoder_layers=1,
            encoder_attention_heads=8,
            encoder_ffn_dim=4 * width,
            decoder_layers=shape["layers"],
            decoder_attention_heads=shape["heads"],
            decoder_ffn_dim=4 * width,
            decoder_start_token_id=FIRST,
            forced_eos_token_id=None,
        )  # fmt: skip
    ).eval()
    project = torch.nn.Linear(192, width)
    pixels = torch.from_numpy(inputs.pixels_BCYX)
    read = torch.randn(inputs.batch, 200, width)

    @torch.inference_mode()
    def say(encoded: torch.Tensor, tokens: int) -> torch.Tensor:
        return bart.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded), do_sample=False, num_beams=1,
            max_new_tokens=tokens, min_new_tokens=tokens, use_cache=True,
        )  # fmt: skip

    @torch.inference_mode()
    def first() -> torch.Tensor:
        return say(project(vit(pixels).last_hidden_state), 1)

    return {"answer": lambda: say(read, inputs.tokens), "first token": first}


def _open_clip(inputs: Inputs) -> dict[str, Callable[[], Any]]:
    """Towers of the reference's widths and depths."""
    import open_clip

    text = REFERENCE["text"]
    model = open_clip.CLIP(
        REFERENCE["embed_dim"],
        {"image_size": 224, "layers": 12, "width": 192, "head_width": 64, "patch_size": 16},
        {"context_length": text["max_tokens"], "vocab_size": REFERENCE["vocab_size"],
         "width": text["width"], "heads": text["heads"], "layers": text["layers"]},
    ).eval()  # fmt: skip
    pixels, ids = torch.from_numpy(inputs.pixels_BCYX), torch.from_numpy(inputs.captions_BS)

    @torch.inference_mode()
    def images() -> torch.Tensor:
        return model.encode_image(pixels, normalize=True)

    @torch.inference_mode()
    def texts() -> torch.Tensor:
        return model.encode_text(ids, normalize=True)

    return {"image": images, "text": texts}
