"""What a model costs: weights, bytes, multiply-accumulates. Counted: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM


def macs(vlm: VLM) -> int:
    """Multiply-accumulates of matrix products and convolutions for one picture, one question of the longest
    length and one answer token."""
    return sum(macs_by_part(vlm).values())


def macs_by_part(vlm: VLM) -> dict[str, int]:
    """`macs` of the picture's tower (`image`), of what the decoder reads (`memory`), and of an answer token
    (`token`)."""
    pixels, ids, mask = _longest(vlm, vlm.vision.image_size, vlm.config["max_question"])
    with _still(vlm):
        tokens = vlm.image_tokens(pixels)
        memory = vlm.memory(tokens, vlm.text_states(ids, mask), ids, mask)
        return {
            "image": _counted(lambda: vlm.image_tokens(pixels)),
            "memory": _counted(lambda: vlm.memory(tokens, vlm.text_states(ids, mask), ids, mask)),
            "token": _counted(lambda: vlm.step(ids[:, :1], None, memory)),
        }


def macs_of_embeddings(clip: DualEncoder) -> dict[str, int]:
    """Multiply-accumulates of a picture's embedding (`embed_image`) and of that of a text of the longest
    length (`embed_text`)."""
    pixels, ids, mask = _longest(clip, clip.vision.image_size, clip.config["text"]["max_tokens"])
    with _still(clip):
        return {
            "embed_image": _counted(lambda: clip.encode_image(pixels)),
            "embed_text": _counted(lambda: clip.encode_text(ids, mask)),
        }


def _longest(model: nn.Module, side: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """One picture, and a text of the longest length with its mask."""
    device = next(model.parameters()).device
    return (
        torch.zeros(1, 3, side, side, device=device),
        torch.zeros(1, length, dtype=torch.long, device=device),
        torch.ones(1, length, dtype=torch.bool, device=device),
    )


@contextmanager
def _still(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, without gradients."""
    training = model.training
    model.eval()
    with torch.no_grad():
        yield
    model.train(training)


def _counted(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2


def parameters(vlm: VLM) -> int:
    """Number of weights, the towers' included."""
    return sum(tensor.numel() for tensor in vlm.parameters())


def row(variant: str, vlm: VLM, quality: dict[str, float]) -> dict[str, str | int | float]:
    """One line of the size / cost / quality table; bytes are those of the float32 weights."""
    return {
        "variant": variant, "decoder_heads": vlm.config["decoder_heads"],
        "decoder_hidden": vlm.config["decoder_hidden"], "parameters": parameters(vlm),
        "bytes": 4 * parameters(vlm), "macs": macs(vlm), **quality,
    }  # fmt: skip
