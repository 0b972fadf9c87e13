"""What a model costs: weights, bytes, multiply-accumulates. Counted: the same on every machine."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from sightline.models.vlm import VLM


def macs(vlm: VLM) -> int:
    """Multiply-accumulates of matrix products and convolutions for one picture, one question of the longest
    length and one answer token."""
    return sum(macs_by_part(vlm).values())


def macs_by_part(vlm: VLM) -> dict[str, int]:
    """`macs` of the picture's tower (`image`), of what the decoder reads (`memory`), and of an answer token
    (`token`)."""
    device = next(vlm.parameters()).device
    side, length = vlm.vision.image_size, vlm.config["max_question"]
    ids, mask = torch.zeros(1, length, dtype=torch.long), torch.ones(1, length, dtype=torch.bool)
    ids, mask = ids.to(device), mask.to(device)
    training = vlm.training
    vlm.eval()
    found = {}
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            tokens = vlm.image_tokens(torch.zeros(1, 3, side, side, device=device))
        found["image"] = counter.get_total_flops() // 2
        with FlopCounterMode(display=False) as counter:
            memory = vlm.memory(tokens, vlm.text_states(ids, mask), ids, mask)
        found["memory"] = counter.get_total_flops() // 2
        with FlopCounterMode(display=False) as counter:
            vlm.step(ids[:, :1], None, memory)
        found["token"] = counter.get_total_flops() // 2
    vlm.train(training)
    return found


def parameters(vlm: VLM) -> int:
    """Number of weights, the towers' included."""
    return sum(tensor.numel() for tensor in vlm.parameters())


def row(variant: str, vlm: VLM, accuracy: float) -> dict[str, str | int | float]:
    """One line of the size / cost / quality table; bytes are those of the float32 weights."""
    return {
        "variant": variant, "decoder_heads": vlm.config["decoder_heads"],
        "decoder_hidden": vlm.config["decoder_hidden"], "parameters": parameters(vlm),
        "bytes": 4 * parameters(vlm), "macs": macs(vlm), "accuracy": accuracy,
    }  # fmt: skip
